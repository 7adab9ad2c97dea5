"""Times as other programs write them: which format, which zone, and what is doubtful about them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel.dates import get_month_names

from events.envelope import written
from events.times import FIRST_YEAR, LAST_YEAR
from services.importer import words
from services.importer.encodings import unaccented

ISO = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
NUMERIC = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d\d)(?:(?:[ T]|, )(\d{1,2}):(\d\d)(?::(\d\d))?)?")
CENTURY = "20"
HALF = re.compile(r"(.*:\d\d)\s?([AaPp])\.?[Mm]\.?")

HOURS = re.compile(r"(.*\d)(?:[ T]|, | à )(\d{1,2}) ?[hH] ?(\d\d)?")
"""A day in numbers with a time of day as it is said in French: 21/09/2026 7h05, 21/09/2026 à 07h."""
WEEKDAY, YEAR = r"(?:[^\W\d_]+\.?,? )?", r"(?P<year>\d{4})"
DAY, MONTH = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er)?", r"(?P<month>[^\W\d_]{3,})\.?"
TIME = r"(?:(?:[ T]|, | at | à )(?P<hour>\d{1,2})[:h](?P<rest>\d\d(?::\d\d)?))?"
NAMED = [
    re.compile(f"{WEEKDAY}{one}{TIME}", re.IGNORECASE)
    for one in (f"{DAY}[ ./-]{MONTH},?[ ./-]{YEAR}", f"{MONTH} {DAY},? {YEAR}")
]
"""A day whose month is a word: 3 août 2026, 03-Aug-2026 09:05, Aug 3, 2026."""
CLOCK = re.compile(r"(\d{1,2}) ?[:hH] ?(\d\d)?(?::(\d\d))?")


def _months() -> dict[str, int]:
    """The months by every beginning of their names, in English and French, that is no other month's."""
    found: dict[str, set[int]] = {}
    for locale in ("en", "fr"):
        for number, name in get_month_names("wide", locale=locale).items():
            for end in range(3, len(name) + 1):
                found.setdefault(unaccented(name[:end]), set()).add(number)
    return {beginning: numbers.pop() for beginning, numbers in found.items() if len(numbers) == 1}


MONTHS = _months()


def _numbered(text: str) -> str:
    """A day whose month is a word, written with its number; any other text as it is."""
    for pattern in NAMED:
        match = pattern.fullmatch(text)
        if match is not None and (month := MONTHS.get(unaccented(match["month"]))) is not None:
            day = f"{match['year']}-{month:02}-{int(match['day']):02}"
            return day if match["hour"] is None else f"{day} {int(match['hour']):02}:{match['rest']}"
    return text


def joined(day: str, clock: str) -> str:
    """A time of which the day and the time of day stand in two cells, as `9:05`, `09:05:30` or `9h05`."""
    day, clock = day.strip(), clock.strip()
    if not day or not clock or ":" in day:
        return day
    match = CLOCK.fullmatch(clock)
    return f"{day} {clock}" if match is None else f"{day} {int(match[1]):02}:{match[2] or '00'}:{match[3] or '00'}"


@dataclass(frozen=True, slots=True)
class TimeReader:
    """How a column of times is read: with which zone, and whether 03/04/2026 is the third of April. `short_years`: how many years are
    said in two digits; `short_year`: the last of them, None where they may be the day instead.
    """

    zone: ZoneInfo | None
    day_first: bool
    doubtful: int
    without_zone: int
    without_clock: int = 0
    short_years: int = 0
    short_year: str | None = None

    def read(self, text: str) -> datetime:
        """The instant of a cell, in UTC. Raises ValueError with the reason."""
        text, half = _halved(text)
        found = (
            _iso(text)
            if ISO.match(text)
            else _numeric(text, day_first=self.day_first, short=self.short_year is not None)
        )
        if found is not None and half:
            found = found.replace(hour=found.hour % 12 + (12 if half == "p" else 0)) if 1 <= found.hour <= 12 else None
        if found is None:
            raise ValueError(words.NOT_A_TIME)
        if found.tzinfo is None:
            found = found.replace(tzinfo=self.zone or UTC)
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            raise ValueError(words.outside(FIRST_YEAR, LAST_YEAR))
        return found.astimezone(UTC)

    def latest(self, text: str) -> datetime:
        """The last instant that a cell may mean: the end of a day of which it says no time. Raises ValueError with the reason."""
        at = self.read(text)
        if not _is_day(_halved(text)[0]):
            return at
        return at.astimezone(self.zone or UTC).replace(hour=23, minute=59, second=59).astimezone(UTC)

    def moment(self, text: str) -> str:
        """A deadline's cell as a fact states it: an instant, or the bare day where no time of day stands, of which a deadline is the
        end. Raises ValueError with the reason.
        """
        at = self.read(text)
        if not _is_day(_halved(text)[0]):
            return written(at)
        return at.astimezone(self.zone or UTC).date().isoformat()


def _halved(text: str) -> tuple[str, str]:
    """A time without its AM or PM, its month a number, and which half of the day it says: a, p, or nothing."""
    text = text.strip()
    if (said := HOURS.fullmatch(text)) is not None:
        text = f"{said[1]} {int(said[2]):02}:{said[3] or '00'}"
    match = HALF.fullmatch(text)
    return (_numbered(text), "") if match is None else (_numbered(match[1]), match[2].lower())


def _is_day(text: str) -> bool:
    match = NUMERIC.fullmatch(text)
    return match[4] is None if match is not None else len(text) <= len("2026-03-02")


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _numeric(text: str, *, day_first: bool, short: bool) -> datetime | None:
    match = NUMERIC.fullmatch(text)
    if match is None:
        return None
    one, other, year, *clock = match.groups()
    if len(year) == 2:
        if not short:
            return None
        year = CENTURY + year
    day, month = (one, other) if day_first else (other, one)
    try:
        hour, minute, second = (int(part or 0) for part in clock)
        return datetime(int(year), int(month), int(day), hour, minute, second)  # noqa: DTZ001 - the zone comes after
    except ValueError:
        return None


def time_reader(cells: Iterable[str], zone: ZoneInfo | None) -> TimeReader:
    """Look at every time of a column and decide how to read it; doubtful are dates that could be read both ways."""
    firsts_above = seconds_above = doubtful = without_zone = without_clock = short_years = 0
    firsts, lasts = set[str](), set[str]()
    for cell in cells:
        text, _ = _halved(cell)
        match = NUMERIC.fullmatch(text)
        if match is None:
            found = _iso(text)
            without_zone += found is not None and found.tzinfo is None
            without_clock += found is not None and _is_day(text)
            continue
        without_zone += 1
        without_clock += _is_day(text)
        if len(match[3]) == 2:
            short_years += 1
            firsts.add(match[1])
            lasts.add(match[3])
        first, second = int(match[1]), int(match[2])
        firsts_above += first > 12
        seconds_above += second > 12
        doubtful += first <= 12 and second <= 12 and first != second
    decided = (firsts_above > 0) != (seconds_above > 0)
    return TimeReader(
        zone, day_first=seconds_above == 0, doubtful=0 if decided else doubtful, without_zone=without_zone,
        without_clock=without_clock, short_years=short_years,
        short_year=max(lasts) if len(lasts) < len(firsts) else None,  # 26/08/03 may be of 2026: years differ less than days do
    )  # fmt: skip


@dataclass(slots=True)
class SwapCheck:
    """Whether a spreadsheet has swapped day and month wherever it could (days up to 12).

    Such a log still looks well-formed, but its cases last far longer than they did: with the swap undone they shrink.
    A sound log does the opposite.
    """

    spans: dict[str, tuple[datetime, datetime, datetime, datetime]]

    def see(self, case: str, at: datetime) -> None:
        """One row's time."""
        other = at.replace(day=at.month, month=at.day) if at.day <= 12 else at
        low, high, other_low, other_high = self.spans.get(case, (at, at, other, other))
        self.spans[case] = (min(low, at), max(high, at), min(other_low, other), max(other_high, other))

    def suspicion(self) -> str | None:
        """A sentence, if undoing the swap would make cases last less than half as long."""
        long = [span for span in self.spans.values() if span[0] != span[1]]
        as_is = sum((high - low).total_seconds() for low, high, _, _ in long)
        undone = sum((high - low).total_seconds() for _, _, low, high in long)
        if len(long) < 5 or undone * 2 > as_is:
            return None
        days, fewer = as_is / len(long) / 86400, undone / len(long) / 86400
        return words.swapped(days, fewer)
