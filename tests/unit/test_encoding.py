"""Rows in PostgreSQL's binary form, and what is changed of facts before they are written."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from services.projector.changes import Changes
from services.projector.encoding import KINDS, encoded

AT = datetime(2026, 3, 2, 9, 0, 0, 250_000, tzinfo=UTC)
MICROS = 825_757_200_250_000  # from 2000-01-01 to AT


def one(kind: str, value: object) -> bytes:
    """What one column of one row is made into, without the count of columns before it."""
    made = encoded([(value,)], [KINDS[kind]])
    assert made[:2] == b"\x00\x01"
    return made[2:]


@pytest.mark.parametrize(
    ("kind", "value", "content"),
    [
        ("text", "é", "é".encode()),
        ("text", "", b""),
        ("smallint", -3, struct.pack(">h", -3)),
        ("integer", 70_000, struct.pack(">i", 70_000)),
        ("bigint", 2**40, struct.pack(">q", 2**40)),
        ("boolean", True, b"\x01"),
        ("boolean", False, b"\x00"),
        ("timestamptz", AT, struct.pack(">q", MICROS)),
        ("bytea", b"\x00\xff", b"\x00\xff"),
        ("jsonb", {"a": [1]}, b'\x01{"a":[1]}'),
        ("text[]", [], struct.pack(">iii", 0, 0, 25)),
        ("text[]", ["A", "B"], struct.pack(">iiiii", 1, 0, 25, 2, 1) + struct.pack(">i", 1) + b"A" + struct.pack(">i", 1) + b"B"),
        ("boolean[]", [True], struct.pack(">iiiii", 1, 0, 16, 1, 1) + struct.pack(">i", 1) + b"\x01"),
        ("timestamptz[]", [AT], struct.pack(">iiiii", 1, 0, 1184, 1, 1) + struct.pack(">iq", 8, MICROS)),
    ],
)  # fmt: skip
def test_every_kind_of_column_is_as_the_manual_of_postgres_has_it(kind: str, value: object, content: bytes) -> None:
    assert one(kind, value) == struct.pack(">i", len(content)) + content


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_minus_one_byte_long(kind: str) -> None:
    assert one(kind, None) == struct.pack(">i", -1)


@pytest.mark.parametrize(("kind", "value"), [("text", "\ud800"), ("integer", 2**31), ("smallint", 40_000)])
def test_what_no_column_holds_is_refused(kind: str, value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        one(kind, value)


def fact(name: str, raw: bytes) -> tuple[Any, ...]:
    return ("t", "p", "p", "/s", name, "kind", AT, AT, 3, True, False, raw)


def test_a_copy_that_counts_takes_the_place_of_the_fact_before_it_is_written() -> None:
    changes = Changes(facts=[fact("a", b"old"), fact("b", b"other")])
    changes.replaced = [
        ("t", "p", "p", "/s", "a", "kind", AT, AT, False, b"new"),
        ("t", "p", "p", "/s", "c", "kind", AT, AT, True, b"c"),
    ]
    changes.conflicting = [("t", "p", "p", "/s", "a"), ("t", "p", "p", "/s", "d")]

    changes.amend()

    assert changes.facts == [(*fact("a", b"new")[:9], False, True, b"new"), fact("b", b"other")]
    assert [row[4] for row in changes.replaced] == ["c"]
    assert [row[4] for row in changes.conflicting] == ["d"]
