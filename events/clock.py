"""Time itself, as an event. EVENTS section 2."""

from events.fields import Data

SUBJECT = "clock"


class ClockTicked(Data, frozen=True, kw_only=True):
    """One per partition, without a key; it moves the watermark and nothing else."""
