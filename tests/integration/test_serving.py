"""How the doors are opened."""

import gc

from services.collector import SELDOM
from tests.line import Line
from tests.served import served


async def test_an_open_door_does_not_look_through_what_it_was_made_of_again_and_again(line: Line) -> None:
    before = gc.get_threshold()
    gc.unfreeze()
    try:
        async with served(line):
            assert gc.isenabled()
            assert gc.get_threshold()[0] == SELDOM
            assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
