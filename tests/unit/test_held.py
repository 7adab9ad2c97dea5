"""What changed of a held person since the last look: which findings have to be written again."""

from datetime import timedelta

import pytest

from events.catalogue import decoded
from projections.patient import PatientFile
from projections.policy import Policy
from projections.saying import reason_rows
from services.projector.held import Held
from tests.builders import HOUR, MONDAY, Said, facts_of, lines, opened, received, registered, tick, worked

LATER = MONDAY + timedelta(days=3)


def bounced_for_long() -> list[Said]:
    return [worked(d).on(MONDAY + n * HOUR).recorded_at(MONDAY + n * HOUR) for n, d in enumerate("ABABABABABAB")]


def test_a_late_fact_that_changes_only_the_reasons_of_a_finding_has_it_written_again() -> None:
    held = Held(PatientFile("default", "p1", Policy(), mark_every=1), 0)
    for line in lines(*bounced_for_long()):
        held.file.apply(decoded(line))
    held.file.advance(LATER)
    held.compare(LATER)
    (before,) = [found for found in held.found.values() if found.case == "c1"]
    reasons = reason_rows(held.file, before)

    late = worked("C").named("late").on(MONDAY + 10.5 * HOUR).recorded_at(LATER + HOUR)
    held.file.apply(decoded(lines(late)[0]))
    held.file.advance(LATER + HOUR)
    touched, changed, _ = held.compare(LATER + HOUR)

    assert touched.again
    assert held.found[before.id] == before
    assert reason_rows(held.file, before) != reasons
    assert before.id in changed


BROUGHT = "2026-04-20T09:00:00Z"


def told(*facts: Said) -> list[tuple[str, str, str | None]]:
    """What a projector would say, fact by fact: which finding, raised or not, at which level."""
    held = Held(PatientFile("default", "p1", Policy()), 0)
    found = []
    for fact in facts_of(*facts):
        if not fact.type.endswith("clock.ticked.v1"):
            held.note(fact)
            held.file.apply(fact)
        held.file.advance(fact.recorded_at)
        found += [(said.id, said.act, said.level) for said in held.compare(fact.recorded_at)[2]]
    return found


def old(fact: Said, at: str) -> Said:
    return fact.on(at).recorded_at(BROUGHT)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([old(registered("k1", "fr-csp", received_at="2026-01-05"), BROUGHT)], id="a letter of January, registered today"),
        pytest.param(
            [
                old(received("m", "post"), "2026-01-05T09:00:00Z"),
                old(registered("k1", "fr-csp", contacts=["m"]), BROUGHT),
            ],
            id="a contact of January, listed today",
        ),
        pytest.param(
            [
                old(opened("A"), "2025-12-01T09:00:00Z"), old(registered("k1", "fr-csp", case="c1"), "2025-12-01T10:00:00Z"),
                old(worked("A"), "2026-04-19T09:00:00Z"),
            ],
            id="its case was worked on yesterday",
        ),
        pytest.param(
            [
                old(registered("k1", "fr-csp"), "2025-12-01T10:00:00Z"),
                old(received("m1", claim="k1", courtesy=True), "2026-04-19T09:00:00Z"),
            ],
            id="the patient wrote yesterday",
        ),
    ],
)  # fmt: skip
def test_a_claim_is_as_young_as_its_newest_fact(history: list[Said]) -> None:
    said = told(*history, tick("2026-04-20T10:00:01Z"))
    assert ("unanswered_claim:p1:k1", "raised", "U5") in said


def test_old_history_is_not_said_until_something_happens_to_it() -> None:
    imported = [old(worked(d), f"2025-12-0{n}T09:00:00Z") for n, d in enumerate("ABA", 1)]
    assert told(*imported, tick("2026-04-20T10:00:01Z")) == []

    live = worked("A").on("2026-04-21T11:00:00Z")
    assert told(*imported, tick("2026-04-20T10:00:01Z"), live) == [("bounced_case:p1:c1:1", "raised", "B2")]


def test_an_old_claim_is_said_when_its_patient_asks_again() -> None:
    imported = old(registered("k1", "eng-nhs"), "2025-12-01T10:00:00Z")
    asks = received("m1", claim="k1").on("2026-04-21T09:00:00Z")
    said = told(imported, tick("2026-04-20T10:00:01Z"), asks, tick("2026-04-21T10:00:01Z"))
    assert ("unanswered_claim:p1:k1", "raised", "U4") in said


def test_what_only_time_makes_worse_stays_old_history() -> None:
    imported = old(registered("k1", "eng-nhs"), "2026-03-02T10:00:00Z")
    late = imported.recorded_at("2026-05-20T09:00:00Z")
    said = told(late, tick("2026-05-20T10:00:01Z"), tick("2026-12-01T00:00:00Z"))
    assert "unanswered_claim:p1:k1" not in {name for name, _, _ in said}
