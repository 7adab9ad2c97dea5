"""Ticks: for a partition in which a deadline has passed, otherwise every quarter of an hour. DESIGN section 4."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import structlog
from prometheus_client import CollectorRegistry, Gauge

from events.envelope import written
from services.log import LogUnavailable, Outgoing
from services.log_writing import LogWriter
from services.settings import EVENTS
from services.tables import TRANSIENT, Pool, still_wanted
from services.ticks import tick

EVERY = timedelta(minutes=15)
SPACED = timedelta(seconds=2)
LOOK = 1.0


class Clock:
    """Ticks the partitions of the log."""

    def __init__(self, log: LogWriter, pool: Pool, partitions: int, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._next = Gauge("parcours_next_deadline_seconds", "When the next deadline falls due", registry=registry)
        self._overdue = Gauge("parcours_deadlines_overdue", "Deadlines passed and not fired", registry=registry)
        self._watermark = Gauge("parcours_watermark_age_seconds", "Age of the oldest watermark", registry=registry)
        self._rebuild = Gauge("parcours_rebuild_records_per_second", "Rate of a rebuild under way", registry=registry)
        self._log = log
        self._pool = pool
        self._partitions = partitions
        self.ticked: dict[int, datetime] = {}

    async def run(self) -> NoReturn:
        """Tick for ever; what is away is tried again."""
        log = structlog.get_logger("parcours.clock")
        while True:
            try:
                await self.look(datetime.now(UTC))
            except (LogUnavailable, *TRANSIENT) as wrong:
                still_wanted()
                log.warning("no tick", error=type(wrong).__name__)
            await asyncio.sleep(LOOK)

    async def look(self, now: datetime) -> None:
        """Tick every partition that needs it now."""
        due = {number for number in range(self._partitions) if now - self.ticked.get(number, now - EVERY) >= EVERY}
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                "select p.partition, max(p.next_due_at) as latest from parcours.patient p join parcours.checkpoint c using (partition)"
                " where p.next_due_at > '-infinity' and p.next_due_at <= $1 and (c.watermark is null or c.watermark < p.next_due_at)"
                " group by p.partition",
                now,
            )
            told = await connection.fetchrow(
                "select (select min(n.next_due_at) from parcours.checkpoint c cross join lateral"
                " (select next_due_at from parcours.patient p"
                "  where p.partition = c.partition and p.next_due_at > '-infinity' order by next_due_at limit 1) n) as next,"
                " (select count(*) from parcours.patient p join parcours.checkpoint c using (partition)"
                "  where p.next_due_at <= c.watermark and not p.is_quarantined) as overdue,"
                " (select min(watermark) from parcours.checkpoint) as watermark,"
                " (select (detail ->> 'facts_per_s')::float from parcours.heartbeat"
                "  where service = 'rebuild' and beat_at > now() - interval '10 s') as rebuild"
            )
        if told is not None:
            self._tell(told, now)
        due |= {row["partition"] for row in rows if self._is_awaited(row["partition"], row["latest"], now)}
        await self.tick(due, now)

    def _is_awaited(self, number: int, latest: datetime, now: datetime) -> bool:
        """Whether a deadline has passed since the last tick. One is enough, however long nobody reads it: the log keeps them for ever."""
        last = self.ticked.get(number)
        return last is None or (last < latest and now - last >= SPACED)

    def _tell(self, told: Any, now: datetime) -> None:
        self._next.set(told["next"].timestamp() if told["next"] else 0)
        self._overdue.set(told["overdue"])
        self._watermark.set((now - told["watermark"]).total_seconds() if told["watermark"] else 0)
        self._rebuild.set(told["rebuild"] or 0)

    async def tick(self, partitions: Iterable[int], now: datetime) -> None:
        """One tick to each of some partitions."""
        wanted = sorted(partitions)
        if wanted:
            await self._log.write(EVENTS, [Outgoing(tick(now), None, number) for number in wanted])
            self.ticked |= dict.fromkeys(wanted, now)

    def detail(self) -> dict[str, object]:
        """What a heartbeat tells of the clock."""
        return {"last_tick": written(max(self.ticked.values())) if self.ticked else None}
