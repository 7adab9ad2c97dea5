"""The kinds of value a fact may carry, each with its one rule. EVENTS section 1."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

from events.times import instant, moment


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
]
Text = Annotated[str, Strict()]
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
