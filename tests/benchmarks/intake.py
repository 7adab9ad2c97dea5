"""How many single facts the intake's door takes: `make intake`, or CLIENTS=64 SECONDS=10. One process serves; this one asks.

Each client posts one fact after another over its own connection and waits for the 202 that Kafka's word stands behind.
"""

import asyncio
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop

from deploy.embedded import postgres_server
from services.instance import Options, running
from services.security import create_token
from services.settings import Settings
from services.tables import connected


def request(token: str, client: int, number: int) -> bytes:
    """One POST as its bytes."""
    fact = orjson.dumps(
        {
            "specversion": "1.0", "id": f"{client}-{number}", "source": "/bench", "type": "parcours.case.worked.v1",
            "subject": f"p-{client}-{number % 50}", "time": datetime.now(UTC).isoformat(),
            "data": {"case": "c", "department": "ABC"[number % 3]},
        }
    )  # fmt: skip
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/cloudevents+json\r\ncontent-length: {len(fact)}\r\n\r\n"
    )
    return head.encode() + fact


async def post(port: int, token: str, client: int, until: float, took: list[float]) -> None:
    """One client, until the time is over. Raises on any answer but 202."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    try:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            writer.write(request(token, client, number))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 202 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(head.decode())
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            took.append(1000 * (time.perf_counter() - begun))
            number += 1
    finally:
        writer.close()


async def run(clients: int, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        try:
            async with running(Settings(Path(home)), Options(clock=False)) as instance:
                async with connected(instance.servers.postgres_url, "bench") as connection:
                    _, token = await create_token(connection, "default", "emitter", "bench")
                port = int(instance.api.rpartition(":")[2])
                command = [
                    sys.executable,
                    "-m",
                    "tests.benchmarks.intake",
                    "ask",
                    str(port),
                    token,
                    str(clients),
                    str(seconds),
                ]
                process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
                said, _ = await process.communicate()
        finally:
            postgres_server.remove(Path(home) / "postgres")
    found: dict[str, Any] = orjson.loads(said)
    return found | {"clients": clients, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}


async def ask(port: int, token: str, clients: int, seconds: int) -> dict[str, Any]:
    """The clients, in a process of their own."""
    for length, took in ((2, list[float]()), (seconds, list[float]())):  # the first warms up
        until = time.perf_counter() + length
        await asyncio.gather(*(post(port, token, n, until, took) for n in range(clients)))
    listed = sorted(took)
    return {
        "facts_per_s": round(len(listed) / seconds), "p50_ms": round(listed[len(listed) // 2], 1),
        "p99_ms": round(listed[int(0.99 * len(listed))], 1),
    }  # fmt: skip


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if sys.argv[1:2] == ["ask"]:
            made = runner.run(ask(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
        else:
            made = runner.run(run(int(os.environ.get("CLIENTS", "64")), int(os.environ.get("SECONDS", "10"))))
    sys.stdout.write(orjson.dumps(made).decode() + "\n")
