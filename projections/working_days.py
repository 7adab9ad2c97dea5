"""Days and working time in a jurisdiction's zone. DOMAIN section 4, day arithmetic.

Every function is pure: zones and holidays are locked data, and nothing here reads a clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import holidays

DAY = timedelta(days=1)
SATURDAY = 5
FIRST_YEAR, LAST_YEAR = 1900, 2200


@dataclass(frozen=True)
class Calendar:
    """Which days count where: a zone, public holidays, and a place's own exceptions.

    `closed` are days that do not count although they would, `open` the reverse.
    """

    zone: str
    country: str | None = None
    subdivision: str | None = None
    closed: frozenset[date] = frozenset()
    open: frozenset[date] = frozenset()
    _working: dict[date, bool] = field(default_factory=dict, compare=False, repr=False)
    _midnights: dict[date, datetime] = field(default_factory=dict, compare=False, repr=False)
    _ends: dict[tuple[date, int], date] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def day_of(self, at: datetime) -> date:
        """The local calendar day of an instant."""
        return at.astimezone(self.tz).date()

    def start_of(self, day: date) -> datetime:
        """The local midnight a day begins with, in UTC."""
        found = self._midnights.get(day)
        if found is None:
            found = datetime.combine(day, time.min, self.tz).astimezone(UTC)
            self._midnights[day] = found
        return found

    def end_of(self, day: date) -> datetime:
        """The end of a local day: the local midnight that follows it, in UTC."""
        return self.start_of(day + DAY)

    def at(self, day: date, clock: time) -> datetime:
        """A local time of day on a day, in UTC."""
        return datetime.combine(day, clock, self.tz).astimezone(UTC)

    def is_working(self, day: date) -> bool:
        """Monday to Friday, not a public holiday, the exceptions of the place aside."""
        found = self._working.get(day)
        if found is None:
            found = self._working[day] = self._is_working(day)
        return found

    def _is_working(self, day: date) -> bool:
        if day in self.open:
            return True
        return (
            day.weekday() < SATURDAY
            and day not in self.closed
            and day not in public_holidays(self.country, self.subdivision, day.year)
        )

    def working_day_after(self, day: date, n: int) -> date:
        """The n-th working day after a day, which is itself day 0. Zero gives the day."""
        key = (day, n)
        found = self._ends.get(key)
        if found is None:
            found, left = day, n
            while left > 0:
                found += DAY
                left -= self.is_working(found)
            self._ends[key] = found
        return found

    def end_of_working_days(self, at: datetime, n: int) -> datetime:
        """The end of the n-th working day after an instant."""
        return self.end_of(self.working_day_after(self.day_of(at), n))

    def working_days_between(self, start: datetime, end: datetime) -> int:
        """How many working days ended after `start`'s day 0 and up to `end`: the elapsed figure in working days."""
        first, last = self.day_of(start), self.day_of(end)
        days = (first + DAY * n for n in range(1, (last - first).days + 1))
        return sum(self.is_working(day) for day in days)


@lru_cache(maxsize=4096)
def public_holidays(country: str | None, subdivision: str | None, year: int) -> frozenset[date]:
    """The public holidays of a place in a year, from the locked `holidays` library (category public)."""
    if country is None or not FIRST_YEAR <= year <= LAST_YEAR:
        return frozenset()
    found = holidays.country_holidays(country, subdiv=subdivision, years=year, categories="public")
    return frozenset(day for day in found if day.year == year)


def months_after(day: date, n: int) -> date:
    """The same day number n months later, or the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + n, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return date(year, month + 1, min(day.day, (first_of_next - DAY).day))


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many working days, calendar days or months after an instant, to the end of the last one."""

    working_days: int | None = None
    days: int | None = None
    months: int | None = None

    @property
    def counts_working_days(self) -> bool:
        return self.working_days is not None

    def last_day(self, calendar: Calendar, start: datetime) -> date:
        """The local day at whose end the allowance runs out."""
        zero = calendar.day_of(start)
        if self.working_days is not None:
            return calendar.working_day_after(zero, self.working_days)
        if self.days is not None:
            return zero + DAY * self.days
        return months_after(zero, self.months or 0)

    def end(self, calendar: Calendar, start: datetime) -> datetime:
        """The due moment, without pauses."""
        return calendar.end_of(self.last_day(calendar, start))


Pauses = Sequence[tuple[datetime, datetime]]


def is_paused_day(calendar: Calendar, day: date, pauses: Pauses) -> bool:
    """Whether the last instant of a day falls inside one of the pauses [start, end)."""
    midnight = calendar.end_of(day)
    return any(start < midnight <= end for start, end in pauses)


def put_off(calendar: Calendar, first: date, last: date, pauses: Pauses, *, working: bool) -> date:
    """The day reached when countable days in [first, last] that fall in pauses are not counted.

    Days walked over on the way are not counted either when they are paused themselves.
    """
    lost = sum(_counts(calendar, day, working) and is_paused_day(calendar, day, pauses) for day in _days(first, last))
    while lost > 0:
        last += DAY
        if _counts(calendar, last, working) and not is_paused_day(calendar, last, pauses):
            lost -= 1
    return last


def put_off_moment(calendar: Calendar, first: date, due: datetime, pauses: Pauses, *, working: bool) -> datetime:
    """A due moment given as an instant, moved on by as many countable days as pauses took: same local time."""
    day = calendar.day_of(due)
    moved = put_off(calendar, first, day, pauses, working=working)
    return due if moved == day else calendar.at(moved, due.astimezone(calendar.tz).time())


def _counts(calendar: Calendar, day: date, working: bool) -> bool:  # noqa: FBT001 - read beside put_off only
    return not working or calendar.is_working(day)


def _days(first: date, last: date) -> Iterable[date]:
    return (first + DAY * n for n in range((last - first).days + 1))


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When a service is open: spans of local time by weekday (0 is Monday), and days it is closed all the same.

    A break is the gap between two spans of one day. No clock uses this yet (DOMAIN section 4).
    """

    calendar: Calendar
    spans: tuple[tuple[tuple[time, time], ...], ...]
    closed: frozenset[date] = frozenset()

    def minutes(self, start: datetime, end: datetime) -> float:
        """Minutes open between two instants, summer-time changes included."""
        days = _days(self.calendar.day_of(start), self.calendar.day_of(end))
        return sum(self._open(day, start, end) for day in days)

    def _open(self, day: date, start: datetime, end: datetime) -> float:
        if day in self.closed:
            return 0.0
        spans = ((self.calendar.at(day, a), self.calendar.at(day, b)) for a, b in self.spans[day.weekday()])
        return sum(max(timedelta(), min(b, end) - max(a, start)).total_seconds() for a, b in spans) / 60
