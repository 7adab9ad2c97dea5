"""What the queries of the reading doors are made of: their kinds of value, each with its limits."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query

from events.times import instant
from services.guests import Problem

Limit = Annotated[int, Query(ge=1, le=1_000)]
Instant = Annotated[str | None, Query(max_length=40, description="RFC 3339 with an offset")]
Level = Literal["B1", "B2", "B3", "B4"]
Step = Literal["U0", "U1", "U2", "U3", "U4", "U5"]
Id = Annotated[str, Path(min_length=1, max_length=256)]
Name = Annotated[str | None, Query(min_length=1, max_length=128)]


def at(name: str, text: str | None) -> datetime | None:
    """An instant of a query. Raises `Problem` 422."""
    try:
        return None if text is None else instant(text.replace(" ", "+"))
    except ValueError as wrong:
        raise Problem(422, "Not a time", f"{name} {wrong}", name, str(wrong)) from None


def plain(text: str | None) -> str | None:
    """A text for Postgres. Raises `Problem` 404 for what no row can hold."""
    if text is not None and ("\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)):
        raise Problem(404, "Not found", "no such thing can exist")
    return text
