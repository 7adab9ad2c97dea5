"""The fast reader and the one at the doors: what both read, they read alike, whatever the record looks like."""

from random import Random
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct
from pydantic import StringConstraints
from pydantic.fields import FieldInfo

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


def rules(kind: Any) -> list[tuple[Any, Any]]:
    """What a text or number of a fact may be, by pydantic's rules and by those of the fast reader, wherever there are any."""
    found = []
    if isinstance(kind, type) and issubclass(kind, Struct):
        return [pair for hint in get_type_hints(kind, include_extras=True).values() for pair in rules(hint)]
    if get_origin(kind) is Annotated:
        said = [one for one in kind.__metadata__ if isinstance(one, StringConstraints | FieldInfo)]
        meta = next((one for one in kind.__metadata__ if isinstance(one, Meta)), Meta())
        for one in said:
            lengths = (getattr(one, "min_length", None), getattr(one, "max_length", None))
            least = next((rule.ge for rule in getattr(one, "metadata", ()) if hasattr(rule, "ge")), None)
            found.append(((*lengths, least), (meta.min_length, meta.max_length, meta.ge)))
    return found + [pair for one in get_args(kind) for pair in rules(one)]


def test_every_rule_of_the_doors_is_one_of_the_fast_reader() -> None:
    pairs = [pair for kind in AT_ONCE for pair in rules(TYPES[kind])]

    assert len(pairs) > 50
    assert [ours for ours, _ in pairs] == [theirs for _, theirs in pairs]


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


PLAIN: dict[Any, list[Any]] = {str: ["a", "bb"], bool: [True, False], int: [2], float: [5, 1.5], type(None): [None]}


def usual(kind: Any) -> list[Any]:
    """Some values that a field may well have."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if get_origin(kind) is tuple:
        return [[], ["a"]]
    return PLAIN.get(kind) or [value for one in get_args(kind) for value in usual(one)] or [{"kind": "bot"}]


@settings(max_examples=1500)
@given(st.sampled_from(sorted(AT_ONCE)), st.randoms(use_true_random=False), st.lists(ODD, min_size=1, max_size=3))
def test_of_any_kind_with_any_values_both_say_the_same(kind: str, random: Random, odd: list[Any]) -> None:
    content, _ = told(1)
    hints = get_type_hints(TYPES[kind], include_extras=True)
    data = {name: random.choice(usual(hint)) for name, hint in hints.items() if random.random() < 0.8}
    data |= {random.choice(list(hints)): value for value in odd if random.random() < 0.3}
    value = orjson.dumps(content | {"type": kind, "data": data})

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


LARGE = (2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400)


@pytest.mark.parametrize("level", [*map(str, LARGE), "1e3", "1.0", "-0", "true", '"2"', '""', "null", "1e400"])
def test_a_number_is_read_alike_however_large(level: str) -> None:
    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"parcours.case.escalated.v1","subject":"p","time":"2026-03-02T09:00:00Z",'
    value += b'"recordedtime":"2026-03-02T09:00:01Z","data":{"case":"c","level":' + level.encode() + b"}}"

    assert outcome(decoded, value) == outcome(slowly, value)


@pytest.mark.parametrize(
    "first", [b'"\xff"', b'"\xed\xa0\x80"', b'{"\xff":1}', b"1e309", b"9" * 400, b"{}", b"[[[]]]", b"nul"]
)
def test_data_said_twice_is_no_less_looked_at_the_first_time(first: bytes) -> None:
    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"parcours.case.worked.v1","subject":"p","time":"2026-03-02T09:00:00Z",'
    value += b'"recordedtime":"2026-03-02T09:00:01Z","data":' + first + b',"data":{"case":"c","department":"A"}}'

    assert outcome(decoded, value) == outcome(slowly, value)


@pytest.mark.parametrize(
    "said",
    [
        '"time":"2026-03-02T09:00:00.1234567+01:00"', '"time":"2026-03-02 09:00:00Z"', '"time":"1850-03-02T09:00:00Z"',
        '"time":"2026-03-02T09:00:00"', '"time":"9999-12-31T23:59:59Z"', '"source":"' + "é" * 700 + '"', '"tenant":"North"', '"tenant":null',
        '"partitionkey":"x"', '"recordedtime":"2020-01-01T00:00:00Z"', '"specversion":"9"', '"data":[]', '"data":null', '"zz":[[[]]]',
        '"data":{"case":"c","department":"B"}', '"traceparent":5', '"type":"parcours.contact.handled.v0"', '"type":"parcours.unheard.of.v1"', '"id":"\\u0000"', '"id":"\\ud800"',
    ],
)  # fmt: skip
def test_what_is_said_twice_counts_as_it_is_said_last(said: str) -> None:
    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"parcours.case.worked.v1","subject":"p","time":"2026-03-02T09:00:00Z",'
    value += b'"recordedtime":"2026-03-02T09:00:01Z","data":{"case":"c","department":"A"},' + said.encode() + b"}"

    assert outcome(decoded, value) == outcome(slowly, value)
