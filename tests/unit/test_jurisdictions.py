"""Jurisdictions are data: versions by date of effect, exceptions, and clear words for whoever writes one."""

from datetime import date
from typing import Any

import pytest

from projections.jurisdictions import Invalid, jurisdiction, shipped
from projections.policy import InvalidPolicy, Policy, policy
from tests.builders import fold, fold_lines, lines, registered

OURS: dict[str, Any] = {
    "id": "our-house",
    "name": {"en": "Our house", "fr": "Notre maison"},
    "zone": "Europe/Paris",
    "holidays": {"country": "FR"},
    "exceptions": {"closed": [date(2026, 3, 3)]},
    "version": [
        {"version": "1", "effective_from": date(2020, 1, 1), "source": "house rules", "answer": {"days": 30}},
        {
            "version": "2",
            "effective_from": date(2026, 4, 1),
            "source": "house rules, second",
            "answer": {"working_days": 2},
        },
    ],
}


def test_a_claim_keeps_the_rules_in_force_when_it_began() -> None:
    chosen = policy({"jurisdictions": [OURS]})
    early, late = (
        registered("k1", "our-house").on("2026-03-31T23:30:00+02:00"),
        registered("k2", "our-house").on("2026-04-01T00:30:00+02:00"),
    )

    claims = {claim["claim"]: claim["clocks"][0] for claim in fold_lines(lines(early, late), chosen)["claims"]}

    assert claims["k1"]["due_at"] == "2026-04-30T22:00:00Z"
    assert claims["k2"]["due_at"] == "2026-04-03T22:00:00Z"


def test_a_shipped_law_is_not_forgotten_by_whoever_writes_only_the_next_one() -> None:
    since = shipped()["fr-csp"].versions[0].effective_from
    newer = OURS | {"id": "fr-csp"}
    with pytest.raises(InvalidPolicy, match="'fr-csp' begins on 2020-01-01"):
        policy({"jurisdictions": [newer]})

    whole = newer | {"version": [OURS["version"][0] | {"effective_from": since}, OURS["version"][1]]}
    assert len(policy({"jurisdictions": [whole]}).known["fr-csp"].versions) == 2


def test_a_local_closing_day_is_data() -> None:
    one = OURS | {"version": [OURS["version"][1] | {"effective_from": date(2020, 1, 1)}]}

    found = fold_lines(lines(registered(jurisdiction="our-house")), policy({"jurisdictions": [one]}))

    assert found["claims"][0]["clocks"][0]["due_at"] == "2026-03-05T23:00:00Z"  # from Monday, Tuesday is closed


def test_every_shipped_one_has_a_source_and_a_date_of_effect() -> None:
    for one in shipped().values():
        assert all(rules.source and rules.effective_from and rules.version for rules in one.versions)
        assert one.name_en
        assert one.name_fr


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no zone of the earth": ({"zone": "Mars/Olympus"}, "zone"),
    "no version": ({"version": []}, "version"),
    "two allowances at once": ({"version": [OURS["version"][0] | {"answer": {"days": 3, "months": 1}}]}, "exactly one"),
    "silence without a limit": ({"version": [OURS["version"][0] | {"deemed": "refusal"}]}, "final"),
    "a country nobody knows": ({"holidays": {"country": "XX"}}, "holidays"),
    "a word too many": ({"colour": "blue"}, "colour"),
    "two versions on one day": ({"version": [OURS["version"][0], OURS["version"][0]]}, "same day"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_jurisdiction_is_said(name: str) -> None:
    change, word = WRONG[name]

    with pytest.raises(Invalid, match=word):
        jurisdiction(OURS | change)


def test_a_policy_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidPolicy, match="b2_hop"):
        policy({"b2_hop": 3})
    with pytest.raises(InvalidPolicy, match="atlantis"):
        policy({"jurisdiction": "atlantis"})


def test_the_policy_s_own_jurisdiction_is_whose_who_name_none() -> None:
    found = fold(registered(jurisdiction="eng-nhs"), jurisdiction="fr-csp")

    assert found.claim()["jurisdiction"] == "eng-nhs"
    assert Policy().home.id == "default"
