"""The kinds of value a fact may carry, each with its one rule. EVENTS section 1."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}(?:\d{3})?)?Z")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
FIRST_YEAR, LAST_YEAR = 1901, 2199


def instant(value: object) -> datetime:
    """An RFC 3339 text with an offset, as UTC. A time without an offset, or outside 1900-2200, is refused."""
    if isinstance(value, str) and PLAIN.fullmatch(value):
        found = datetime.fromisoformat(value)  # its zone is UTC itself
        if FIRST_YEAR <= found.year <= LAST_YEAR:
            return found
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


def without_nul(value: str) -> str:
    """Postgres keeps no NUL character, and no honest text holds one."""
    if "\x00" in value:
        msg = "must hold no NUL character"
        raise ValueError(msg)
    return value


def is_storable(value: Any) -> bool:
    """Whether every string in a JSON value can be kept: no NUL, no lone surrogate."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(is_storable(k) and is_storable(v) for k, v in value.items())
    return all(is_storable(v) for v in value) if isinstance(value, list) else True


Instant = Annotated[
    datetime,
    BeforeValidator(instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Moment = Annotated[
    datetime | date,
    BeforeValidator(moment),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}),
]
Id = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=128),
    AfterValidator(without_nul),
]
Text = Annotated[str, Strict(), AfterValidator(without_nul)]
Flag = Annotated[bool, Strict()]
Seconds = Annotated[float, Strict(), Field(ge=0)]
Channel = Literal[
    "phone",
    "mail",
    "post",
    "portal",
    "counter",
    "sms",
    "chat",
    "social",
    "fax",
    "edi",
    "other",
]
ActorKind = Literal["human", "system", "bot", "patient", "representative", "professional"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. An absent actor is human (DOMAIN section 2)."""

    kind: ActorKind = "human"
    id: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What every fact's `data` may carry. Unknown fields are kept with the raw record."""

    actor: Actor | None = None
    channel: Channel | None = None
    language: Text | None = None
    site: Text | None = None
