"""The fast reader and the one at the doors: what both read, they read alike, whatever the record looks like."""

from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from events.catalogue import AT_ONCE, TYPES, at_once, decoded, fact
from events.envelope import Recorded, Refused, envelope, parsed, storable
from tests.builders import lines
from tests.strategies import one

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4), st.just("x" * 128),
    st.just("x" * 129), st.just("é" * 128), st.just("\U0001f600" * 129), st.just([]), st.just(["a", "b"]), st.just([""]), st.just({}),
    st.just({"kind": "bot"}), st.just({"kind": "bot", "id": ""}), st.just({"kind": "nobody"}), st.just("2026-03-02T09:00:00Z"), st.just("phone"),
)  # fmt: skip
NAMES = (
    "id",
    "source",
    "type",
    "subject",
    "tenant",
    "time",
    "recordedtime",
    "partitionkey",
    "specversion",
    "traceparent",
    "data",
    "zz",
)


def slowly(value: bytes) -> Recorded:
    """As the doors read it."""
    content = parsed(value)
    storable(content, value)
    return fact(envelope(content), value)


def outcome(read: Any, value: bytes) -> Any:
    try:
        found = read(value)
    except Refused as wrong:
        return (wrong.field, wrong.code, str(wrong))
    except RecursionError:
        return "too deep"
    said = (
        found.tenant,
        found.subject,
        found.source,
        found.id,
        found.type,
        found.occurred_at,
        found.recorded_at,
        found.raw,
    )
    return (*said, type(found.data), found.data)


def told(seed: int) -> tuple[dict[str, Any], bytes]:
    """Any fact of the catalogue, as it stands in the log."""
    (value,) = lines(one(Random(seed)))
    return orjson.loads(value), value


@given(st.integers(0, 10_000))
def test_a_usual_fact_is_read_at_once_and_as_the_doors_read_it(seed: int) -> None:
    content, value = told(seed)

    if content["type"] in AT_ONCE:
        assert at_once(value) is not None
    assert outcome(decoded, value) == outcome(slowly, value)


def test_what_holds_no_time_is_read_at_once() -> None:
    left = {kind.removeprefix("parcours.").removesuffix(".v1") for kind in TYPES.keys() - AT_ONCE.keys()}

    assert {"case.worked", "case.transferred", "contact.received", "contact.handled", "claim.answered"}.isdisjoint(left)
    assert {"claim.registered", "claim.paused", "alert.raised", "alert.silenced"} <= left


@settings(max_examples=1500)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.booleans(), st.integers(0, 20), ODD), min_size=1, max_size=3))
def test_with_any_value_anywhere_both_say_the_same(seed: int, changes: list[tuple[bool, int, Any]]) -> None:
    content, _ = told(seed)
    data = content["data"]
    for is_data, number, odd in changes:
        names = [*data, "actor", "channel", "zz"] if is_data else NAMES
        (data if is_data else content)[names[number % len(names)]] = odd
    value = orjson.dumps(content)

    assert outcome(decoded, value) == outcome(slowly, value)


@settings(max_examples=3000)
@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=6) | st.sampled_from((
        b'"', b"\\", b"{", b"}", b",", b":", b"\x00", b"\n", b"\xff", b"\xc3", b"1e999", b"01", b"-", b"NaN", b'"id":"b",', b'"type":"x",',
        b'"data":{},', b'"zz":1,', b'"case":"c9",', b"\xef\xbb\xbf", b"\xed\xa0\x80", b"/**/", b" ", b"1.0", b"null,",
    ))), min_size=1, max_size=3),
)  # fmt: skip
@example(1, [(1.0, 0, b" ")])
@example(1, [(0.0, 0, b"\xef\xbb\xbf")])
def test_with_any_bytes_anywhere_both_say_the_same(seed: int, cuts: list[tuple[float, int, bytes]]) -> None:
    _, value = told(seed)
    for where, length, instead in cuts:
        at = int(where * len(value))
        value = value[:at] + instead + value[at + (length if length < 5 else 0) :]

    assert outcome(decoded, value) == outcome(slowly, value)


@pytest.mark.parametrize(
    "said",
    [
        '"time":"2026-03-02T09:00:00.1234567+01:00"', '"time":"2026-03-02 09:00:00Z"', '"time":"1850-03-02T09:00:00Z"',
        '"time":"2026-03-02T09:00:00"', '"time":"9999-12-31T23:59:59Z"', '"source":"' + "é" * 700 + '"', '"tenant":"North"', '"tenant":null',
        '"partitionkey":"x"', '"recordedtime":"2020-01-01T00:00:00Z"', '"specversion":"9"', '"data":[]', '"data":null', '"zz":[[[]]]',
        '"traceparent":5', '"type":"parcours.contact.handled.v0"', '"type":"parcours.unheard.of.v1"', '"id":"\\u0000"', '"id":"\\ud800"',
    ],
)  # fmt: skip
def test_what_is_said_twice_counts_as_it_is_said_last(said: str) -> None:
    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"parcours.case.worked.v1","subject":"p","time":"2026-03-02T09:00:00Z",'
    value += b'"recordedtime":"2026-03-02T09:00:01Z","data":{"case":"c","department":"A"},' + said.encode() + b"}"

    assert outcome(decoded, value) == outcome(slowly, value)
