"""How the elements of a batch are told apart: what is wrong with one is never another's fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.guests import Problem
from services.intake.door import elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_array_is_told_apart_into_what_it_is_made_of(listed: list[Any], indent: Any, ascii_only: bool) -> None:  # noqa: FBT001
    said = json.dumps(listed, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    assert [json.loads(one.decode("utf-8", "surrogatepass")) for one in elements(said)] == listed


@pytest.mark.parametrize(
    "bad",
    [
        b"[" * 5000 + b"]" * 5000, b"9" * 5000, b"1e999", b'{"a":}', b"", b'"\\x"', b"nul", b'"\xff"', b"{]", b'{"a" "b"}',
    ],
)  # fmt: skip
def test_what_is_no_json_takes_nothing_with_it(bad: bytes) -> None:
    assert elements(b'[{"first":1},' + bad + b' , {"last":"]"}]')[0] == b'{"first":1}'
    assert len(elements(b'[{"first":1}, ' + bad + b",2]")) >= 2


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{}",
        b'{"a":[1]}',
        b"[1",
        b'["a]',
        b"[1]]",
        b"[1][2]",
        b"[1] x",
        b'[{"a":"x},{"b":2}]',
        b"[{]},1]",
        b'[{"a":1}}',
        b'["\\"]',
        b'"' + b'\\"' * 100_000,
    ],
)
def test_what_has_no_clear_end_is_no_batch(bad: bytes) -> None:
    with pytest.raises(Problem) as refused:
        elements(bad)

    assert refused.value.status == 422
    assert refused.value.title == "Not a batch"
