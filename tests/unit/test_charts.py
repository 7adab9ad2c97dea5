"""What is drawn can be read."""

import re

from services.console.charts import Dot, ageing


def test_lines_that_coincide_are_named_side_by_side() -> None:
    dots = [Dot("A", 90.0, None, "c-1", "/en/cases/c-1")]

    drawn = ageing(dots, [(5.0, "50 %"), (5.0, "85 %"), (5.1, "95 %"), (80.0, "99 %")], "ages", "d")

    places = {said: float(x) for x, said in re.findall(r'<text [^>]*x="([\d.]+)"[^>]*>(\d+ %)</text>', drawn)}
    assert places.keys() == {"50 %", "85 %", "95 %", "99 %"}
    assert places["50 %"] == places["99 %"] == places["85 %"] + 40 == places["95 %"] + 80
