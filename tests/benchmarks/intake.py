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
from typing import Any, cast

import orjson
import uvloop

from deploy.embedded import postgres_server
from services.instance import Options, running
from services.security import create_token
from services.settings import Settings
from services.tables import connected
from tests.benchmarks.logs import log

WARM_UP = 15
MOST = 10_000
"""Facts a second that are written beforehand. The warm-up is that of Kafka's compiler: it takes a core for half a minute."""


def requests(size: int, token: str, run: str) -> Iterator[bytes]:
    """POSTs as their bytes, of facts of realistic shape that occur now, without those that are malformed or doubled; `run` makes
    them new ones.
    """
    seen = set[str]()
    for line in log(size):
        fact = orjson.loads(line)
        if fact["specversion"] != "1.0" or fact["id"] in seen:
            continue
        seen.add(fact["id"])
        content = orjson.dumps(fact | {"id": f"{run}-{fact['id']}", "time": datetime.now(UTC).isoformat()})
        head = (
            f"POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/cloudevents+json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        yield head.encode() + content


class Client(asyncio.Protocol):
    """One client on a connection of its own: a fact, its answer, the next fact, until the time is over. `done` raises on any answer
    but 202.
    """

    def __init__(self, said: Iterator[bytes], until: float, took: list[float]) -> None:
        self._said, self._until, self._took = said, until, took
        self._answer, self._begun = b"", 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 202 "):
            self.done.set_exception(RuntimeError(self._answer.decode()))
            self._transport.close()
            return
        self._answer = b""
        self._took.append(1000 * (time.perf_counter() - self._begun))
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the door closed the connection"))

    def _ask(self) -> None:
        self._begun = time.perf_counter()
        one = next(self._said, None) if self._begun < self._until else None
        if one is not None:
            self._transport.write(one)
            return
        self.done.set_result(None)
        self._transport.close()


async def post(port: int, said: Iterator[bytes], until: float, took: list[float]) -> None:
    """One client, until the time is over or all is said."""
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(said, until, took), "127.0.0.1", port)
    await client.done


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
    """The clients, in a process of their own, which has written all it will say before it begins."""
    said = iter(list(requests(MOST * (WARM_UP + seconds), token, run)))
    for length, took in ((WARM_UP, list[float]()), (seconds, list[float]())):
        until = time.perf_counter() + length
        await asyncio.gather(*(post(port, said, until, took) for _ in range(clients)))
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
