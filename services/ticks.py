"""One tick of the clock, as a record. EVENTS section 2, clock.ticked."""

from datetime import datetime

import orjson
from uuid_utils import uuid7

from events.catalogue import TICK
from events.clock import SUBJECT
from events.envelope import written


def tick(at: datetime) -> bytes:
    """One tick of the clock."""
    return orjson.dumps(
        {
            "specversion": "1.0", "id": str(uuid7()), "source": "/parcours/clock", "type": TICK, "subject": SUBJECT,
            "time": written(at), "recordedtime": written(at), "datacontenttype": "application/json", "data": {},
        }
    )  # fmt: skip
