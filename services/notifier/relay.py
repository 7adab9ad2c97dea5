"""The outbox to parcours.alerts, oldest first, each once: where it is not known what Kafka took, the topic is read. DESIGN section 5."""

import asyncio
from datetime import UTC, datetime
from typing import Any, NoReturn

import orjson
import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from services import tables_alerts as tables
from services.bells import listening
from services.log import LogUnavailable, Outgoing, values_from
from services.log_writing import LogWriter
from services.settings import ALERTS
from services.tables import TRANSIENT, Connection, Pool, still_wanted

AT_ONCE = 1_000
RELAYED = "relayed"
log = structlog.get_logger("parcours.notifier")


class Relay:
    """Sends unsent rows. One relay at a time: the lock is held with the connection that reads the rows."""

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
        self._reached: dict[str, int] = {}
        self._there: set[str] = set()
        self.sent = 0

    async def run(self) -> NoReturn:
        """Relay for ever: when the projector rings, and once a second in case the bell was not heard."""
        while True:
            try:
                async with listening(self._pool, [tables.CHANNEL], self._ring) as connection:
                    await self._alone(connection)
                    await self._look_back(connection)
                    await self._listen(connection)
            except (LogUnavailable, *TRANSIENT) as wrong:
                still_wanted()
                log.warning("alerts wait", error=type(wrong).__name__)
                await asyncio.sleep(1.0)

    async def _alone(self, connection: Connection) -> None:
        """Wait until no other relay sends; the lock goes with its holder's connection."""
        while not await tables.lock_relay(connection):  # noqa: ASYNC110 - the holder may never end
            await asyncio.sleep(1.0)

    async def _look_back(self, connection: Connection) -> None:
        """What the topic holds beyond what is noted as sent: a relay before us, or a write of ours, did not learn of it."""
        self._reached = await tables.setting(connection, RELAYED) or {}
        values = await values_from(
            self._writer.servers, ALERTS, {int(number): at for number, at in self._reached.items()}
        )
        self._there = {orjson.loads(value)["id"] for value in values}

    async def _listen(self, connection: Connection) -> NoReturn:
        while True:
            self._rung.clear()
            while await self._send(connection) == AT_ONCE:
                pass
            try:
                async with asyncio.timeout(1.0):
                    await self._rung.wait()
            except TimeoutError:
                continue

    def _ring(self, *_: Any) -> None:
        self._rung.set()

    async def _send(self, connection: Connection) -> int:
        """Send the oldest unsent rows of every partition; how many."""
        rows = await tables.unsent(connection, AT_ONCE)
        now = datetime.now(UTC)
        self._age.set((now - rows[0]["created_at"]).total_seconds() if rows else 0)
        if rows:
            alerts = [orjson.loads(row["value"]) for row in rows]
            missing = [row for row, alert in zip(rows, alerts, strict=True) if alert["id"] not in self._there]
            written = await self._writer.write(ALERTS, [Outgoing(row["value"], row["key"].encode()) for row in missing])
            for where in written:
                name = str(where.partition)
                self._reached[name] = max(self._reached.get(name, 0), where.offset + 1)
            async with connection.transaction():
                await tables.mark_sent(connection, [row["id"] for row in rows])
                await tables.set_setting(connection, RELAYED, self._reached)
            self.sent += len(missing)
            for alert in alerts:
                said = datetime.fromisoformat(alert["time"])
                self._latency.observe(max(0.0, (datetime.now(UTC) - said).total_seconds()))
        return len(rows)

    def detail(self) -> dict[str, object]:
        """What a heartbeat tells of the relay."""
        return {"sent": self.sent}
