"""Seeded logs of realistic shape: Zipf case sizes, some facts late, doubled or malformed, contacts and claims among them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import orjson

DEPARTMENTS = tuple(f"dept-{n:02d}" for n in range(24))
START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def log(size: int, seed: int = 1, begins: datetime = START) -> Iterator[bytes]:
    """Facts in the order they are recorded: 1 % late, 0.5 % doubled, 0.2 % malformed."""
    random = Random(seed)
    patients = max(10, size // 12)
    step = timedelta(days=120) / size
    for number in range(size):
        at = begins + number * step
        patient = int(patients * random.random() ** 2)  # few with many facts, many with few
        line = fact(random, f"b{seed}-{number:09d}", patient, at)
        kind = random.random()
        if kind < 0.002:
            yield line.replace(b'"specversion":"1.0"', b'"specversion":"9"')
        else:
            yield line
            if kind > 0.995:
                yield line


def fact(random: Random, number: str, patient: int, at: datetime) -> bytes:
    case, claim, contact = f"c-{patient}-{random.randrange(2)}", f"k-{patient}", f"m-{number}"
    elsewhere = random.randrange(1, 4) if random.random() < 0.06 else 0
    here = DEPARTMENTS[(patient + elsewhere) % len(DEPARTMENTS)]
    kind = random.random()
    if kind < 0.55:
        name, data = "case.worked", {"case": case, "department": here, "activity": "work"}
    elif kind < 0.75:
        name, data = (
            "contact.received",
            {"contact": contact, "channel": "phone", "topic": f"t-{patient % 40}", "case": case},
        )
    elif kind < 0.93:
        name, data = "contact.handled", {"contact": contact, "department": here, "outcome": "answered", "case": case}
    elif kind < 0.96:
        name, data = "claim.registered", {"claim": claim, "kind": "complaint", "jurisdiction": "fr-csp", "case": case}
    elif kind < 0.98:
        name, data = "claim.answered", {"claim": claim}
    else:
        name, data = (
            "contact.redirected",
            {"contact": contact, "from_department": here, "to_department": DEPARTMENTS[0], "case": case},
        )
    late = timedelta(days=2) if random.random() < 0.01 else timedelta()
    return orjson.dumps(
        {
            "specversion": "1.0", "id": number, "source": "/bench", "type": f"parcours.{name}.v1", "subject": f"p-{patient}",
            "time": (at - late).isoformat(), "recordedtime": (at + timedelta(seconds=1)).isoformat(),
            "datacontenttype": "application/json", "data": data,
        }
    )  # fmt: skip
