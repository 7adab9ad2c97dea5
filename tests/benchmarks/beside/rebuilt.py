"""Parcours' own `rebuild` of the topic: two processes, every detector, indexes included. Arguments as those of `ours`."""

import asyncio
import sys
import time

import uvloop

from projections.policy import Policy
from services.log import end_offsets
from services.projector.rebuild import Rebuilding, rebuild
from tests.benchmarks.beside.ours import new_database, tell
from tests.line import Line


async def main() -> None:
    database = await new_database(sys.argv[4])
    async with Line(sys.argv[1], database, sys.argv[2], int(sys.argv[3]), Policy()) as line:
        one = Rebuilding(line.kafka, line.pool, line.topic, False, lambda _a, _b: None, database)  # noqa: FBT003
        done = sum((await end_offsets(line.kafka, line.topic)).values())
        began = time.perf_counter()
        made = await rebuild(one, Policy(), processes=2)
        seconds = time.perf_counter() - began
        await tell(line, made, done, seconds)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
