"""The log goes away and comes back in the middle of a rebuild in several processes."""

import asyncio
from pathlib import Path

import pytest

from projections.policy import Policy
from services import tables_generations as saved
from services.projector import rebuild as making
from services.servers import Servers
from services.settings import Settings
from services.tables import active_generation
from tests.benchmarks.logs import log
from tests.line import Line


async def digests(line: Line, schema: str) -> saved.Digests:
    async with line.pool.acquire() as connection:
        return await saved.digests(connection, schema)


@pytest.mark.timeout(200)
async def test_a_rebuild_in_processes_goes_on_once_the_log_is_back(database: str, tmp_path: Path) -> None:
    own = Servers(Settings(tmp_path, postgres=database))
    own.start()
    gone: list[asyncio.Task[None]] = []

    async def back() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(own.start)

    def step(done: int, _: int) -> None:
        if done and not gone:
            assert own.kafka is not None
            own.kafka.kill()
            gone.append(asyncio.create_task(back()))

    try:
        async with Line(own.kafka_address, database, "gone-and-back", 24, Policy()) as line:
            await line.publish(log(6_000))
            await line.project()
            lived = await digests(line, line.generation.schema)
            one = making.Rebuilding(line.kafka, line.pool, line.topic, clock_rule=False, step=step, postgres=database)
            made = await making.rebuild(one, line.policy, processes=2)
            await gone[0]

            async with line.pool.acquire() as connection:
                active = await active_generation(connection)
                assert active is not None
                assert active.id == made.id
            assert await digests(line, made.schema) == lived
    finally:
        own.remove()
