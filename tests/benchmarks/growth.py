"""What one patient with very many facts costs: `make growth`, or HOT=50000.

The pure fold of one patient of 2,000, 10,000 and HOT facts, 1 % of them two days late, looked at after every ten; then a projector on
real servers: a log of HOT ordinary facts and as many of one patient, beside an ordinary log of the same size.
"""

import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import orjson
import uvloop

from deploy.embedded import postgres_server
from events.catalogue import decoded
from projections.patient import PatientFile
from projections.policy import Policy
from services.collector import calm_collector
from services.projector.batch import Projecting
from services.projector.held import Memory
from services.projector.records import Reader
from services.servers import Servers
from services.settings import Settings
from services.tables import connected, ensure_base
from tests.benchmarks.bench import HELD_FACTS, PARTITIONS, batches
from tests.benchmarks.logs import START, fact, log
from tests.line import Line

PATIENT = 7_000_000


def of_one(size: int) -> Iterator[bytes]:
    """Facts of one patient over 120 days."""
    random, step = Random(3), timedelta(days=120) / size
    for number in range(size):
        yield fact(random, f"hot-{number:06d}", PATIENT, START + number * step)


def folded(size: int) -> float:
    """Microseconds of CPU time for each fact of one patient, as they come."""
    facts = [decoded(line) for line in of_one(size)]
    file = PatientFile("default", facts[0].subject, Policy())
    began = time.process_time()
    for number, one in enumerate(facts):
        file.apply(one)
        if number % 10 == 9:
            file.advance(one.recorded_at)
            file.take_touched()
    return 1e6 * (time.process_time() - began) / size


async def projected(line: Line, lines: Iterator[bytes]) -> float:
    """Facts a second from Kafka to committed rows."""
    await line.publish(lines)
    reader = Reader(Policy(), PARTITIONS, clock_rule=False)
    work = line.projecting = Projecting(line.pool, line.generation, line.topic, reader, Memory(HELD_FACTS), "growth")
    await work.take(range(PARTITIONS))
    n, seconds = await batches(line, partial(work.follow, more=True))
    began = time.perf_counter()
    await work.settle()
    return n / (seconds + time.perf_counter() - began)


async def run(hot: int) -> dict[str, Any]:
    found: dict[str, Any] = {"fold_us": {str(size): round(folded(size), 1) for size in (2_000, 10_000, hot)}}
    with tempfile.TemporaryDirectory() as home:
        servers = Servers(Settings(Path(home)))
        servers.start()
        try:
            async with connected(servers.postgres_url, "growth") as connection:
                await ensure_base(connection)
            async with Line(servers.kafka_address, servers.postgres_url, "ordinary", PARTITIONS, Policy()) as line:
                calm_collector()
                ordinary = await projected(line, log(2 * hot))
                await line.forget("hot")
                mixed = chain.from_iterable(zip(of_one(hot), log(hot), strict=False))
                beside_one = await projected(line, mixed)
        finally:
            servers.stop()
            postgres_server.remove(Path(home) / "postgres")
    found["live"] = {"ordinary_per_s": round(ordinary), "half_of_one_patient_per_s": round(beside_one)}
    return found | {
        "hot": hot,
        "ran_on": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        made = runner.run(run(int(os.environ.get("HOT", "50000"))))
    sys.stdout.write(orjson.dumps(made).decode() + "\n")
