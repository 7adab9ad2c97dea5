"""Keyset cursors: the key of the last row of a page, as a text that goes into an address."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from services.guests import Problem


def key_of(cursor: str | None, size: int, times: Sequence[int]) -> tuple[Any, ...] | None:
    """The key a cursor stands for. Raises `Problem` 422 for one that we did not give."""
    if cursor is None:
        return None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(parts, list) or len(parts) != size:
            _not()
        return tuple(
            datetime.fromisoformat(part) if n in times else part if part is None or isinstance(part, str) else _not()
            for n, part in enumerate(parts)
        )
    except (ValueError, TypeError, binascii.Error):
        raise Problem(422, "Not a cursor", "next must be what the page before said", "next") from None


def _not() -> Any:
    raise ValueError


def cursor_of(key: tuple[Any, ...] | None) -> str | None:
    return None if key is None else base64.urlsafe_b64encode(orjson.dumps(list(key))).decode()
