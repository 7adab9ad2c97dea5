"""The demonstration's log: facts in the order they happened, up to a last day."""

from datetime import datetime, timedelta
from random import Random

import orjson

from events.envelope import written
from services.demo.stories import DAY, HOSPITAL, Story, Told, named, ordinary

SEED = 20260302
WEEKS = 8
PATIENTS = 300


def facts(until: datetime, seed: int = SEED, patients: int = PATIENTS) -> list[bytes]:
    """Eight weeks of facts that end at an instant; the same seed and instant give the same facts, ids included."""
    random = Random(seed)  # noqa: S311 - a demonstration is no secret
    start = until.replace(hour=0, minute=0, second=0, microsecond=0) - WEEKS * 7 * DAY
    stories: list[Story] = [*named(start), *ordinary(random, start, WEEKS * 7, patients)]
    told = sorted((one for story in stories for one in story.told if one.at <= until), key=lambda one: one.at)
    return [fact(n, one) for n, one in enumerate(told, 1)]


def fact(number: int, one: Told) -> bytes:
    """One told fact as a CloudEvent, recorded two seconds after it happened."""
    return orjson.dumps(
        {
            "specversion": "1.0", "id": f"demo-{number:06d}", "source": one.source, "type": f"parcours.{one.name}.v1",
            "tenant": HOSPITAL, "subject": one.patient, "time": written(one.at),
            "recordedtime": written(one.at + timedelta(seconds=2)), "datacontenttype": "application/json", "data": one.data,
        }
    )  # fmt: skip
