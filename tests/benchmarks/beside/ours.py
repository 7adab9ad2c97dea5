"""Parcours itself, with every detector: from a topic to committed rows. Arguments: servers, topic, partitions, the database."""

import asyncio
import sys
import time

import orjson
import uvloop

from projections.policy import Policy
from services.collector import calm_collector
from services.projector.held import Memory
from services.projector.records import Reader
from services.projector.stretch import Stretching
from services.tables import Generation, connected, ensure_base
from tests.benchmarks.bench import HELD_FACTS, batches
from tests.line import Line

AT_ONCE = 16_000  # as a projector that is behind reads


async def new_database(beside: str) -> str:
    """A database of its own, with what is there before anything is read."""
    name = f"ours_{time.time_ns()}"
    async with connected(beside, "beside") as connection:
        await connection.execute(f"create database {name}")
    database = beside.rpartition("/")[0] + f"/{name}"
    async with connected(database, "beside") as connection:
        await ensure_base(connection)
    return database


async def tell(line: Line, made: Generation, done: int, seconds: float) -> None:
    """Say how it went: what `run` reads of each of them."""
    bounced = await line.fetch(f"select count(*) as n from {made.schema}.case_path where hops >= 4")
    findings = await line.fetch(f"select count(*) as n from {made.schema}.finding")
    said = {"records": done, "seconds": seconds, "bounced": bounced[0]["n"], "findings": findings[0]["n"]}
    sys.stdout.write(orjson.dumps(said).decode() + "\n")


async def main() -> None:
    database = await new_database(sys.argv[4])
    async with Line(sys.argv[1], database, sys.argv[2], int(sys.argv[3]), Policy()) as line:
        reader = Reader(Policy(), line.partitions, clock_rule=False)
        work = Stretching(line.pool, line.generation, line.topic, reader, Memory(HELD_FACTS), "beside")
        await work.take(range(line.partitions))
        calm_collector()
        began = time.perf_counter()
        done, _ = await batches(line, lambda batch: work.follow(batch, more=True), AT_ONCE, work)
        await work.settle()
        seconds = time.perf_counter() - began
        await tell(line, line.generation, done, seconds)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
