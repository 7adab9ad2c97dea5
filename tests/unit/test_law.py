"""The law: the state of a patient is the fold of their facts in history order, whatever the order they came in."""

from datetime import datetime
from random import Random

from hypothesis import given, settings

from events.catalogue import decoded
from events.envelope import Recorded
from projections.findings import Finding, concerns, findings
from projections.marks import EVERY, marked
from projections.patient import PatientFile
from projections.policy import Policy
from projections.rows import case_row, claim_row, finding_row, patient_row
from tests.builders import DAY, HOUR, MONDAY, SECOND, Said, lines, registered, said, worked
from tests.strategies import histories, history, last, marks, orders

POLICY = Policy()


def told(file: PatientFile) -> dict[str, object]:
    """All that can be seen of a file."""
    now = file.watermark
    assert now is not None
    return {
        "cases": sorted((case_row(file, case) for case in file.cases.values()), key=str),
        "claims": sorted((claim_row(file, claim, now) for claim in file.claims.values()), key=str),
        "steps": {name: claim.steps for name, claim in file.claims.items()},
        "findings": sorted((finding_row(file, found) for found in findings(file)), key=str),
        "patient": patient_row(file),
        "conflicts": file.conflicts,
    }


def sent(claim: str, contact: str) -> Said:
    return said("contact.sent", contact=contact, to="patient", channel="mail", kind="information", claim=claim)


def folded_at_once(facts: list[Recorded]) -> dict[str, object]:
    file = PatientFile("default", "p1", POLICY, watermark=last(facts))
    file.fill(facts)
    return told(file)


def folded_one_by_one(facts: list[Recorded], *, until: list[Recorded], mark_every: int = EVERY) -> dict[str, object]:
    file = PatientFile("default", "p1", POLICY, mark_every=mark_every)
    for fact in facts:
        file.apply(fact)
        file.advance(fact.recorded_at)
    file.advance(last(until))
    return told(file)


@settings(max_examples=150, deadline=None)
@given(histories, orders, marks)
def test_any_arrival_order_gives_the_same(facts: list[Recorded], order: Random, mark_every: int) -> None:
    shuffled = list(facts)
    order.shuffle(shuffled)

    assert folded_one_by_one(shuffled, until=facts, mark_every=mark_every) == folded_at_once(facts)


@settings(max_examples=200, deadline=None)
@given(histories, marks)
def test_as_it_comes_is_as_rebuilt(facts: list[Recorded], mark_every: int) -> None:
    as_recorded = sorted(facts, key=lambda fact: fact.recorded_at)

    assert folded_one_by_one(as_recorded, until=facts, mark_every=mark_every) == folded_at_once(facts)


@settings(max_examples=200, deadline=None)
@given(histories, marks, orders)
def test_time_that_others_have_moved_on_changes_nothing(facts: list[Recorded], mark_every: int, others: Random) -> None:
    file = PatientFile("default", "p1", POLICY, mark_every=mark_every)
    watermark = MONDAY
    for fact in sorted(facts, key=lambda one: one.recorded_at):
        file.apply(fact)
        watermark = max(watermark, fact.recorded_at) + others.choice((0, 0, 1, 5, 20)) * DAY
        file.advance(watermark)
    anew = PatientFile("default", "p1", POLICY, watermark=watermark)
    anew.fill(facts)

    assert told(file) == told(anew)


def test_a_clock_that_begins_after_the_watermark_has_passed_is_met_by_the_fact_that_begins_it() -> None:
    register = registered("k1", "qc-lsssss", case="c1").on(MONDAY)
    handled = said("contact.handled", contact="m0", department="C", outcome="answered", case="c1").on(MONDAY + 16 * DAY)
    facts = [decoded(line) for line in lines(register, handled)]
    file = PatientFile("default", "p1", POLICY)
    for fact in facts:
        file.apply(fact)
        file.advance(MONDAY + 19 * DAY)
    anew = PatientFile("default", "p1", POLICY, watermark=MONDAY + 19 * DAY)
    anew.fill(facts)

    assert told(file) == told(anew)
    assert "visit" not in file.claims["k1"].missed


@settings(max_examples=100, deadline=None)
@given(histories, marks, orders)
def test_late_facts_folded_in_by_the_batch_give_the_same(facts: list[Recorded], mark_every: int, cut: Random) -> None:
    left = sorted(facts, key=lambda fact: fact.recorded_at)
    file = PatientFile("default", "p1", POLICY, mark_every=mark_every)

    while left:
        batch, left = left[: (size := cut.randrange(1, 9))], left[size:]
        for fact in batch:
            file.apply(fact)
        file.advance(batch[-1].recorded_at)

    assert told(file) == folded_at_once(facts)


def test_a_late_fact_of_a_long_file_is_folded_in_and_not_all_anew() -> None:
    acts = [worked("ABC"[n % 3], case=f"c{n % 5}").on(MONDAY + n * HOUR) for n in range(2_000)]
    late = worked("D", case="c1").on(MONDAY + 1_900 * HOUR + SECOND).recorded_at(MONDAY + 2_001 * HOUR)
    facts = [decoded(line) for line in lines(*acts, late)]
    file = PatientFile("default", facts[0].subject, POLICY)

    for fact in facts[:-1]:
        file.apply(fact)
    file.take_touched()
    file.apply(facts[-1])
    file.advance(facts[-1].recorded_at)

    assert file.touched.again
    assert not file.touched.anew
    assert len(file.marks) < 12
    anew = PatientFile("default", facts[0].subject, POLICY, watermark=facts[-1].recorded_at)
    anew.fill(facts)
    assert told(file) == told(anew)


def test_a_mark_is_not_taken_of_a_claim_that_was_looked_at_beyond_its_last_fact() -> None:
    for day in range(27, 120, 4):
        recorded = MONDAY + day * DAY
        facts = [
            decoded(line)
            for line in lines(
                registered(claim="k1", jurisdiction="us-cms").on(MONDAY).recorded_at(MONDAY + HOUR),
                worked("A", case="c9").on(MONDAY + 2 * HOUR).recorded_at(recorded),
                sent("k1", "m1").on(MONDAY + 20 * DAY).recorded_at(recorded + HOUR),
                sent("k1", "m2").on(MONDAY + 25 * DAY).recorded_at(recorded + 2 * HOUR),
            )
        ]

        assert folded_one_by_one(facts, until=facts, mark_every=1) == folded_at_once(facts)


def test_a_mark_shares_nothing_that_a_fold_changes() -> None:
    file = PatientFile("default", "p1", POLICY)
    facts = history(7, 900)
    for fact in facts[:600]:
        file.apply(fact)
        file.advance(fact.recorded_at)
    before = marked(file, 0)
    then = repr(before)

    for fact in facts[600:]:
        file.apply(fact)
        file.advance(fact.recorded_at)

    assert repr(before) == then
    assert repr(marked(file, 0)) != then


@settings(max_examples=60, deadline=None)
@given(histories)
def test_twice_changes_nothing(facts: list[Recorded]) -> None:
    assert folded_one_by_one(facts + facts, until=facts) == folded_at_once(facts)


@settings(max_examples=100, deadline=None)
@given(histories, marks)
def test_findings_told_by_what_was_touched_are_all_findings(facts: list[Recorded], mark_every: int) -> None:
    file = PatientFile("default", "p1", POLICY, mark_every=mark_every)
    seen: dict[str, Finding] = {}

    for fact in facts:
        file.apply(fact)
        file.advance(fact.recorded_at)
        touched = file.take_touched()
        if touched.anew:
            seen = {}
        if touched.again:
            seen = {name: found for name, found in seen.items() if not concerns(touched, found)}
        seen |= {found.id: found for found in findings(file, touched)}

    assert seen == {found.id: found for found in findings(file)}


@settings(max_examples=100, deadline=None)
@given(histories)
def test_nobody_is_looked_at_too_late(facts: list[Recorded]) -> None:
    file = PatientFile("default", "p1", POLICY)

    for fact in facts:
        file.apply(fact)
        file.advance(fact.recorded_at)

    dues = [case.next_due for case in file.cases.values()] + [claim.next_due for claim in file.claims.values()]
    for due in dues:
        assert due is None or (file.next_due is not None and file.next_due <= due)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_no_credited_pause_exceeds_its_limit(facts: list[Recorded]) -> None:
    file = PatientFile("default", "p1", POLICY, watermark=last(facts))
    file.fill(facts)

    for claim in file.claims.values():
        for pause in claim.pauses.all:
            if pause.end is not None:
                assert (
                    pause.start
                    <= pause.end
                    <= claim.calendar.end_of_working_days(pause.start, POLICY.pause_working_days)
                )


CORRECTIONS = {
    "fact.voided", "patient.erased", "contact.undelivered", "contact.linked", "contact.unlinked", "contact.reclassified", "case.opened",
}  # fmt: skip
ENDS_A_PAUSE = {"claim.resumed", "contact.received"}


@settings(max_examples=200, deadline=None)
@given(histories)
def test_a_due_moment_moves_earlier_by_a_correction_or_the_early_end_of_a_pause_alone(facts: list[Recorded]) -> None:
    file = PatientFile("default", "p1", POLICY)
    due: dict[tuple[str, str, int], datetime] = {}

    for fact in sorted(facts, key=lambda one: one.place):
        anew = file.apply(fact)
        file.refresh()
        now = {
            (claim.id, clock.name, clock.instance): clock.due_at
            for claim in file.claims.values()
            for clock in claim.clocks
        }
        name = fact.type.removeprefix("parcours.").removesuffix(".v1")
        if not anew and name not in CORRECTIONS | ENDS_A_PAUSE:
            for clock, moment in now.items():
                assert clock not in due or moment >= due[clock] or _paused(file, clock[0]), (name, clock)
        due = now


def _paused(file: PatientFile, claim: str) -> bool:
    """A credited pause of the claim has reached its limit or its `until`: what was assumed has come true, or ended sooner."""
    return any(pause.end is not None for pause in file.claims[claim].pauses.all)


@settings(max_examples=200, deadline=None)
@given(histories)
def test_no_clock_is_ever_reset_by_a_transfer(facts: list[Recorded]) -> None:
    file = PatientFile("default", "p1", POLICY)

    for fact in sorted(facts, key=lambda one: one.place):
        before = {
            (claim.id, c.name, c.instance): c.started_at
            for claim in file.claims.values()
            for c in claim.clocks
            if c.name != "visit"
        }
        anew = file.apply(fact)
        file.refresh()
        if not anew and fact.type.startswith(
            ("parcours.case.transferred", "parcours.case.taken", "parcours.case.worked")
        ):
            after = {
                (claim.id, c.name, c.instance): c.started_at
                for claim in file.claims.values()
                for c in claim.clocks
                if c.name != "visit"
            }
            assert after == before
