"""The command line shows the same days as the console does."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from projections.policy import Policy
from services.command_line.reading import show_claims, show_owed
from services.console.pages import View

PARIS, LONDON = ZoneInfo("Europe/Paris"), ZoneInfo("Europe/London")
NOW, ZONES = datetime(2026, 3, 1, tzinfo=UTC), {"fr-csp": PARIS, "eng-nhs": LONDON}


def test_a_deadline_at_midnight_is_the_day_that_ends_with_it() -> None:
    french = View("fr", PARIS, NOW, ZONES)
    assert french.deadline("2026-03-30T22:00:00Z", "fr-csp") == "30 mars 2026"
    assert french.deadline("2026-03-03T00:00:00Z", "eng-nhs") == "2 mars 2026"
    assert french.deadline("2026-03-30T14:30:00Z", "fr-csp") == "30 mars 2026, 16:30"
    assert french.deadline("2026-03-30T22:00:00Z", "of nobody") == "30 mars 2026"
    assert french.deadline(None, "fr-csp") == "–"
    assert french.moment("2026-03-02T09:00:00Z") == "2 mars 2026, 10:00"
    assert View("fr", UTC, NOW).moment("2026-03-02T09:00:00Z") == "2 mars 2026, 09:00 UTC"
    assert View("en", Policy().home.calendar.tz, NOW).moment("2026-03-02T09:00:00Z") == "2 Mar 2026, 09:00 UTC"


def test_every_jurisdiction_of_a_policy_has_its_zone() -> None:
    assert Policy().zones["fr-csp"].utcoffset(datetime(2026, 7, 1, tzinfo=UTC)) is not None
    assert Policy().zones.keys() == Policy().known.keys()


def test_lists_of_claims_say_the_day_until_whose_end_an_answer_is_due(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "ladder": "U3", "patient": "p1", "claim": "k1", "clock": "answer", "used": 0.4, "chases": 0, "department": "A",
        "due_at": "2026-03-03T00:00:00Z", "jurisdiction": "eng-nhs", "reasons": [],
    }  # fmt: skip

    show_owed([row], 0, View("en", PARIS, NOW, ZONES))
    show_claims([row, row | {"claim": "k2", "due_at": None}], View("en", PARIS, NOW, ZONES), overdue=False)

    told = capsys.readouterr().out
    assert "answer due 2 Mar 2026 · A" in told
    assert told.count("2 Mar") == 2
    assert "3 Mar" not in told
    assert told.count("answer due") == 1
