"""An instance as it runs in earnest: every service a process of its own, both servers, a wire between, and what can befall them."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.embedded.server_process import pick_ports
from services.security import create_token
from services.servers import Servers
from services.settings import Settings
from services.tables import connected
from tests.faults.proxy import Proxy
from tests.faults.shifted import SHIFT

PARTITIONS = 6
COMMAND = (sys.executable, "-m", "services.command_line.main")
SHIFTED = (sys.executable, "-m", "tests.faults.shifted")
TENANTS = ("north", "south")


@dataclass
class Service:
    """A process that is started again whenever it ends, as a supervisor would."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    wanted: bool = True
    ends: Counter[int] = field(default_factory=Counter)

    async def keep(self) -> None:
        """Run it, and again, until it is wanted no more."""
        while self.wanted:
            with self.log.open("ab") as output:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command, env=self.environment, stdout=output, stderr=output
                )
            self.ends[await self.process.wait()] += 1
            await asyncio.sleep(0.2)

    def send(self, which: signal.Signals) -> None:
        """A signal, if it lives."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(which)


@dataclass
class World:
    """The whole of it, in a folder."""

    home: Path
    servers: Servers
    proxy: Proxy
    services: dict[str, Service] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    port: int = 0
    shift: float = 0.0
    _keeping: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def database(self) -> str:
        """The real address of the database, past the wire."""
        return self.servers.postgres_url

    @property
    def environment(self) -> dict[str, str]:
        """What a service is started with: the database lies behind the wire."""
        through = self.database.replace(f":{self.proxy.to_port}/", f":{self.proxy.port}/")
        return os.environ | {
            "PARCOURS_HOME": str(self.home), "PARCOURS_KAFKA": self.servers.kafka_address, "PARCOURS_POSTGRES": through,
            "PARCOURS_PARTITIONS": str(PARTITIONS), SHIFT: str(self.home / "shift"),
        }  # fmt: skip

    def set_time(self, seconds: float) -> None:
        """How far the story's time is from the real one."""
        self.shift = seconds
        aside = self.home / "shift.new"
        aside.write_text(repr(seconds), encoding="ascii")
        aside.replace(self.home / "shift")

    def now(self) -> float:
        """The story's time, in seconds of the epoch."""
        return time.time() + self.shift

    def add(self, name: str, *command: str) -> Service:
        """Start a service."""
        one = Service(name, command, self.environment, self.home / f"{name}.log")
        self.services[name] = one
        self._keeping.append(asyncio.create_task(one.keep()))
        return one

    async def leave(self, name: str) -> int | None:
        """End a service as an orchestrator does: SIGTERM, and how it ended."""
        one = self.services.pop(name)
        one.wanted = False
        one.send(signal.SIGTERM)
        if one.process is None:
            return None
        try:
            return await asyncio.wait_for(one.process.wait(), 40)
        except TimeoutError:
            one.send(signal.SIGKILL)
            raise AssertionError(f"{name} does not end when it is told to: see {one.log}") from None

    async def command(self, *words: str, limit: float = 120) -> tuple[int, str]:
        """A command of a person, past the wire: how it ended and what it said."""
        environment = self.environment | {"PARCOURS_POSTGRES": self.database}
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), limit)
        except TimeoutError:
            process.kill()
            raise
        return process.returncode or 0, said.decode()

    def tree(self, server: str) -> list[psutil.Process]:
        """The processes of a server."""
        one = self.servers.kafka if server == "kafka" else self.servers.postgres
        assert one is not None
        try:
            process = psutil.Process(one.process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.Error:
            return []

    async def revive(self) -> None:
        """Start the servers that are dead."""
        await asyncio.to_thread(self.servers.start)

    def thaw(self) -> None:
        """Nothing stands still."""
        for one in self.services.values():
            one.send(signal.SIGCONT)
        for server in ("kafka", "postgres"):
            for process in self.tree(server):
                with suppress(psutil.Error):
                    process.resume()


@asynccontextmanager
async def world(home: Path, at: float) -> AsyncIterator[World]:
    """An instance with two projectors, whose time begins at a moment (seconds of the epoch)."""
    servers = Servers(Settings(home, partitions=PARTITIONS))
    await asyncio.to_thread(servers.start)
    assert servers.postgres is not None
    one = World(home, servers, Proxy(servers.postgres.port))
    await one.proxy.start()
    one.set_time(at - time.time())
    found = {"pid": os.getpid(), "api": None, "clock": False, "kafka": servers.kafka_address, "postgres": one.database}
    (home / "run.json").write_text(json.dumps(found), encoding="utf-8")
    try:
        code, said = await one.command("run", "tables")
        assert code == 0, said
        async with connected(one.database, "faults") as connection:
            for tenant in TENANTS:
                _, one.tokens[tenant] = await create_token(connection, tenant, "operator", "faults")
        (one.port,) = pick_ports(1)
        for name in ("projector-1", "projector-2"):
            one.add(name, *COMMAND, "run", "projector", "--no-clock")
        one.add("notifier", *COMMAND, "run", "notifier")
        one.add("clock", *SHIFTED, "run", "clock")
        one.add("intake", *SHIFTED, "run", "api", "--port", str(one.port))
        yield one
    finally:
        one.thaw()
        left = await asyncio.gather(*(one.leave(name) for name in list(one.services)), return_exceptions=True)
        await asyncio.gather(*one._keeping, return_exceptions=True)
        await one.proxy.stop()
        await asyncio.to_thread(servers.remove)
    if wrong := [each for each in left if isinstance(each, BaseException)]:
        raise wrong[0]
