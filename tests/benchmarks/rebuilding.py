"""Reading while the tables are made anew under live traffic: `make rebuilding`, or FACTS=500000 RATE=500 make rebuilding.

An instance with FACTS facts takes RATE facts a second by Kafka while eight pages of the API are read twenty times a second: first
with nothing else, then while `parcours rebuild` runs. Prints the percentiles of both, errors, and whether any alert was said twice.
"""

import asyncio
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import uvloop

from deploy.embedded import postgres_server
from projections.policy import Policy
from services import publishing
from services.instance import Instance, Options, running
from services.log import Outgoing, end_offsets, values_from
from services.log_writing import LogWriter
from services.publishing import until_caught_up
from services.security import create_token
from services.settings import ALERTS, EVENTS, Settings
from services.tables import connected
from tests.benchmarks.logs import log

PAGES = (
    "/v1/cases", "/v1/cases?min_level=B2", "/v1/cases?sort=age", "/v1/claims", "/v1/findings", "/v1/alerts", "/v1/departments",
    "/v1/summary",
)  # fmt: skip
READS = 20


async def read(api: str, token: str, until: asyncio.Event, took: list[float], wrong: list[str]) -> None:
    """Read page after page, at a steady rate."""
    number, started = 0, time.perf_counter()
    async with httpx2.AsyncClient(
        base_url=api, headers={"authorization": f"Bearer {token}"}, trust_env=False
    ) as client:
        while not until.is_set():
            begun = time.perf_counter()
            try:
                answer = await client.get(PAGES[number % len(PAGES)], timeout=30)
                if answer.status_code != 200:
                    wrong.append(f"{PAGES[number % len(PAGES)]}: {answer.status_code}")
            except httpx2.TransportError as error:
                wrong.append(type(error).__name__)
            took.append(1000 * (time.perf_counter() - begun))
            number += 1
            await asyncio.sleep(max(0.0, started + number / READS - time.perf_counter()))


async def live(kafka: str, rate: int, until: asyncio.Event) -> None:
    """Facts at a steady rate: moves of patients who bounce now and then."""
    writer, number, started = LogWriter(kafka), 0, time.perf_counter()
    try:
        while not until.is_set():
            some = [_move(number + n) for n in range(rate // 10)]
            await writer.write(EVENTS, some)
            number += len(some)
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
    finally:
        await writer.close()


def _move(number: int) -> Outgoing:
    patient = f"live-{number // 4}"
    now = datetime.now(UTC).isoformat()
    fact = {
        "specversion": "1.0", "id": f"l-{number}", "source": "/bench", "type": "parcours.case.worked.v1", "subject": patient,
        "time": now, "recordedtime": now, "data": {"case": "c", "department": "ABCA"[number % 4]},
    }  # fmt: skip
    return Outgoing(orjson.dumps(fact), f"default|{patient}".encode())


def percentiles(took: list[float]) -> dict[str, float]:
    listed = sorted(took)
    return {f"p{n}_ms": round(listed[int(len(listed) * n / 100)], 1) for n in (50, 95, 99)} | {"reads": len(listed)}


async def measure(instance: Instance, rate: int, seconds: int) -> dict[str, Any]:
    """The same reading twice, the second time beside a rebuild."""
    kafka, postgres = instance.servers.kafka_address, instance.servers.postgres_url
    async with connected(postgres, "bench") as connection:
        _, token = await create_token(connection, "default", "reader", "bench")
    over = asyncio.Event()
    writing = asyncio.create_task(live(kafka, rate, over))
    found: dict[str, Any] = {}
    told: dict[str, list[float]] = {}
    try:
        for name in ("warm", "before", "during", "after"):
            ended, took, wrong = asyncio.Event(), list[float](), list[str]()
            reading = asyncio.create_task(read(instance.api, token, ended, took, wrong))
            began = time.perf_counter()
            if name == "during":
                found["rebuild"] = await rebuild(instance)
            else:
                await asyncio.sleep(seconds)
            ended.set()
            await reading
            told[name] = took
            found[name] = percentiles(took) | {
                "errors": Counter(wrong),
                "seconds": round(time.perf_counter() - began, 1),
            }
    finally:
        over.set()
        await writing
    async with connected(postgres, "bench") as connection:
        async for _ in until_caught_up(connection, await end_offsets(kafka, EVENTS)):
            pass
        while await connection.fetchval("select exists (select 1 from parcours.outbox where sent_at is null)"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        said = await connection.fetchval("select count(*) from parcours.outbox")
    ids = Counter(orjson.loads(value)["id"] for value in await values_from(kafka, ALERTS, {}))
    found["alerts"] = {"said": said, "in_kafka": len(ids), "twice": sum(n > 1 for n in ids.values())}
    beside = percentiles(told["before"] + told["after"])
    found["p99_ratio"] = round(found["during"]["p99_ms"] / beside["p99_ms"], 2)
    return found


async def rebuild(instance: Instance) -> str:
    """The command as a person runs it."""
    command = [sys.executable, "-m", "services.command_line.main", "rebuild", "--home", str(instance.settings.home)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return said.decode().strip().splitlines()[-1]


async def run(facts: int, rate: int, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        try:
            async with running(Settings(Path(home)), Options(clock=False)) as instance:
                writer = LogWriter(instance.servers.kafka_address)
                done = await publishing.publish(writer, log(facts), 24, Policy(), lambda _: None)
                await writer.close()
                async with connected(instance.servers.postgres_url, "bench") as connection:
                    async for _ in until_caught_up(connection, done.ends):
                        pass
                    await connection.execute("vacuum analyze")
                found = await measure(instance, rate, seconds)
                return {
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                    "facts": facts,
                    "rate": rate,
                } | found
        finally:
            postgres_server.remove(Path(home) / "postgres")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        made = runner.run(
            run(
                int(os.environ.get("FACTS", "300000")),
                int(os.environ.get("RATE", "500")),
                int(os.environ.get("SECONDS", "20")),
            )
        )
    for key, value in made.items():
        sys.stdout.write(f"{key:12} {value}\n")
    sys.stdout.write(orjson.dumps(made).decode() + "\n")
