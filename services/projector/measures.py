"""What a projector tells of itself: seconds by step, and what /metrics shows. No name of a patient is in it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.projector.changes import Row
from services.projector.records import Batch
from services.tables_projector import Position


@dataclass(slots=True)
class Spent:
    """Seconds spent by step since the start, and facts taken: what `status` and `/metrics` show."""

    facts: int = 0
    records: int = 0
    fetch: float = 0.0
    decode: float = 0.0
    fold: float = 0.0
    load: float = 0.0
    rows: float = 0.0
    write: float = 0.0


class Measures:
    """What /metrics tells of a projector: no name of a patient is in it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.size = Histogram(
            "parcours_batch_records", "Records a batch", buckets=(1, 10, 100, 1_000, 4_000, 16_000), registry=registry
        )
        self.latency = Histogram(
            "parcours_fact_to_commit_seconds", "From the log's append to the committed row", registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60),
        )  # fmt: skip
        self.parked = Counter("parcours_parked_total", "Records parked, by reason", ["reason"], registry=registry)
        self.fences = Counter(
            "parcours_fence_losses_total", "Batches somebody else had moved on from", registry=registry
        )
        self.lag = Gauge(
            "parcours_lag_records", "Records in the log not yet in the tables", ["partition"], registry=registry
        )
        self.seconds = Gauge("parcours_seconds_spent", "Seconds by step since the start", ["step"], registry=registry)
        self.facts = Counter("parcours_facts_total", "Facts folded", registry=registry)
        self.offset = Gauge("parcours_next_offset", "Where each partition stands", ["partition"], registry=registry)
        self.watermark = Gauge(
            "parcours_watermark_seconds", "Each partition's watermark", ["partition"], registry=registry
        )

    def batch(self, batch: Batch, positions: Mapping[int, Position]) -> None:
        """One committed batch."""
        now = time.time()
        self.size.observe(batch.records)
        self.facts.inc(batch.facts)
        for one in batch.parked:
            self.parked.labels(one.code).inc()
        for number, some in batch.read.items():
            self.latency.observe(max(0.0, now - some[0][0].timestamp / 1000))
            self.stands(number, positions[number])

    def note_parked(self, rows: Iterable[Row]) -> None:
        """Rows of the table of parked records."""
        for row in rows:
            self.parked.labels(row[3]).inc()

    def stands(self, number: int, position: Position) -> None:
        """Where a partition stands."""
        self.offset.labels(str(number)).set(position.next_offset)
        if position.watermark is not None:
            self.watermark.labels(str(number)).set(position.watermark.timestamp())
