"""The path of a case and the bounced patient. DOMAIN section 3."""

from datetime import timedelta

import pytest

from tests.builders import (
    DAY,
    HOUR,
    MONDAY,
    Said,
    closed,
    consulted,
    fold,
    handled,
    opened,
    received,
    redirected,
    said,
    sent,
    taken,
    tick,
    transferred,
    worked,
)  # fmt: skip

VECTORS: dict[str, tuple[list[Said], dict[str, int], str | None]] = {
    "T1": (
        [worked("A"), worked("A"), worked("A")],
        {"hops": 0, "returns": 0, "direct_returns": 0, "alternation": 1},
        None,
    ),
    "T3": ([worked("A"), worked("B")], {"hops": 1, "returns": 0, "direct_returns": 0, "alternation": 2}, None),
    "T4": ([worked(d) for d in "ABA"], {"hops": 2, "returns": 1, "direct_returns": 1, "alternation": 3}, "B2"),
    "T5": ([worked(d) for d in "ABC"], {"hops": 2, "returns": 0, "direct_returns": 0, "alternation": 2}, "B1"),
    "T6": ([worked(d) for d in "ABCD"], {"hops": 3, "returns": 0, "direct_returns": 0, "alternation": 2}, "B2"),
    "T7": ([worked(d) for d in "ABAB"], {"hops": 3, "returns": 2, "direct_returns": 2, "alternation": 4}, "B3"),
    "T8": ([worked(d) for d in "ABCA"], {"hops": 3, "returns": 1, "direct_returns": 0, "alternation": 2}, "B2"),
    "T9": (
        [worked("A"), worked("b").by("bot"), worked("A"), worked("b").by("bot"), worked("A")],
        {"hops": 0, "returns": 0, "direct_returns": 0, "alternation": 1},
        None,
    ),
    "T10": (
        [worked("A"), consulted("B"), worked("B"), worked("A")],
        {"hops": 0, "returns": 0, "direct_returns": 0, "alternation": 1},
        None,
    ),
    "T11": (
        [worked("A"), transferred("B", planned=True), worked("C")],
        {"hops": 1, "returns": 0, "direct_returns": 0, "alternation": 2},
        None,
    ),
    "T12": (
        [worked("A"), transferred("B", planned=True), transferred("A", planned=True)],
        {"hops": 0, "returns": 0, "direct_returns": 0, "alternation": 1},
        None,
    ),
    "T14": (
        [worked("A"), transferred("B", planned=True), worked("A")],
        {"hops": 1, "returns": 1, "direct_returns": 1, "alternation": 2},
        "B2",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_of_the_definitions(name: str) -> None:
    facts, measures, level = VECTORS[name]

    case = fold(*facts).case()

    assert {measure: case[measure] for measure in measures} == measures
    assert case["level"] == level


def test_the_switchboard_is_no_department_of_the_path() -> None:
    case = fold(worked("S"), worked("A"), worked("S"), worked("A"), intake=["S"]).case()

    assert case["path"] == ["A"]


def test_a_case_without_department_has_no_path() -> None:
    case = fold(said("case.worked", case="c1")).case()

    assert (case["path"], case["alternation"], case["department"], case["since"]) == ([], 0, None, None)


def test_an_opinion_asked_is_not_a_hop_until_the_case_is_given() -> None:
    asked = fold(opened("A"), consulted("B"), worked("B")).case()
    given = fold(opened("A"), consulted("B"), taken("B").by("bot"), worked("B")).case()

    assert asked["path"] == ["A"]
    assert given["path"] == ["A", "B"]


def test_ping_pong_is_trapped_at_the_end_of_the_fifth_working_day_without_an_answer() -> None:
    there_and_back = [worked(d) for d in "ABAB"]

    before = fold(*there_and_back, tick("2026-03-09T23:59:59Z")).case()
    after = fold(*there_and_back, tick("2026-03-10T00:00:00Z"))

    assert before["level"] == "B3"
    assert after.case()["level"] == "B4"
    assert after.finding("bounced_case")["opened_at"] == "2026-03-02T11:00:00Z"


def test_an_answer_keeps_ping_pong_from_becoming_a_trap() -> None:
    found = fold(*[worked(d) for d in "ABAB"], handled("m1", "B", "answered", case="c1"), tick("2026-04-01T00:00:00Z"))

    assert found.case()["level"] == "B3"
    assert found.finding("bounced_case")["open"] is False


def test_closing_for_another_reason_silences_nothing() -> None:
    bounced = [worked(d) for d in "ABA"]

    assert fold(*bounced, closed("other")).finding("bounced_case")["open"]
    assert fold(*bounced, closed("abandoned")).finding("bounced_case")["open"]
    assert not fold(*bounced, closed("answered")).finding("bounced_case")["open"]


def test_being_sent_on_again_after_an_answer_opens_it_again() -> None:
    found = fold(*[worked(d) for d in "ABA"], sent("o1", case="c1"), worked("C")).finding("bounced_case")

    assert found["open"]
    assert found["opened_at"] == "2026-03-02T11:00:00Z"
    assert found["department"] == "C"


def test_two_sterile_visits_are_a_bounce_and_absent_is_held_against_nobody() -> None:
    sterile = fold(worked("A", substantive=False), worked("B", substantive=False), worked("C")).case()
    unknown = fold(worked("A"), worked("B"), worked("C")).case()

    assert (sterile["sterile"], sterile["level"]) == (2, "B2")
    assert (unknown["sterile"], unknown["level"]) == (0, "B1")


def test_two_cold_redirects_carry_the_patient_and_a_warm_one_does_not() -> None:
    cold = fold(redirected("m1", "A", "B", case="c1"), redirected("m2", "B", "C", case="c1")).case()
    warm = fold(redirected("m1", "A", "B", case="c1"), redirected("m2", "B", "C", case="c1", warm=True)).case()

    assert (cold["carried"], cold["level"]) == (2, "B2")
    assert (warm["carried"], warm["level"]) == (1, None)


def test_reopened_long_after_the_answer_starts_a_new_path_at_the_next_move() -> None:
    first = [worked(d) for d in "ABA"] + [handled("m1", "A", "answered", case="c1")]
    much_later = MONDAY + 40 * DAY

    reopened = said("case.reopened", case="c1").on(much_later)
    found = fold(*first, reopened, worked("A").on(much_later + HOUR), worked("B"), worked("A"))

    assert found.case()["path"] == ["A", "B", "A"]
    assert found.case()["substantive_answer_at"] is None
    assert [f["id"] for f in found.findings("bounced_case")] == ["bounced_case:p1:c1:1", "bounced_case:p1:c1:2"]


def test_sent_on_twice_without_a_case_is_a_bounced_patient_until_answered_on_the_topic() -> None:
    twice = [redirected("m1", "A", "B", topic="bill"), redirected("m2", "B", "C", topic="bill").on(MONDAY + 3 * DAY)]

    found = fold(*twice)
    mended = fold(*twice, handled("m3", "C", "answered", topic="bill"))

    assert found.finding("bounced_patient")["open"]
    assert found.patients[0]["bounced"]
    assert not mended.finding("bounced_patient")["open"]
    assert mended.patients[0]["bounced"]


def test_three_departments_in_thirty_days_and_not_in_thirty_one() -> None:
    def met(last: timedelta) -> list[Said]:
        return [
            received("m1", topic="bill", department="A").on(MONDAY),
            received("m2", topic="bill", department="B").on(MONDAY + DAY),
            received("m3", topic="bill", department="C").on(MONDAY + last),
        ]

    assert fold(*met(30 * DAY)).findings("bounced_patient")
    assert not fold(*met(30 * DAY + timedelta(seconds=1))).findings("bounced_patient")


def test_booked_courteous_and_invited_contacts_bounce_nobody() -> None:
    for mark in ("planned", "invited", "courtesy"):
        met = [received(f"m{n}", topic="bill", department=d, **{mark: True}) for n, d in enumerate("ABC")]
        assert not fold(*met).findings("bounced_patient"), mark


def test_a_contact_linked_afterwards_counts_as_if_it_had_carried_the_case() -> None:
    facts = [worked("A"), handled("m1", "B"), worked("A")]

    assert fold(*facts).case()["path"] == ["A"]
    assert fold(*facts, said("contact.linked", contact="m1", case="c1")).case()["path"] == ["A", "B", "A"]
    linked = [said("contact.linked", contact="m1", case="c1"), said("contact.unlinked", contact="m1", case="c1")]
    assert fold(*facts, *linked).case()["path"] == ["A"]


def test_a_hop_that_was_a_typing_error_is_voided_whichever_comes_first() -> None:
    void = said("fact.voided", fact="f-0002", reason="typing error")

    after = fold(worked("A"), worked("B"), worked("A"), void)
    before = fold(
        worked("A"), said("fact.voided", fact="wrong", reason="typing error"), worked("B").named("wrong"), worked("A")
    )

    assert after.case()["path"] == ["A"]
    assert before.case()["path"] == ["A"]


def test_two_records_of_one_person_are_one_path_and_two_again_when_the_merge_is_voided() -> None:
    merged = [
        worked("A").of("p1"),
        worked("B").of("p2"),
        worked("A").of("p1"),
        said("patient.merged", into="p1").of("p2"),
    ]

    together = fold(*merged)
    apart = fold(*merged, said("fact.voided", fact="f-0004", reason="two people").of("p2"))

    assert together.case()["path"] == ["A", "B", "A"]
    assert apart.case("c1", "p2")["path"] == ["B"]


def test_a_circle_of_merges_is_ignored_and_counted() -> None:
    found = fold(
        worked("A").of("p1"),
        worked("B").of("p2"),
        said("patient.merged", into="p1").of("p2"),
        said("patient.merged", into="p2").of("p1"),
    )

    assert found.errors["merge_cycles"] == 1
    assert [p["patient"] for p in found.patients] == ["p1"]


def test_nothing_is_left_of_an_erased_patient_and_an_old_fact_that_comes_late_stays_out() -> None:
    found = fold(worked("A"), said("patient.erased"), worked("B").on(MONDAY - DAY), worked("C").of("p2").on(MONDAY))

    assert [p["patient"] for p in found.patients] == ["p2"]
    assert all(c["patient"] == "p2" for c in found.row["cases"])


def test_the_same_identity_with_other_content_is_an_error_and_the_earliest_recorded_counts() -> None:
    found = fold(worked("A").named("x"), worked("B").named("x"), worked("C"))

    assert found.case()["path"] == ["A", "C"]
    assert found.errors["conflicting_ids"] == 1


def test_an_unknown_type_is_counted_and_stops_nothing() -> None:
    found = fold(worked("A"), said("weather.changed"), worked("B"))

    assert found.case()["path"] == ["A", "B"]
    assert found.errors["unknown_types"] == {"parcours.weather.changed.v1": 1}
