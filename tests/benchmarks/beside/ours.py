"""Parcours itself, with every detector: from a topic to committed rows. Arguments: servers, topic, partitions, the database, and how
many projectors share the partitions.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence

import orjson
import uvloop

from projections.policy import Policy
from services.collector import calm_collector
from services.projector.held import Memory
from services.projector.records import Reader
from services.projector.stretch import Stretching
from services.tables import Generation, active_generation, connected, ensure_base, open_pool
from tests.benchmarks.bench import HELD_FACTS, batches
from tests.line import Line

AT_ONCE = 16_000  # as a projector that is behind reads
NUMBER = 6


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


async def project(line: Line, numbers: Sequence[int]) -> dict[str, float]:
    """Some partitions by one projector: how many records, and from when to when."""
    reader = Reader(Policy(), line.partitions, clock_rule=False)
    work = Stretching(line.pool, line.generation, line.topic, reader, Memory(HELD_FACTS), f"beside-{numbers[0]}")
    await work.take(numbers)
    calm_collector()
    began = time.perf_counter()
    done, _ = await batches(line, lambda batch: work.follow(batch, more=True), AT_ONCE, work, numbers)
    await work.settle()
    return {"records": done, "began": began, "ended": time.perf_counter()}


async def part(line: Line, number: int, of: int) -> None:
    """One of several projectors: it shares the tables, and says how it went."""
    line.pool = await open_pool(line.database, "beside", is_plain=True)
    try:
        async with line.pool.acquire() as connection:
            active = await active_generation(connection)
        assert active is not None
        line.generation = active
        sys.stdout.write(orjson.dumps(await project(line, range(number, line.partitions, of))).decode() + "\n")
    finally:
        await line.pool.close()


async def run_part(number: int, of: int, database: str) -> dict[str, float]:
    """A process of its own for one of several projectors."""
    command = [sys.executable, "-m", "tests.benchmarks.beside.ours", *sys.argv[1:4], database, str(of), str(number)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    found: dict[str, float] = orjson.loads(said.splitlines()[-1])
    return found


async def main() -> None:
    kafka, topic, partitions, database, processes = *sys.argv[1:3], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
    if len(sys.argv) > NUMBER:
        await part(Line(kafka, database, topic, partitions, Policy()), int(sys.argv[NUMBER]), processes)
        return
    database = await new_database(database)
    async with Line(kafka, database, topic, partitions, Policy()) as line:
        parts = await asyncio.gather(*(run_part(number, processes, database) for number in range(processes)))
        began = time.perf_counter()
        await (await line.projector("beside-last")).settle()  # what one left for another that had ended
        last = time.perf_counter() - began
        seconds = max(one["ended"] for one in parts) - min(one["began"] for one in parts) + last
        await tell(line, line.generation, int(sum(one["records"] for one in parts)), seconds)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
