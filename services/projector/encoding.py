"""Rows as PostgreSQL's binary COPY takes them. The layout is that of the PostgreSQL manual, COPY, "Binary Format"."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from librt.strings import BytesWriter, write_i16_be, write_i32_be, write_i64_be
from mypy_extensions import i16, i32, i64

HEAD: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TAIL: Final = b"\xff\xff"
TRUE: Final = b"\x00\x00\x00\x01\x01"
FALSE: Final = b"\x00\x00\x00\x01\x00"
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
TEXT_TYPE: Final = 25
FLAG_TYPE: Final = 16
TIME_TYPE: Final = 1184

TEXT: Final = 0
SMALLINT: Final = 1
INTEGER: Final = 2
BIGINT: Final = 3
FLAG: Final = 4
TIME: Final = 5
BYTES: Final = 6
JSON: Final = 7
TEXTS: Final = 8
FLAGS: Final = 9
TIMES: Final = 10
KINDS: Final = {
    "text": TEXT, "smallint": SMALLINT, "integer": INTEGER, "bigint": BIGINT, "boolean": FLAG, "timestamptz": TIME,
    "bytea": BYTES, "jsonb": JSON, "text[]": TEXTS, "boolean[]": FLAGS, "timestamptz[]": TIMES,
}  # fmt: skip


def encoded(rows: Sequence[tuple[Any, ...]], kinds: list[int]) -> bytes:
    """Rows of a COPY's payload, which begins with `HEAD` and ends with `TAIL`: `kinds` says of each column what it is (`KINDS`),
    None is null.

    Raises ValueError (UnicodeEncodeError too) or OverflowError for a value that no column of its kind can hold.
    """
    out = BytesWriter()
    width: i16 = len(kinds)
    for row in rows:
        write_i16_be(out, width)
        n = 0
        for value in row:
            _add(out, kinds[n], value)
            n += 1  # noqa: SIM113 - enumerate would make an object of each number
    return out.getvalue()


def _add(out: BytesWriter, kind: int, value: Any) -> None:
    if value is None:
        write_i32_be(out, -1)
    elif kind == TEXT:
        text: str = value
        _sized(out, text.encode())
    elif kind == TIME:
        at: datetime = value
        write_i32_be(out, 8)
        write_i64_be(out, micros(at))
    elif kind == FLAG:
        out.write(TRUE if value else FALSE)
    elif kind == INTEGER:
        whole: i32 = value
        write_i32_be(out, 4)
        write_i32_be(out, whole)
    elif kind == BYTES:
        raw: bytes = value
        _sized(out, raw)
    elif kind == SMALLINT:
        small: i16 = value
        write_i32_be(out, 2)
        write_i16_be(out, small)
    elif kind == JSON:
        _sized(out, b"\x01" + orjson.dumps(value))
    elif kind == BIGINT:
        big: i64 = value
        write_i32_be(out, 8)
        write_i64_be(out, big)
    elif kind == TEXTS:
        _array(out, TEXT, TEXT_TYPE, value)
    elif kind == FLAGS:
        _array(out, FLAG, FLAG_TYPE, value)
    else:
        _array(out, TIME, TIME_TYPE, value)


def _sized(out: BytesWriter, content: bytes) -> None:
    size: i32 = len(content)
    write_i32_be(out, size)
    out.write(content)


def _array(out: BytesWriter, kind: int, of: i32, values: list[Any]) -> None:
    part = BytesWriter()
    count: i32 = len(values)
    write_i32_be(part, 1 if count > 0 else 0)
    write_i32_be(part, 0)
    write_i32_be(part, of)
    if count > 0:
        write_i32_be(part, count)
        write_i32_be(part, 1)
    for value in values:
        _add(part, kind, value)
    _sized(out, part.getvalue())


def micros(at: datetime) -> i64:
    """Microseconds since 2000, as timestamptz counts."""
    since = at - EPOCH
    days: i64 = since.days
    seconds: i64 = since.seconds
    rest: i64 = since.microseconds
    return (days * 86_400 + seconds) * 1_000_000 + rest
