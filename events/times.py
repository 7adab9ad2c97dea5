"""Times as facts state them: instants with an offset, and bare dates. EVENTS section 1."""

import re
from datetime import UTC, date, datetime

RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
FIRST_YEAR, LAST_YEAR = 1901, 2199


def instant(value: object) -> datetime:
    """An RFC 3339 text with an offset, as UTC. A time without an offset, or outside 1900-2200, is refused."""
    if isinstance(value, str) and _is_plain(value):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            pass  # said below, in our words
        else:
            if FIRST_YEAR <= found.year <= LAST_YEAR:
                return found if found.tzinfo is UTC else found.astimezone(UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        msg = "must be an RFC 3339 time with an offset, as in 2026-03-02T09:14:07+01:00"
        raise ValueError(msg)
    found = datetime.fromisoformat(value if value[10] == "T" and value[-1] != "z" else value.upper())
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        msg = f"must lie between {FIRST_YEAR} and {LAST_YEAR}"
        raise ValueError(msg)
    return found if found.tzinfo is UTC else found.astimezone(UTC)


def _is_plain(value: str) -> bool:
    """Whether a text has the usual shape, whose digits `fromisoformat` reads as RFC 3339 has them."""
    size = len(value)
    if size < 20:
        return False
    rest = size - 20 if value[-1] == "Z" else size - 25 if value[-3] == ":" and value[-6] in "+-" else -1
    return (
        (rest == 0 or (rest in (4, 7) and value[19] == "."))
        and value[4] == "-" and value[7] == "-" and value[10] == "T" and value[13] == ":" and value[16] == ":"
        and value.isascii()
    )  # fmt: skip


def moment(value: object) -> datetime | date:
    """An instant, or a bare date, whose start or end the jurisdiction's zone decides. DOMAIN section 4, times in data."""
    if isinstance(value, str) and DAY.fullmatch(value):
        found = date.fromisoformat(value)
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            msg = f"must lie between {FIRST_YEAR} and {LAST_YEAR}"
            raise ValueError(msg)
        return found
    if type(value) is date:
        return value
    return instant(value)
