"""The unanswered claim: what other systems' bug trackers taught, each a test. DOMAIN section 4."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from projections.policy import Policy
from projections.words import until_when
from tests.builders import (
    DAY,
    HOUR,
    MONDAY,
    acknowledged,
    answered,
    closed,
    fold,
    handled,
    opened,
    paused,
    received,
    registered,
    said,
    sent,
    tick,
    transferred,
    worked,
)  # fmt: skip


def test_the_answer_clock_does_not_run_on_after_the_answer() -> None:
    found = fold(registered(), answered().on("2026-03-10T09:00:00Z"), tick("2026-06-01T00:00:00Z"))

    assert found.clock("answer")["state"] == "met"
    assert found.claim()["ladder"] == "U0"
    assert not found.findings("unanswered_claim")


def test_a_second_message_does_not_move_the_clock_of_the_first() -> None:
    found = fold(
        registered(),
        received("m1", claim="k1").on("2026-03-03T10:00:00Z"),
        received("m2", claim="k1").on("2026-03-04T10:00:00Z"),
    )

    assert len(found.clocks("next")) == 1
    assert found.clock("next")["started_at"] == "2026-03-03T10:00:00Z"


def test_a_message_from_the_web_form_restarts_the_waiting_clock() -> None:
    found = fold(
        registered(), received("m1", claim="k1"), handled("m1", "A", "answered"), received("m2", "portal", claim="k1")
    )

    assert [c["state"] for c in found.clocks("next")] == ["met", "running"]


def test_a_patient_answered_on_the_telephone_was_answered() -> None:
    found = fold(registered(), received("m1", claim="k1"), handled("m1", "A", "answered"), tick("2026-03-20T00:00:00Z"))

    assert found.clock("next")["state"] == "met"


def test_the_old_department_s_clock_disappears_on_transfer() -> None:
    found = fold(opened("A"), registered(case="c1"), transferred("B"), tick("2026-03-03T00:00:00Z"))

    assert [c["state"] for c in found.clocks("visit")] == ["cancelled", "running"]


def test_a_goodbye_restarts_nothing() -> None:
    found = fold(registered(), received("m1", claim="k1", courtesy=True))

    assert not found.clocks("next")
    assert found.claim()["chases"] == 0


def test_a_new_clock_keeps_earlier_pauses() -> None:
    stop_and_go = [one for _ in range(2) for one in (paused(), said("claim.resumed", claim="k1"))]

    found = fold(registered(), *stop_and_go, answered(), said("claim.reopened", claim="k1"), paused())

    assert found.finding("illegitimate_pause")["open"]


def test_the_clock_of_a_second_message_keeps_a_pause_that_is_over() -> None:
    found = fold(
        registered("k1", "default").on("2026-03-02T08:00:00Z"),
        received("m1", claim="k1").on("2026-03-02T09:00:00Z"),
        received("m2", claim="k1").on("2026-03-02T10:00:00Z"),
        paused().on("2026-03-02T11:00:00Z"),
        said("claim.resumed", claim="k1").on("2026-03-05T11:00:00Z"),
        sent("o1", "answer", claim="k1", in_reply_to=["m1"]).on("2026-03-05T12:00:00Z"),
        tick("2026-03-05T13:00:00Z"),
    )

    assert [(clock["due_at"], clock["state"]) for clock in found.clocks("next")] == [
        ("2026-03-07T00:00:00Z", "met"),
        ("2026-03-07T00:00:00Z", "running"),
    ]
    assert not found.findings("missed_clock")


def test_a_letter_sent_again_under_its_own_name_answers() -> None:
    refused = sent("o1", "answer", claim="k1", delivered=False).on("2026-03-03T09:00:00Z")
    came_back = [
        sent("o1", "answer", claim="k1").on("2026-03-03T09:00:00Z"),
        said("contact.undelivered", contact="o1").on("2026-03-04T09:00:00Z"),
    ]
    again = sent("o1", "answer", claim="k1").on("2026-03-05T09:00:00Z")
    for first in ([refused], came_back):
        for answer in ("2026-03-05T10:00:00Z", "2026-03-03T10:00:00Z"):  # with the second sending, or with the first
            found = fold(registered(), *first, again, answered(contact="o1").on(answer))
            assert (found.claim()["state"], found.claim()["answered_at"]) == ("answered", "2026-03-05T09:00:00Z")
    twice = said("contact.undelivered", contact="o1").on("2026-03-06T09:00:00Z")
    found = fold(registered(), *came_back, again, twice, answered(contact="o1").on("2026-03-05T10:00:00Z"))
    assert found.claim()["state"] == "open"


def test_a_letter_that_came_back_unsent_and_is_sent_weeks_later_answers_then() -> None:
    found = fold(
        registered(jurisdiction="default").on("2026-03-02T09:00:00Z"),
        answered(contact="s1").on("2026-03-04T09:00:00Z"),
        said("contact.undelivered", contact="s1").on("2026-03-06T09:00:00Z"),
        sent("s1").on("2026-04-15T09:00:00Z"),
        tick("2026-04-16T00:00:00Z"),
    )

    assert (found.claim()["answered_at"], found.clock("answer")["state"]) == ("2026-04-15T09:00:00Z", "met_late")
    (late,) = found.findings("unanswered_claim")
    assert (late["opened_at"], late["open"]) == ("2026-03-31T00:00:00Z", False)


def test_a_letter_of_which_one_part_says_it_never_arrived_arrived_with_none() -> None:
    found = fold(
        registered(jurisdiction="default").on("2026-03-02T09:00:00Z"),
        sent("s1").on("2026-03-03T09:00:00Z"),
        acknowledged(contact="s1").on("2026-03-03T10:00:00Z"),
        answered(contact="s1", delivered=False).on("2026-03-03T11:00:00Z"),
        tick("2026-03-10T00:00:00Z"),
    )

    assert found.clock("acknowledge")["state"] == "breached"
    assert found.claim()["ladder"] == "U2"


def test_answered_in_a_pause_that_did_not_move_the_due_instant_is_late() -> None:
    found = fold(
        registered("k1", "us-cms", due_at="2026-05-05T14:00:00-04:00").on("2026-04-29T09:00:00Z"),
        paused("legal_hold").on("2026-05-05T13:00:00-04:00"),
        answered().on("2026-05-05T15:00:00-04:00"),
        said("claim.resumed", claim="k1").on("2026-05-05T16:00:00-04:00"),
    )

    assert (found.clock("answer")["state"], found.clock("answer")["due_at"]) == ("met_late", "2026-05-05T18:00:00Z")
    (late,) = found.findings("unanswered_claim")
    assert (late["opened_at"], late["open"]) == ("2026-05-05T18:00:00Z", False)


def test_what_was_promised_stays_promised_of_an_answer_that_was_given() -> None:
    found = fold(
        registered("k1", "default").on("2026-03-02T09:00:00Z"),
        said("claim.held", claim="k1", promised_at="2026-04-09").on("2026-03-26T09:00:00Z"),
        paused().on("2026-04-07T09:00:00Z"),
        answered().on("2026-04-07T10:00:00Z"),
        said("claim.reopened", claim="k1").on("2026-04-07T11:00:00Z"),
        said("claim.resumed", claim="k1").on("2026-04-07T12:00:00Z"),
        tick("2026-04-08T12:00:00Z"),
    )

    assert found.clocks("answer")[0]["due_at"] == "2026-04-10T00:00:00Z"


def test_first_response_counts_from_the_first_message() -> None:
    found = fold(received("m0"), registered(contacts=["m0"]).on("2026-03-12T09:00:00Z"))

    assert found.claim()["t0"] == "2026-03-02T09:00:00Z"


def test_reopening_does_not_forgive() -> None:
    found = fold(
        registered(),
        answered().on("2026-04-10T09:00:00Z"),
        said("claim.reopened", claim="k1").on("2026-04-11T09:00:00Z"),
    )

    assert [c["state"] for c in found.clocks("answer")] == ["met_late", "running"]
    assert (
        fold(registered(), said("claim.reopened", claim="k1")).clocks("answer")[0]["started_at"]
        == "2026-03-02T09:00:00Z"
    )


def test_nobody_is_woken_at_night_findings_open_at_local_midnight() -> None:
    found = fold(registered(jurisdiction="fr-csp").on("2026-03-02T09:00:00+01:00"), tick("2026-05-03T00:00:00Z"))

    assert found.finding("unanswered_claim")["opened_at"] == "2026-03-30T22:00:00Z"


def test_only_a_whole_answer_is_an_answer() -> None:
    issues = registered(issues=["delay", "tone"])

    half = fold(issues, answered(issues=["delay"]))
    whole = fold(registered(issues=["delay", "tone"]), answered(issues=["delay"]), answered(issues=["tone"]))

    assert half.claim()["state"] == "open"
    assert whole.claim()["state"] == "answered"


def test_an_answer_not_validated_by_a_person_is_nothing() -> None:
    found = fold(registered(), answered(human_validated=False))

    assert found.claim()["state"] == "open"
    assert len(found.clocks("update")) == 1


def test_an_answer_that_never_arrived_was_never_given() -> None:
    found = fold(
        registered(), sent("o1", claim="k1"), answered(contact="o1"), said("contact.undelivered", contact="o1")
    )

    assert found.claim()["state"] == "open"
    assert len(found.clocks("update")) == 1


def test_a_holding_reply_moves_the_answer_ten_working_days_at_most_and_answers_nothing() -> None:
    found = fold(registered(), said("claim.held", claim="k1", promised_at="2026-05-20").on("2026-03-25T09:00:00Z"))

    assert found.clock("answer")["due_at"] == "2026-04-10T23:00:00Z"  # Good Friday and Easter Monday lie between
    assert found.claim()["state"] == "open"


def test_a_holding_reply_after_the_due_moment_forgives_nothing() -> None:
    found = fold(registered(), said("claim.held", claim="k1", promised_at="2026-05-20").on("2026-04-01T09:00:00Z"))

    assert found.clock("answer")["state"] == "breached"


def test_the_agreed_date_is_owed_where_the_law_says_so() -> None:
    late_date = {"expected_at": "2026-04-20"}

    assert fold(registered(), acknowledged(**late_date)).clock("answer")["due_at"] == "2026-04-20T23:00:00Z"
    assert (
        fold(registered(jurisdiction="sco-nhs"), acknowledged(**late_date)).clock("answer")["due_at"]
        == "2026-03-30T23:00:00Z"
    )


def test_a_credited_pause_ends_at_the_claimant_s_message_and_never_lasts_beyond_ten_working_days() -> None:
    limit = fold(registered(), paused(), tick("2026-03-05T00:00:00Z"))
    ended = fold(registered(), paused(), received("m1", claim="k1").on("2026-03-04T09:00:00Z"))

    assert limit.clock("answer")["state"] == "paused"
    assert limit.clock("answer")["due_at"] == "2026-04-15T23:00:00Z"  # ten days ended in it; Easter lies between
    assert ended.clock("answer")["due_at"] == "2026-03-31T23:00:00Z"
    assert ended.claim()["chases"] == 0


def test_closing_the_case_answers_nothing_and_withdrawing_it_ends_its_claims() -> None:
    facts = [opened("A"), registered(case="c1")]

    assert fold(*facts, closed("answered")).claim()["state"] == "open"
    assert fold(*facts, closed("withdrawn")).claim()["state"] == "withdrawn"


def test_a_claim_ends_when_the_case_it_was_answered_in_is_answered() -> None:
    facts = [opened("A"), registered(case="c1"), closed("answered_in", other_case="c2")]

    assert fold(*facts).claim()["state"] == "open"
    assert fold(*facts, handled("m1", "B", "answered", case="c2")).claim()["state"] == "ended"


def test_the_case_names_its_only_open_claim() -> None:
    one = fold(registered(case="c1"), received("m1", case="c1"))
    two = fold(registered(case="c1"), registered("k2", case="c1"), received("m1", case="c1"))

    assert one.claim()["chases"] == 1
    assert two.claim()["chases"] == 0


def test_silence_is_a_refusal_where_the_law_says_so_and_the_claim_stays_unanswered() -> None:
    found = fold(registered(jurisdiction="qc-lsssss").on("2026-03-01T10:00:00-05:00"), tick("2026-04-20T00:00:00Z"))

    assert found.clock("final")["due_at"] == "2026-04-16T04:00:00Z"
    assert found.finding("deemed_decision")["open"]
    assert (found.claim()["ladder"], found.claim()["unanswered"]) == ("U5", True)


def test_sent_to_another_body_the_patient_still_waits() -> None:
    found = fold(
        registered(), said("claim.transferred_out", claim="k1", body="ombudsman"), tick("2026-04-01T00:00:00Z")
    )

    assert found.claim()["state"] == "transferred"
    assert found.clock("update")["state"] == "cancelled"
    assert found.claim()["unanswered"]


def test_a_late_contribution_is_the_department_s_that_owes_it() -> None:
    asked = said("claim.contribution_requested", claim="k1", department="lab", due_at="2026-03-06T00:00:00Z")

    late = fold(registered(), asked, tick("2026-03-06T00:00:00Z")).finding("late_contribution")

    assert (late["department"], late["open"]) == ("lab", True)


def test_the_ladder_step_by_step() -> None:
    due = {"due_at": "2026-03-22T09:00:00Z"}
    acked = acknowledged(expected_at="2026-03-10")

    def step(at: str) -> str:
        return str(fold(registered(jurisdiction="us-cms", **due), acked, tick(at)).claim()["ladder"])

    assert step("2026-03-16T00:00:00Z") == "U0"
    assert step("2026-03-17T09:00:00Z") == "U2"  # no news for ten working days
    assert step("2026-03-22T09:00:00Z") == "U3"
    assert step("2026-04-11T09:00:00Z") == "U4"


def test_two_chases_without_an_outbound_are_the_fourth_step() -> None:
    chases = [received(f"m{n}", claim="k1").on(MONDAY + 30 * DAY) for n in range(2)]

    assert fold(registered(), *chases, tick("2026-04-02T00:00:00Z")).claim()["ladder"] == "U4"


def test_mediation_goes_on_after_the_claim_is_over() -> None:
    found = fold(
        registered("k1", "fr-csp"),
        answered(),
        said("claim.mediation_requested", claim="k1"),
        tick("2026-03-20T00:00:00Z"),
    )

    assert found.clock("mediator_meeting")["state"] == "breached"
    assert found.finding("missed_clock")["open"]


def test_an_answer_given_in_time_and_recorded_late_withdraws_the_finding() -> None:
    late = answered().on("2026-03-20T09:00:00Z").recorded_at("2026-04-02T09:00:00Z")

    found = fold(registered(), tick("2026-04-01T00:00:00Z"), late)

    assert not found.findings("unanswered_claim")
    assert found.clock("answer")["state"] == "met"


def test_an_unknown_jurisdiction_is_parked_nobody_guesses_which_law_holds() -> None:
    found = fold(registered(jurisdiction="atlantis"))

    assert found.errors["parked"] == 1
    assert found.patients == []


@pytest.mark.parametrize("name", sorted(Policy().known))
def test_every_jurisdiction_has_an_answer_and_breaches_it(name: str) -> None:
    found = fold(registered(jurisdiction=name), worked("A"), tick("2026-12-31T00:00:00Z"))

    assert found.clock("answer")["state"] == "breached"
    assert found.finding("unanswered_claim")["open"]


@pytest.mark.parametrize("is_sent", [False, True])
def test_an_answer_that_ends_a_claim_has_answered_its_message_first(*, is_sent: bool) -> None:
    """Both are one fact's doing, which DOMAIN does not order: what the patient got counts."""
    reply = (
        said(
            "contact.sent",
            contact="o1",
            to="patient",
            channel="mail",
            kind="answer",
            claim="k1",
            case="c2",
            in_reply_to=["m1"],
        )
        if is_sent
        else said("contact.handled", contact="m1", department="A", outcome="answered")
    )
    found = fold(
        registered("k1", case="c1").on(MONDAY).named("a"),
        said("case.closed", case="c1", reason="answered_in", other_case="c2").on(MONDAY + DAY).named("b"),
        said("contact.received", contact="m1", channel="phone", claim="k1", case="c2").on(MONDAY + 2 * DAY).named("c"),
        reply.on(MONDAY + 2 * DAY + HOUR).named("d"),
    )

    assert found.clock("next")["state"] == "met"


def test_a_deadline_within_a_day_is_told_with_its_time_of_day() -> None:
    paris = ZoneInfo("Europe/Paris")
    midnight, evening = datetime(2026, 11, 2, 23, tzinfo=UTC), datetime(2026, 11, 28, 22, 21, 59, tzinfo=UTC)
    assert until_when(midnight, paris) == ("by the end of 2 November 2026", "le 2 novembre 2026 au soir")
    assert until_when(evening, paris) == ("by 23:21 on 28 November 2026", "le 28 novembre 2026 à 23:21")
