"""When a person may be told: working hours in their zone, and stretches of working time. Nobody is woken at night."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self

from projections.working_days import Calendar

DAY = timedelta(days=1)
LONGEST_LOOK = 60
OPENS, CLOSES = time(8), time(18)


class InvalidHours(ValueError):
    """Hours that cannot be used."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From `opens` to `closes` on working days of a place; quiet otherwise."""

    calendar: Calendar
    opens: time = OPENS
    closes: time = CLOSES

    @classmethod
    def of(cls, said: dict[str, Any] | None) -> Self | None:
        """From a subscription's row: {"zone", "country", "subdivision", "from", "to"}. None: at any hour."""
        if said is None:
            return None
        try:
            calendar = Calendar(said.get("zone", "Europe/Paris"), said.get("country"), said.get("subdivision"))
            calendar.is_working(date(2026, 1, 5))
            opens, closes = time.fromisoformat(said.get("from", "08:00")), time.fromisoformat(said.get("to", "18:00"))
        except (KeyError, ValueError, NotImplementedError) as wrong:
            raise InvalidHours(f"hours: {wrong}") from None
        if not opens < closes:
            raise InvalidHours(f"hours: must begin before they end, not {opens:%H:%M} to {closes:%H:%M}")
        return cls(calendar, opens, closes)

    def _span(self, day: date) -> tuple[datetime, datetime] | None:
        if not self.calendar.is_working(day):
            return None
        return self.calendar.at(day, self.opens), self.calendar.at(day, self.closes)

    def next_open(self, at: datetime) -> datetime:
        """The first moment from `at` on at which a person may be told."""
        day = self.calendar.day_of(at)
        for n in range(LONGEST_LOOK):
            span = self._span(day + n * DAY)
            if span is not None and at < span[1]:
                return max(at, span[0])
        return at

    def after(self, start: datetime, stretch: timedelta) -> datetime:
        """When so much working time has passed since `start`."""
        left, day = stretch, self.calendar.day_of(start)
        for n in range(LONGEST_LOOK * 10):
            span = self._span(day + n * DAY)
            if span is None or span[1] <= start:
                continue
            opens = max(start, span[0])
            if left <= span[1] - opens:
                return opens + left
            left -= span[1] - opens
        return start + stretch


def allowed(hours: Hours | None, at: datetime) -> datetime:
    """`at`, or the next moment the hours allow."""
    return at if hours is None else hours.next_open(at)


def after(hours: Hours | None, start: datetime, stretch: timedelta) -> datetime:
    """When a stretch of working time has passed; of plain time for whoever works at any hour."""
    return start + stretch if hours is None else hours.after(start, stretch)


def next_time(of_day: time, hours: Hours | None, now: datetime) -> datetime:
    """The next moment of a daily digest."""
    zone = UTC if hours is None else hours.calendar.tz
    local = now.astimezone(zone)
    at = datetime.combine(local.date(), of_day, zone)
    while at <= now or (hours is not None and not hours.calendar.is_working(at.date())):
        at = datetime.combine(at.date() + DAY, of_day, zone)
    return at.astimezone(UTC)
