"""Many seeds of faults on the real line: `make faults`, or SEEDS=50 FIRST=1000 make faults. Prints what it did and any difference."""

import asyncio
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from projections.policy import Policy
from services.instance import Servers
from services.settings import Settings
from services.tables import connected, ensure_base
from tests.builders import fold_lines
from tests.faults.plan import Tally, endure, log_of
from tests.line import Line

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
    async with Line(servers.kafka_address, f"{base}/fault_{seed}", f"faults-{seed}-{os.getpid()}", 4, Policy()) as line:
        await line.publish(log)
        await endure(line, random, log, tally)
        expected, found = fold_lines(log, line.policy), await line.export()
    async with connected(servers.postgres_url, "faults") as connection:
        await connection.execute(f"drop database fault_{seed} with (force)")
    return [name for name in NAMES if found[name] != expected[name]]


async def run(first: int, seeds: int) -> int:
    """All seeds; 1 if any differs."""
    tally, bad, started = Tally(), {}, time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        servers = Servers(Settings(Path(home)))
        servers.start()
        try:
            for seed in range(first, first + seeds):
                if odd := await one_seed(servers, seed, tally):
                    bad[seed] = odd
                    sys.stdout.write(f"seed {seed}: {', '.join(odd)} differ\n")
        finally:
            servers.remove()
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"seeds {first} to {first + seeds - 1} on {platform.machine()}, {os.cpu_count()} cores: {len(bad)} with a difference\n"
    )
    for kind, n in sorted(tally.faults.items()):
        sys.stdout.write(f"  {n:5d} × {kind}\n")
    sys.stdout.write(f"  worst batch with its recovery {tally.worst_recovery:.2f} s; {seconds:.0f} s in all\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(asyncio.run(run(int(os.environ.get("FIRST", "0")), int(os.environ.get("SEEDS", "200")))))
