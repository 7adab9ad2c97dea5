"""Where the records of a log stand once it is put back without what ended its transactions."""

import pytest

from services.backup import Places


@pytest.mark.parametrize(
    ("offsets", "now"),
    [
        ([0, 1, 2], {0: 0, 1: 1, 3: 3, 9: 3}),
        ([0, 1, 3, 4, 7], {0: 0, 1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 4, 8: 5, 99: 5}),
        ([5, 6, 9], {0: 0, 4: 0, 5: 0, 6: 1, 7: 2, 9: 2, 10: 3}),
        ([], {0: 0, 3: 0}),
    ],
)
def test_a_place_is_how_many_records_stood_before_it(offsets: list[int], now: dict[int, int]) -> None:
    places = Places()
    for offset in offsets:
        places.note(7, offset)
    for offset, place in now.items():
        assert places.now(7, offset) == place == sum(one < offset for one in offsets)
    assert places.have_moved == (offsets != list(range(len(offsets))))
