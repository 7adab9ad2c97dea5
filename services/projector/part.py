"""One process of a rebuild: some partitions of one generation, told on standard input; says on standard output how far it is."""

import asyncio
import os
import sys

import orjson
import uvloop

from services.collector import calm_collector
from services.projector.rebuild import Rebuilding, fill
from services.tables import generations, open_pool
from services.telemetry import configure_logs


async def run(topic: str, *, clock_rule: bool) -> None:
    """Fill those partitions up to the offsets wanted."""
    wish = orjson.loads(sys.stdin.buffer.read())
    until = {int(number): offset for number, offset in wish["until"].items()}
    pool = await open_pool(os.environ["PARCOURS_POSTGRES"], "rebuild", gives_way=True)

    def step(done: int, _: int) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()

    try:
        async with pool.acquire() as connection:
            made = next(one for one in await generations(connection) if one.id == wish["generation"])
        await fill(Rebuilding(os.environ["PARCOURS_KAFKA"], pool, topic, clock_rule, step), made, until, is_part=True)
    finally:
        await pool.close()


if __name__ == "__main__":
    configure_logs(as_json=not sys.stderr.isatty())  # standard output is for how far it is
    calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1], clock_rule=sys.argv[2] == "clock"))
