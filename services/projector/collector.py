"""Python's cyclic collector, kept from looking through every held file again and again: it would cost a fifth of the fold."""

import gc

EVERY = 4_000


def calm_collector() -> None:
    """From here on nothing is collected unless `tidy` is called. What is held forms no circles: counting references frees it."""
    gc.collect()
    gc.freeze()
    gc.disable()


def tidy() -> None:
    """Collect what formed circles since the last time, and never look at what is left again."""
    if not gc.isenabled():
        gc.collect()
        gc.freeze()
