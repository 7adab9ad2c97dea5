"""A whole instance as people start it: how soon it is ready, how soon an alert is in Kafka, what the doors take and answer."""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import uvloop

from deploy.embedded import postgres_server
from services.instance import Instance, Options, running
from services.log import Outgoing, end_offsets, records_from
from services.log_writing import LogWriter
from services.security import create_token
from services.settings import ALERTS, EVENTS, Settings
from services.tables import connected
from tests.benchmarks import intake
from tests.benchmarks.logs import log

ADDRESSES = ("/v1/cases", "/v1/claims", "/v1/departments", "/v1/summary", "/v1/findings")
RATE, SECONDS, ASKED = 1_000, 10, 100


async def alerts(instance: Instance) -> dict[str, float]:
    """Milliseconds from a fact in Kafka to the alert it caused in Kafka, by the log's own times, at a steady rate."""
    writer, kafka = LogWriter(instance.servers.kafka_address), instance.servers.kafka_address
    facts = list(log(RATE * SECONDS, seed=7, begins=datetime.now(UTC) - timedelta(days=121)))
    started = time.perf_counter()
    for start in range(0, len(facts), 10):
        some = facts[start : start + 10]
        await writer.write(EVENTS, [Outgoing(raw, f"default|{orjson.loads(raw)['subject']}".encode()) for raw in some])
        await asyncio.sleep(max(0.0, started + start / RATE - time.perf_counter()))
    await writer.close()
    await asyncio.sleep(5)
    at = {}
    async for record in records_from(kafka, EVENTS, await end_offsets(kafka, EVENTS)):
        at[orjson.loads(record.value or b"{}").get("id")] = record.timestamp
    took = []
    async for record in records_from(kafka, ALERTS, await end_offsets(kafka, ALERTS)):
        cause = orjson.loads(record.value or b"{}").get("causationid")
        if cause in at:
            took.append(float(record.timestamp - at[cause]))
    took.sort()
    return {"alert_p50": took[len(took) // 2], "alert_p99": took[int(0.99 * len(took))], "alerts": len(took)}


async def queries(api: str, token: str) -> dict[str, dict[str, float]]:
    """Milliseconds of answers over what the run before left, one after another."""
    found = {}
    async with httpx2.AsyncClient(
        base_url=api, headers={"authorization": f"Bearer {token}"}, trust_env=False
    ) as client:
        for address in ADDRESSES:
            took = []
            for _ in range(ASKED):
                started = time.perf_counter()
                (await client.get(address)).raise_for_status()
                took.append(1000 * (time.perf_counter() - started))
            took.sort()
            found[address] = {"p50": round(statistics.median(took), 1), "p95": round(took[int(0.95 * ASKED)], 1)}
    return found


async def run() -> dict[str, Any]:
    """All of it, on one home that is started twice."""
    with tempfile.TemporaryDirectory() as home:
        try:
            started = time.perf_counter()
            async with running(Settings(Path(home)), Options(clock=False)) as instance:
                first = time.perf_counter() - started
                latency = await alerts(instance)
                async with connected(instance.servers.postgres_url, "bench") as connection:
                    _, token = await create_token(connection, "default", "reader", "bench")
                asked = await queries(instance.api, token)
            started = time.perf_counter()
            async with running(Settings(Path(home)), Options(clock=False)):
                again = time.perf_counter() - started
        finally:
            postgres_server.remove(Path(home) / "postgres")
    taken = await intake.run(int(os.environ.get("CLIENTS", "64")), 10)
    return {
        "latency_ms": latency, "intake": taken, "queries": asked,
        "start_s": {"new_home": round(first, 1), "again": round(again, 1)},
    }  # fmt: skip


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(orjson.dumps(runner.run(run())).decode() + "\n")
