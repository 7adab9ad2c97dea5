"""Parcours' own `rebuild` of the topic: two processes, every detector, indexes included. Arguments as those of `ours`."""

import asyncio
import os
import sys
import time

import orjson
import uvloop

from projections.policy import Policy
from services.log import end_offsets
from services.projector.rebuild import Rebuilding, rebuild
from tests.benchmarks.beside.ours import new_database
from tests.line import Line


async def main() -> None:
    database = await new_database(sys.argv[4])
    async with Line(sys.argv[1], database, sys.argv[2], int(sys.argv[3]), Policy()) as line:
        one = Rebuilding(line.kafka, line.pool, line.topic, False, lambda _a, _b: None, database)  # noqa: FBT003
        done = sum((await end_offsets(line.kafka, line.topic)).values())
        began = time.perf_counter()
        made = await rebuild(one, Policy(), processes=os.cpu_count() or 1)
        seconds = time.perf_counter() - began
        found = await line.fetch(f"select count(*) as n from {made.schema}.case_path where hops >= 4")
        findings = await line.fetch(f"select count(*) as n from {made.schema}.finding")
    said = {"records": done, "seconds": seconds, "bounced": found[0]["n"], "findings": findings[0]["n"]}
    sys.stdout.write(orjson.dumps(said).decode() + "\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
