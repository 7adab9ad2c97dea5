"""Facts and their envelope: what is refused and why, both modes, old versions, the contract."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured, to_binary
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft7Validator, Draft202012Validator

import deploy
import events
import projections
import services
from events import contract
from events.catalogue import CURRENT, TYPES, decoded
from events.contacts import ContactHandled
from events.envelope import Refused, of_binary, written
from events.identity import bare, bared, canonical, contents
from events.times import instant
from projections.acts import act
from projections.patient import PatientFile
from projections.policy import Policy
from tests.builders import envelope, facts_of, lines, said, worked

SAMPLES = sorted((Path(events.__file__).parent / "samples").glob("*.json"))


@pytest.mark.parametrize("package", [events, projections, services, deploy])
def test_the_plain_names_are_ours(package: Any) -> None:
    assert Path(package.__file__).parents[1] == Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 3, 2, 8, 14, 7, tzinfo=UTC), "2026-03-02T08:14:07Z"),
        (datetime(2026, 3, 2, 8, 14, 7, 120_000, tzinfo=UTC), "2026-03-02T08:14:07.120000Z"),
        (datetime(2026, 3, 2, 8, 14, tzinfo=timezone(timedelta(hours=9))), "2026-03-01T23:14:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_an_instant_is_written_in_utc(at: datetime, said: str) -> None:
    assert written(at) == said


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_of_every_version_ever_published_is_still_read(sample: Path) -> None:
    fact = decoded(sample.read_bytes())

    assert fact.data is not None
    assert fact.occurred_at == datetime(2026, 3, 2, 8, 14, 7, tzinfo=UTC)


def test_there_is_a_sample_of_every_type() -> None:
    assert {path.stem for path in SAMPLES} >= {f"{name}.v1" for name in CURRENT}


def test_the_pilot_s_version_of_handled_is_lifted() -> None:
    sample = next(path for path in SAMPLES if path.stem == "contact.handled.v0")

    data = decoded(sample.read_bytes()).data

    assert isinstance(data, ContactHandled)
    assert data.outcome == "answered"


@pytest.mark.parametrize("sample", [path for path in SAMPLES if path.stem.endswith(".v1")], ids=lambda path: path.stem)
def test_a_sample_fits_its_schema(sample: Path) -> None:
    schema = json.loads((contract.FOLDER / sample.name).read_text())

    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(sample.read_text()))


def test_the_committed_contract_is_current() -> None:
    committed = {path.name: path.read_text() for path in contract.FOLDER.glob("*.json")}

    assert committed == contract.files(), "run `make contract` and commit what it writes"


def test_every_type_has_a_message_in_the_asyncapi() -> None:
    assert set(contract.asyncapi()["components"]["messages"]) == set(CURRENT)
    assert len(TYPES) == len(CURRENT)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no specversion": ({"specversion": None}, "specversion"),
    "a time without an offset": ({"time": "2026-03-02T09:00:00"}, "time"),
    "no time": ({"time": None}, "time"),
    "no recordedtime": ({"recordedtime": None}, "recordedtime"),
    "an empty subject": ({"subject": ""}, "subject"),
    "an id too long": ({"id": "x" * 129}, "id"),
    "a tenant in capitals": ({"tenant": "North"}, "tenant"),
    "another partitionkey": ({"partitionkey": "default|p2"}, "partitionkey"),
    "a time to come": ({"time": "2026-03-02T09:05:02Z"}, "time"),
    "data that is no object": ({"data": []}, "data"),
    "an empty department": ({"data": {"case": "c1", "department": ""}}, "data.department"),
    "a case that is a number": ({"data": {"case": 1}}, "data.case"),
    "a flag in words": ({"data": {"case": "c1", "substantive": "true"}}, "data.substantive"),
    "an actor of no kind": ({"data": {"case": "c1", "actor": {"kind": "ghost"}}}, "data.actor.kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_fact_is_refused_by_field(name: str) -> None:
    change, field = BAD[name]
    good = envelope(worked("A"), 1, datetime(2026, 3, 2, 9, tzinfo=UTC)) | {"recordedtime": "2026-03-02T09:00:01Z"}

    with pytest.raises(Refused) as refused:
        decoded(orjson.dumps(good | change))

    assert refused.value.field == field


def test_five_minutes_ahead_is_still_taken_and_occurred_when_recorded() -> None:
    good = envelope(worked("A"), 1, datetime(2026, 3, 2, 9, tzinfo=UTC)) | {"time": "2026-03-02T09:05:01Z"}

    assert decoded(orjson.dumps(good)).occurred_at == datetime(2026, 3, 2, 9, 0, 1, tzinfo=UTC)


def test_a_closing_as_duplicate_names_the_other_case() -> None:
    with pytest.raises(Refused, match="other_case"):
        decoded(lines(said("case.closed", case="c1", reason="duplicate"))[0])


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'"x"', b"\xff", b"null", b"{" * 5000])
def test_what_is_not_json_is_refused(value: bytes) -> None:
    with pytest.raises(Refused):
        decoded(value)


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(Refused, match="NUL"):
        decoded(lines(worked("A"))[0].replace(b'"A"', b'"\\u0000"'))


def test_of_two_equal_keys_the_last_counts_from_kafka() -> None:
    twice = lines(worked("A"))[0].replace(b'"department":"A"', b'"department":"B","department":"A"')

    assert getattr(decoded(twice).data, "department", None) == "A"


def test_unknown_attributes_and_fields_are_kept() -> None:
    content = envelope(said("case.worked", case="c1", mood="calm"), 1, datetime(2026, 3, 2, 9, tzinfo=UTC)) | {
        "ward": "7"
    }

    assert b"calm" in decoded(orjson.dumps(content)).raw


def library_event(line: bytes) -> Any:
    """A structured fact as the CloudEvents library reads it."""
    message = KafkaMessage({"content-type": b"application/cloudevents+json"}, b"default|p1", line)
    return from_structured(message, JSONFormat())


def test_binary_mode_is_read_as_the_cloudevents_library_writes_it() -> None:
    structured = lines(worked("Cardiologie é"))[0]

    message = to_binary(library_event(structured), JSONFormat())
    fact = decoded(message.value, tuple(message.headers.items()))

    assert fact.identity == decoded(structured).identity
    assert fact.occurred_at == decoded(structured).occurred_at
    assert getattr(fact.data, "department", None) == "Cardiologie é"


def test_a_structured_fact_is_an_event_for_the_cloudevents_library() -> None:
    event = library_event(lines(worked("A"))[0])

    assert (event.get_type(), event.get_subject()) == ("parcours.case.worked.v1", "p1")


CLOUDEVENTS = Path(__file__).parents[3] / "shared" / "data" / "cloudevents"
conformance = pytest.mark.skipif(not CLOUDEVENTS.exists(), reason="../shared is not beside this checkout")


def _cells(lines_of: list[str]) -> dict[str, str]:
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in lines_of
        if line.strip().startswith("|")
    ]
    return {key: value for key, value in rows if key != "key"}


@conformance
def test_the_conformance_scenario_of_the_kafka_binding_in_binary_mode() -> None:
    text = (CLOUDEVENTS / "features" / "kafka-protocol-binding.feature").read_text()
    scenario = text.split("Scenario: Binary content mode")[1].split("Scenario Outline")[0]
    payload = scenario.split('"""')[1].strip().encode()
    before, after = scenario.split("When parsed as Kafka message")
    headers = [(name, value.encode()) for name, value in _cells(before.splitlines()).items()]

    content = of_binary(headers, payload)

    assert {name: content[name] for name in _cells(after.splitlines())} == _cells(after.splitlines())
    assert content["data"] == {"message": "Hello World!"}


@conformance
def test_our_samples_are_cloudevents_by_their_published_schema() -> None:
    schema = json.loads((CLOUDEVENTS / "cloudevents.schema.json").read_text())

    for sample in SAMPLES:
        Draft7Validator(schema).validate(json.loads(sample.read_text()))


def test_a_header_of_kafka_is_taken_as_it_stands() -> None:
    assert of_binary([("ce_subject", b"50%25"), ("ce_specversion", b"1.0")], b"{}")["subject"] == "50%25"


def test_canonical_json_does_not_know_the_way_a_fact_took() -> None:
    one, other = (orjson.loads(line) for line in lines(worked("A"), worked("A")))
    other |= {
        "id": one["id"],
        "time": one["time"],
        "traceparent": "x",
        "tenant": "default",
        "partitionkey": "default|p1",
    }

    assert canonical(one) == canonical(other)


def nested(depth: int) -> bytes:
    return lines(worked("A"))[0].replace(b'"department"', b'"x":' + b"[" * depth + b"]" * depth + b',"department"')


def test_a_fact_nested_deeply_can_still_be_compared_with_its_second_copy() -> None:
    file = PatientFile("default", "p1", Policy())

    assert not file.apply(decoded(nested(490)))
    assert not file.apply(decoded(nested(490).replace(b"09:00:01", b"09:00:02")))
    assert not file.conflicts


@pytest.mark.parametrize("depth", [500, 1_000])
def test_a_fact_is_nested_no_deeper_than_every_later_step_can_follow(depth: int) -> None:
    with pytest.raises(Refused, match="nested too deeply"):
        decoded(nested(depth))


@pytest.mark.parametrize(
    ("until", "at"),
    [
        ("2026-03-05", "2026-03-05T23:00:00Z"),
        ("2026-03-05T12:00:00+01:00", "2026-03-05T11:00:00Z"),
    ],
)
def test_an_alert_is_silenced_until_an_instant_or_the_end_of_a_day(until: str, at: str) -> None:
    (fact,) = facts_of(said("alert.silenced", alert="bounced_case:p1:c1:1", by="mme.lambert", until=until))
    found = act(fact, Policy(jurisdiction="fr-csp").home.calendar)
    assert found.until == instant(at)


def test_no_word_of_a_correction_stays_whatever_its_emitter_calls_it() -> None:
    (merge,) = lines(said("patient.merged", into="p2", reason="her secret"))
    spoofed = merge.replace(b'"specversion"', b'"parcours:content":"her secret","specversion"')

    assert b"secret" not in bared(merge) + bared(spoofed) + bare(spoofed)
    assert bared(bared(merge)) == bared(merge)
    assert contents(merge, bared(merge))[0] == contents(merge, bared(merge))[1]
