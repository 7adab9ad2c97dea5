"""Python's cyclic collector, kept from looking through again and again what is there to stay: every file a projector holds (a fifth of
its fold), or everything a server was made of (a tenth of the intake's time, and a tenth of a second at once for whoever asks then).
"""

import gc

SELDOM = 20_000
"""How many more objects there are before those that are new are looked through; Python's own number is 700."""


def calm_collector() -> None:
    """From here on nothing is collected unless `tidy` is called. What is held forms no circles: counting references frees it."""
    gc.collect()
    gc.freeze()
    gc.disable()


def tidy() -> None:
    """Collect what formed circles since `keep_all`: between batches that is little to look through."""
    if not gc.isenabled():
        gc.collect()


def keep_all() -> None:
    """Never look again at what there is now: the files that were just folded."""
    if not gc.isenabled():
        gc.freeze()


def keep_made() -> None:
    """Never look again at what a server was made of; what comes after it is collected, less often than Python does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(SELDOM, *gc.get_threshold()[1:])
