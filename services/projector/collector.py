"""Python's cyclic collector, kept from looking through every held file again and again: it would cost a fifth of the fold."""

import gc


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
