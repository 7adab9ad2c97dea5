"""The fast reader: a record as it stands in the log, read at once into its fact, without a dictionary between. DESIGN section 9.

It reads what is said in the usual way, and says nothing of the rest: that is left to the reader at the doors, whose word counts
(`catalogue.read`). What both read, they read alike; `tests/unit/test_reading.py` holds them against each other.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, get_args, get_type_hints

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from events.fields import Data

UNUSUAL = (DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for a record of which the fast reader says nothing."""


class Stated(Struct, gc=False, forbid_unknown_fields=True):
    """The context attributes as they are said, none of them checked yet."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    recordedtime: str
    data: Raw
    tenant: str = "default"
    partitionkey: str | None = None
    datacontenttype: str | None = None
    traceparent: str | None = None
    correlationid: str | None = None
    causationid: str | None = None


stated: Callable[[bytes], Stated] = Decoder(Stated).decode


def readers(kinds: Mapping[str, type[Data]]) -> dict[str, Callable[[Raw], Data]]:
    """How each kind of fact is read; those that hold times are left out, for how a time is written is for `times` alone to say."""
    return {kind: Decoder(model).decode for kind, model in kinds.items() if not _holds_times(model)}


def _holds_times(kind: Any) -> bool:
    if kind in (datetime, date):
        return True
    if isinstance(kind, type) and issubclass(kind, Struct):
        return any(map(_holds_times, get_type_hints(kind).values()))
    return any(map(_holds_times, get_args(kind)))
