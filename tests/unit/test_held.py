"""What changed of a held person since the last look: which findings have to be written again."""

from datetime import timedelta

from events.catalogue import decoded
from projections.patient import PatientFile
from projections.policy import Policy
from projections.saying import reason_rows
from services.projector.held import Held
from tests.builders import HOUR, MONDAY, Said, lines, worked

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
