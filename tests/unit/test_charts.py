"""What is drawn can be read."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from projections.patient import PatientFile
from projections.policy import Policy
from services.console.charts import Dot, Mark, Stay, ageing, lanes, legend
from services.console.pages import View, marks_of, story
from tests.builders import MONDAY, facts_of, said, worked


def test_lines_that_coincide_are_named_side_by_side() -> None:
    dots = [Dot("A", 90.0, None, "c-1", "/en/cases/c-1")]

    drawn = ageing(dots, [(5.0, "50 %"), (5.0, "85 %"), (5.1, "95 %"), (80.0, "99 %")], "ages", "d")

    places = {said: float(x) for x, said in re.findall(r'<text [^>]*x="([\d.]+)"[^>]*>(\d+ %)</text>', drawn)}
    assert places.keys() == {"50 %", "85 %", "95 %", "99 %"}
    assert places["50 %"] == places["99 %"] == places["85 %"] + 40 == places["95 %"] + 80


def test_a_deadline_that_lies_ahead_draws_no_stay_into_the_future() -> None:
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    now, due = begin + timedelta(days=10), begin + timedelta(days=40)
    stays = [Stay("A", begin, None, is_return=False, planned=False)]
    drawn = lanes(stays, [Mark(due, "A", "due", "due")], now, "lanes", [(now, "now"), (due, "due")])

    (bar,) = re.findall(r'<rect class="stay" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)
    ticks = [float(x) for x in re.findall(r'<line class="tick" x1="([\d.]+)"', drawn)]
    assert float(bar[0]) + float(bar[1]) == pytest.approx(ticks[0], abs=0.2)
    assert ticks[1] > ticks[0]


def test_the_legend_names_what_is_drawn_and_no_more() -> None:
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    words = {"contact": "contact", "due": "due", "stay": "visit", "stay back": "back", "stay planned": "planned"}
    said = legend(
        [Stay("A", begin, None, planned=False, is_return=True)], [Mark(begin, "A", "contact", "c-1 & more")], words
    )

    assert re.findall(r"</svg> (\w+)</li>", said) == ["contact", "visit", "back"]


def test_what_a_department_does_is_no_contact_and_one_visit_is_one() -> None:
    file = PatientFile("default", "p1", Policy())
    for fact in facts_of(
        said("contact.received", contact="k1", channel="phone", case="c1"), worked("A", case="c1"),
        said("case.closed", case="c1", reason="other"),
    ):  # fmt: skip
        file.apply(fact)
    view = View("fr", UTC, MONDAY)

    assert [mark.kind for mark in marks_of(file, "c1", view)] == ["contact", "act", "act"]
    assert story(file, "c1", view) == ["1 passage : A"]
    assert story(file, "c1", View("en", UTC, MONDAY)) == ["1 visit: A"]
