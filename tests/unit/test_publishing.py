"""Facts of a file on their way to Kafka, and what is said of lines that are none."""

from projections.policy import Policy
from services.publishing import MOST_SHOWN, Published, outgoing
from tests.builders import lines, said, worked


def test_what_is_wrong_with_the_first_lines_that_will_be_parked_is_known_by_their_numbers() -> None:
    done, (good, erased) = Published(), lines(worked("A"), said("patient.erased"))
    for line in (b"", good, erased.replace(b'"recordedtime"', b'"other"'), *[b"{"] * 9):
        outgoing(line, 3, Policy(), done)

    assert (done.facts, done.refused) == (1, 10)
    assert list(done.wrong) == list(range(3, 3 + MOST_SHOWN))
    assert done.wrong[3].startswith("recordedtime: must be an RFC 3339 time")
