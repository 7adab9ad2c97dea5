"""How many single facts the intake's door takes: `make intake`, or CLIENTS=64 SECONDS=10. One process serves; this one asks.

Each client posts one fact after another over its own connection and waits for the 202 that Kafka's word stands behind: beside
everything else of an instance (a projector that folds them, alerts, deliveries), and then with the projector frozen.
"""

import asyncio
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
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
from tests.benchmarks.logs import log


def facts(size: int) -> list[dict[str, Any]]:
    """Facts of realistic shape, without those that are malformed or doubled."""
    found = [orjson.loads(line) for line in log(size)]
    return list({fact["id"]: fact for fact in found if fact["specversion"] == "1.0"}.values())


def request(token: str, fact: dict[str, Any]) -> bytes:
    """One POST as its bytes; the fact occurs now."""
    content = orjson.dumps(fact | {"time": datetime.now(UTC).isoformat()})
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/cloudevents+json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def post(port: int, token: str, said: Iterator[dict[str, Any]], until: float, took: list[float]) -> None:
    """One client, until the time is over or all is said. Raises on any answer but 202."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (begun := time.perf_counter()) < until and (fact := next(said, None)) is not None:
            writer.write(request(token, fact))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 202 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(head.decode())
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            took.append(1000 * (time.perf_counter() - begun))
    finally:
        writer.close()


async def run(clients: int, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        try:
            async with running(Settings(Path(home)), Options(clock=False)) as instance:
                async with connected(instance.servers.postgres_url, "bench") as connection:
                    _, token = await create_token(connection, "default", "emitter", "bench")
                port = int(instance.api.rpartition(":")[2])
                found = await asked(port, token, clients, seconds)
                projectors = [child.process.pid for child in instance.children if child.process is not None]
                for pid in projectors:
                    os.kill(pid, signal.SIGSTOP)
                found["alone"] = await asked(port, token, clients, seconds)
                for pid in projectors:
                    os.kill(pid, signal.SIGCONT)
        finally:
            postgres_server.remove(Path(home) / "postgres")
    return found | {"clients": clients, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}


async def asked(port: int, token: str, clients: int, seconds: int) -> dict[str, Any]:
    """What the clients measure."""
    command = [
        sys.executable, "-m", "tests.benchmarks.intake", "ask", str(port), token, str(clients), str(seconds),
        str(time.time_ns()),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    found: dict[str, Any] = orjson.loads(said)
    return found


async def ask(port: int, token: str, clients: int, seconds: int, run: str) -> dict[str, Any]:
    """The clients, in a process of their own; `run` makes their facts new ones."""
    said = ({**fact, "id": f"{run}-{fact['id']}"} for fact in facts(200_000))
    for length, took in ((5, list[float]()), (seconds, list[float]())):  # the first warms up
        until = time.perf_counter() + length
        await asyncio.gather(*(post(port, token, said, until, took) for _ in range(clients)))
    listed = sorted(took)
    return {
        "facts_per_s": round(len(listed) / seconds), "p50_ms": round(listed[len(listed) // 2], 1),
        "p99_ms": round(listed[int(0.99 * len(listed))], 1),
    }  # fmt: skip


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if sys.argv[1:2] == ["ask"]:
            made = runner.run(ask(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]))
        else:
            made = runner.run(run(int(os.environ.get("CLIENTS", "64")), int(os.environ.get("SECONDS", "10"))))
    sys.stdout.write(orjson.dumps(made).decode() + "\n")
