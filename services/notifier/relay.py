"""The outbox to parcours.alerts, oldest first; a row is sent again rather than lost. DESIGN section 5."""

import asyncio
from datetime import UTC, datetime
from typing import Any, NoReturn

import orjson
import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from services.log import LogUnavailable, LogWriter, Outgoing
from services.settings import ALERTS
from services.tables import TRANSIENT, Connection, Pool

CHANNEL = "parcours_outbox"
AT_ONCE = 1_000
log = structlog.get_logger("parcours.notifier")


class Relay:
    """Sends unsent rows; ids make a second sending safe for whoever receives."""

    def __init__(self, writer: LogWriter, pool: Pool, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._age = Gauge("parcours_outbox_age_seconds", "Age of the oldest alert not yet in Kafka", registry=registry)
        self._latency = Histogram(
            "parcours_fact_to_alert_seconds", "From the log's time of an alert to Kafka", registry=registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60, 3600),
        )  # fmt: skip
        self._writer = writer
        self._pool = pool
        self._rung = asyncio.Event()
        self.sent = 0

    async def run(self) -> NoReturn:
        """Relay for ever: when the projector rings, and once a second in case the bell was not heard."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await connection.add_listener(CHANNEL, self._ring)
                    try:
                        await self._listen()
                    finally:
                        await connection.remove_listener(CHANNEL, self._ring)
            except (LogUnavailable, *TRANSIENT) as wrong:
                log.warning("alerts wait", error=type(wrong).__name__)
                await asyncio.sleep(1.0)

    async def _listen(self) -> NoReturn:
        while True:
            self._rung.clear()
            while await self.send() == AT_ONCE:
                pass
            try:
                async with asyncio.timeout(1.0):
                    await self._rung.wait()
            except TimeoutError:
                continue

    def _ring(self, *_: Any) -> None:
        self._rung.set()

    async def send(self) -> int:
        """Send the oldest unsent rows of every partition; how many."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                "select id, key, value, created_at from parcours.outbox where sent_at is null order by partition, id limit $1",
                AT_ONCE,
            )
            now = datetime.now(UTC)
            self._age.set((now - rows[0]["created_at"]).total_seconds() if rows else 0)
            if rows:
                await self._writer.write(ALERTS, [Outgoing(row["value"], row["key"].encode()) for row in rows])
                await mark_sent(connection, [row["id"] for row in rows])
                self.sent += len(rows)
                for row in rows:
                    said = datetime.fromisoformat(orjson.loads(row["value"])["time"])
                    self._latency.observe(max(0.0, (datetime.now(UTC) - said).total_seconds()))
        return len(rows)

    def detail(self) -> dict[str, object]:
        """What a heartbeat tells of the relay."""
        return {"sent": self.sent}


async def mark_sent(connection: Connection, ids: list[int]) -> None:
    """These rows are in Kafka."""
    await connection.execute("update parcours.outbox set sent_at = now() where id = any($1::bigint[])", ids)
