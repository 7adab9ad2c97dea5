"""Why a record is no fact, in both languages."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from events.catalogue import CURRENT, decoded
from events.envelope import Refused
from projections.jurisdictions import UnknownJurisdiction
from services.refusals import refusal, ruled

ENVELOPE = {
    "specversion": "1.0", "id": "1", "source": "/test", "subject": "p1", "time": "2026-03-02T10:00:00Z", "recordedtime": "2026-03-02T10:00:00Z",
    "type": "parcours.case.worked.v1", "data": {"case": "c1", "actor": {"kind": "human"}},
}  # fmt: skip
ODD: tuple[Any, ...] = (
    None, 1, -1.5, "", "x", "x" * 300, True, [], [1], [""], {}, {"kind": "nobody"}, "2026-13-01", "2026-02-30", "2026-03-02T10:00:00",
    "2026-03-02T25:00:00Z", "2026-03-02T10:61:00Z", "2026-03-02T10:00:61Z", "0001-01-01T00:00:00Z",
)  # fmt: skip
GOOD = {
    "case": "c1", "contact": "k1", "claim": "r1", "actor": {"kind": "human"}, "department": "A", "channel": "phone", "direction": "inbound",
    "outcome": "answered", "kind": "complaint", "reason": "other", "to": "patient", "into": "p2", "due_at": "2026-03-02",
}  # fmt: skip


def refused(content: bytes, headers: tuple[tuple[str, bytes | None], ...] = ()) -> Refused | None:
    try:
        decoded(content, headers)
    except Refused as wrong:
        return wrong
    return None


def wrong_data() -> Iterator[Refused]:
    """Every field of every fact, with everything odd."""
    for name, model in CURRENT.items():
        fields = {*model.__struct_fields__, "case"}
        for field in fields:
            for value in ODD:
                for good in (GOOD, GOOD | {"kind": "answer"}, GOOD | {"reason": "duplicate"}):
                    data = {one: good[one] for one in fields & good.keys()} | {field: value}
                    if wrong := refused(orjson.dumps(ENVELOPE | {"type": f"parcours.{name}.v1", "data": data})):
                        yield wrong


def wrong_envelopes() -> Iterator[Refused]:
    """Every attribute, with everything odd, and what is no envelope."""
    for name in (*ENVELOPE, "tenant", "partitionkey"):
        for value in (*ODD, "x" * 3000, "\u00e9" * 2000, "2026-03-02T11:00:00Z"):
            if wrong := refused(orjson.dumps(ENVELOPE | {name: value})):
                yield wrong
    deep = b"[" * 400 + b"]" * 400
    for content in (
        b"{",
        b"[]",
        b"\xff",
        orjson.dumps(ENVELOPE).replace(b'"c1"', b'"\\u0000"'),
        b'{"data":' + deep + b"}",
    ):
        if wrong := refused(content):
            yield wrong
    for value in (None, b"\xff"):
        if wrong := refused(b"{}", (("ce_specversion", b"1.0"), ("ce_id", value))):
            yield wrong


def test_every_rule_that_a_record_can_break_is_said_in_french() -> None:
    rules = {wrong.rule for wrong in (*wrong_data(), *wrong_envelopes())}
    assert len(rules) > 35
    assert sorted(rule for rule in rules if ruled(rule).fr == rule) == []


@pytest.mark.parametrize(
    "rule",
    [
        "has no value", "lies in partition 3, not in that of tenant|subject", "lies more than 5 minutes after the log took the record",
        "the tables keep no such row (DataError)", "stands twice in one object", "a header without a value", "a header that is not UTF-8",
    ],
)  # fmt: skip
def test_what_a_log_or_the_tables_refuse_is_said_in_french(rule: str) -> None:
    assert ruled(rule).fr != rule
    assert ruled(rule) == rule


def test_a_refusal_names_the_field_and_the_rule_and_an_unknown_law_its_field() -> None:
    said = refusal(Refused("data.case", "Field required"))
    assert (str(said), said.fr) == ("data.case: Field required", "data.case : ce champ est obligatoire")
    law = refusal(UnknownJurisdiction("atlantis"))
    assert str(law) == "data.jurisdiction: atlantis is no jurisdiction of the policy in force"
    assert law.fr == "data.jurisdiction : atlantis n'est pas une réglementation de la politique en vigueur"
    assert ruled("something new").fr == "something new"
