"""The kinds of value a fact may carry, each with its one rule. EVENTS section 1."""

from dataclasses import make_dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields
from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import core_schema

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
LONGEST_ID = 128
Id = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=LONGEST_ID),
    Meta(min_length=1, max_length=LONGEST_ID),
]
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number; of one that is larger, which JSON readers take for different things, the doors' reader has the word."""
Seconds = Annotated[float, Strict(), Field(ge=0), Meta(ge=0)]
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


class Said(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What is said once for both of its readers: pydantic's at the doors, which has the last word, and the fast one of `events.reading`.

    `Annotated` holds the rules of both. A field that is unknown here is nothing to pydantic; the fast reader leaves such a fact to it.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The same fields as a dataclass, which is what pydantic knows how to read, and then one of ours of what it has read."""
        kinds = get_type_hints(cls, include_extras=True)
        ours = {field.name: () if field.default is NODEFAULT else (field.default,) for field in fields(cls)}
        listed = [(name, kind, *ours[name]) for name, kind in kinds.items() if name in ours]
        said = {"__doc__": cls.__doc__} if cls.__doc__ else {}
        read = make_dataclass(cls.__name__, listed, kw_only=True, frozen=True, namespace=said)
        return core_schema.no_info_after_validator_function(lambda found: cls(**vars(found)), handler(read))


class Actor(Said, frozen=True):
    """Who did it. An absent actor is human (DOMAIN section 2)."""

    kind: ActorKind = "human"
    id: Id | None = None


class Data(Said, frozen=True, kw_only=True):
    """What every fact's `data` may carry. Unknown fields are kept with the raw record."""

    actor: Actor | None = None
    channel: Channel | None = None
    language: Text | None = None
    site: Text | None = None
