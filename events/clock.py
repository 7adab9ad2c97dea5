"""Time itself, as an event. EVENTS section 2."""

from dataclasses import dataclass

from events.fields import Data

SUBJECT = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTicked(Data):
    """One per partition, without a key; it moves the watermark and nothing else."""
