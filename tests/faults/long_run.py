"""Many seeds of faults: `make faults`, or FIRST=1000 SEEDS=50 STORIES=200 make faults. Prints what it did and any difference.

SEEDS run the line in this process, with faults between a batch and its commit; STORIES are told to real processes under fire.
"""

import asyncio
import logging
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from projections.policy import Policy
from projections.rows import Row
from services.servers import Servers
from services.settings import Settings
from services.tables import connected, ensure_base
from tests.builders import fold_lines
from tests.faults.plan import Tally, at_their_own_pace, endure, log_of, merges_of
from tests.faults.stories import Story
from tests.faults.world import world
from tests.line import Line

STORIES_A_WORLD = 25
BEGINNING = datetime(2020, 1, 6, 9, tzinfo=UTC).timestamp()
NAMES = ("cases", "patients", "claims", "findings", "errors")


async def one_seed(servers: Servers, seed: int, tally: Tally) -> list[str]:
    """The names of what differs after one seed; none should."""
    random = Random(seed)
    base = servers.postgres_url.rpartition("/")[0]
    async with connected(servers.postgres_url, "faults") as connection:
        await connection.execute(f"create database fault_{seed}")
    async with connected(f"{base}/fault_{seed}", "faults") as connection:
        await ensure_base(connection)
    log = log_of(random, random.randrange(100, 300))
    odd: list[str] = []
    async with Line(servers.kafka_address, f"{base}/fault_{seed}", f"faults-{seed}-{os.getpid()}", 4, Policy()) as line:
        await line.publish(log)
        await endure(line, random, log, tally)
        odd += differences(log, await line.export())
        await line.forget()
        await at_their_own_pace(line, random)
        odd += [f"{name} (several owners)" for name in differences(log, await line.export())]
        apart = merges_of(random, 80)
        await line.forget(f"merges-{seed}-{os.getpid()}")
        await line.publish(apart)
        await at_their_own_pace(line, random)
        odd += [f"{name} (people merged and apart)" for name in differences(apart, await line.export())]
        tally.faults["several owners, each at its own pace"] += 2
    async with connected(servers.postgres_url, "faults") as connection:
        await connection.execute(f"drop database fault_{seed} with (force)")
    return odd


def differences(log: list[bytes], found: Row) -> list[str]:
    """What of an export is not what the log folds to."""
    expected = fold_lines(log, Policy())
    return [name for name in NAMES if found[name] != expected[name]]


async def batches(first: int, seeds: int) -> int:
    """Seeds of faults in this process; how many differ."""
    tally, bad, started = Tally(), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        servers = Servers(Settings(Path(home)))
        servers.start()
        try:
            for seed in range(first, first + seeds):
                if odd := await one_seed(servers, seed, tally):
                    bad += 1
                    say(f"seed {seed}: {', '.join(odd)} differ")
        finally:
            servers.remove()
    say(f"seeds {first} to {first + seeds - 1} in one process: {bad} with a difference")
    tell(tally.faults)
    say(f"  worst batch with its recovery {tally.worst_recovery:.2f} s; {time.monotonic() - started:.0f} s in all")
    return bad


async def stories(first: int, seeds: int) -> int:
    """Seeds told to real processes, some to one world; how many differ."""
    faults, bad, worst, started = Counter[str](), 0, 0.0, time.monotonic()
    left = list(range(first, first + seeds))
    while left:
        with tempfile.TemporaryDirectory() as home:
            async with world(Path(home), BEGINNING) as one:
                for seed in left[:STORIES_A_WORLD]:
                    left.remove(seed)
                    story = Story(one, seed)
                    odd = await _told(story)
                    say(
                        f"story {seed}: {sum(story.told.faults.values())} faults, caught up after {story.told.recovery:.1f} s"
                    )
                    faults += story.told.faults
                    worst = max(worst, story.told.recovery)
                    if odd:
                        bad += 1
                        say(f"story {seed}:", *odd[:10], *story.told.log, between="\n  ")
                        break  # what is broken would show in every story after it
    say(f"stories {first} to {first + seeds - 1}, real processes: {bad} with a difference")
    tell(faults)
    say(f"  slowest to have caught up after a story {worst:.1f} s; {time.monotonic() - started:.0f} s in all")
    return bad


async def _told(story: Story) -> list[str]:
    try:
        return await story.tell()
    except Exception as wrong:  # noqa: BLE001 - one story that fails must not end the run
        return [f"{type(wrong).__name__}: {wrong}"]


def tell(faults: Counter[str]) -> None:
    """Faults by kind."""
    for kind, n in sorted(faults.items()):
        say(f"  {n:5d} × {kind}")


def say(*words: str, between: str = " ") -> None:
    """A line, at once: these runs are long."""
    sys.stdout.write(between.join(words) + "\n")
    sys.stdout.flush()


async def run(first: int, seeds: int, told: int) -> int:
    """All seeds and all stories; 1 if any differs."""
    say(f"{platform.machine()}, {os.cpu_count()} cores")
    bad = await batches(first, seeds) if seeds else 0
    bad += await stories(first, told) if told else 0
    return bool(bad)


def number(name: str, default: int) -> int:
    """A number from the environment."""
    return int(os.environ.get(name, default))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # aiokafka says of every broker killed here that it cannot reach it
    sys.exit(asyncio.run(run(number("FIRST", 0), number("SEEDS", 200), number("STORIES", 40))))
