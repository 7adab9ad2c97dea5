"""One instance of Parcours: its servers, its topics and tables, its processes. What `parcours up` keeps running."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import psutil
import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from deploy.embedded import kafka_server, postgres_server
from deploy.embedded.server_process import EmbeddedServerError, is_taken, pick_ports, write_whole
from projections.policy import Policy
from services import tables_generations as saved
from services.clock.app import Clock
from services.console.app import add_console, console_key
from services.http_guard import GuardedProtocol
from services.intake.app import app
from services.intake.in_force import InForce
from services.log_topics import ensure_topics
from services.log_writing import Gathering, LogWriter
from services.notifier.relay import Relay
from services.notifier.sending import Sender, ways
from services.projector.rebuild import LOST, Rebuilding, read_beyond, rebuild, room_for_another
from services.query.app import add_query
from services.settings import ALERTS, EVENTS, Settings
from services.straight import Straight
from services.tables import (
    Generation,
    NoGeneration,
    OtherVersion,
    Pool,
    active_generation,
    connected,
    ensure_base,
    ensure_generation,
    fold_version,
    generations,
    open_pool,
)
from services.telemetry import beat_for_ever

HOST = "127.0.0.1"
log = structlog.get_logger("parcours.instance")


class AlreadyRunning(RuntimeError):
    """Another `up` keeps this home."""


class PortTaken(RuntimeError):
    """Somebody else listens where the API should."""


@dataclass(slots=True)
class Servers:
    """The two servers of an instance, embedded here or named in the environment."""

    settings: Settings
    kafka: kafka_server.KafkaServer | None = None
    postgres: postgres_server.PostgresServer | None = None
    notices: tuple[str, ...] = ()

    def start(self) -> None:
        """Start what is embedded and not alive; what an earlier run left is taken over. Raises `EmbeddedServerError`."""
        one = self.settings
        one.home.mkdir(parents=True, exist_ok=True)
        if one.postgres is None and not (self.postgres and self.postgres.is_alive()):
            self.postgres = postgres_server.start(one.home / "postgres")
            self.notices = self.postgres.notices
        if one.kafka is None and not (self.kafka and self.kafka.is_alive()):
            self.kafka = kafka_server.start(one.home / "kafka", one.cache)

    @property
    def kafka_address(self) -> str:
        return self.settings.kafka or (self.kafka.bootstrap if self.kafka else "")

    @property
    def postgres_url(self) -> str:
        return self.settings.postgres or (self.postgres.url() if self.postgres else "")

    def dead(self) -> list[str]:
        """The embedded servers that have died."""
        servers = {"Kafka": self.kafka, "PostgreSQL": self.postgres}
        return [name for name, server in servers.items() if server is not None and not server.is_alive()]

    def stop(self) -> None:
        """Stop what is embedded, Kafka first: nobody writes to a log whose reader is gone."""
        if self.kafka is not None:
            self.kafka.stop()
        if self.postgres is not None:
            self.postgres.stop()

    def remove(self) -> None:
        """Stop, and delete the data of what is embedded: for tests and benchmarks."""
        self.stop()
        if self.postgres is not None:
            postgres_server.remove(self.postgres.folder)


@contextmanager
def sole_owner(one: Settings) -> Iterator[None]:
    """One `up` a home. Raises `AlreadyRunning`. The lock goes with its holder, even by kill -9."""
    one.home.mkdir(parents=True, exist_ok=True)
    with (one.home / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"Parcours is already running in {one.home}. See `parcours status`, stop it with `parcours down`."
            raise AlreadyRunning(msg) from None
        yield


@dataclass(slots=True)
class Options:
    """What a person chose for this `up`."""

    port: int | None = None
    clock: bool = True
    policy: Policy | None = None
    projectors: int = 1
    log_was_lost: bool = False


@dataclass(slots=True)
class Child:
    """A projector process that is started again when it ends."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """In a session of its own: Ctrl-C reaches us, and we stop it in our order."""
        self.log.touch(mode=0o600)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )
        self.starts += 1

    async def keep(self) -> NoReturn:
        """Start it again whenever it ends, more slowly the more often it does."""
        pause = 0.2
        while True:
            started = asyncio.get_running_loop().time()
            self.start()
            code = await asyncio.to_thread(self._wait)
            lived = asyncio.get_running_loop().time() - started
            pause = 0.2 if lived > 60 else min(pause * 2, 10.0)
            log.warning("projector ended", code=code, again_in=pause)
            await asyncio.sleep(pause)

    def _wait(self) -> int | None:
        return None if self.process is None else self.process.wait()

    async def stop(self, seconds: float = 25.0) -> None:
        """SIGTERM, and SIGKILL if it does not drain in time (nothing is lost by that)."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass(slots=True)
class Instance:
    """A running instance: the small services in this process, the projector beside it."""

    settings: Settings
    options: Options
    servers: Servers
    generation: Generation
    api: str
    children: list[Child] = field(default_factory=list)

    def write_run_file(self) -> None:
        """What other commands need to find us. It holds the way into the database: for its owner only."""
        found = {
            "pid": os.getpid(), "api": self.api, "kafka": self.servers.kafka_address, "postgres": self.servers.postgres_url,
            "clock": self.options.clock, "started_at": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        write_whole(self.settings.run_file, json.dumps(found, indent=1) + "\n", 0o600)


def leftovers(one: Settings) -> list[psutil.Process]:
    """Projectors of this home whose `up` is gone: they would go on beside the new ones."""
    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        try:
            ours = "services.command_line.main" in words and "projector" in words and process.info["ppid"] == 1
            if ours and process.environ().get("PARCOURS_HOME") == str(one.home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def choose_port(one: Settings, wanted: int | None) -> int:
    """The port of the API: the one asked for, else the one this home had, else a free one. Raises `PortTaken`."""
    kept = one.home / "port"
    port = wanted
    if port is None and kept.exists():
        text = kept.read_text(encoding="utf-8").strip()
        port = int(text) if text.isdigit() else None
    if port is None:
        port = pick_ports(1)[0]
    if is_taken(port):
        raise PortTaken(f"Port {port} on {HOST} is taken by another program. Choose another: parcours up --port NUMBER")
    write_whole(kept, f"{port}\n")
    return port


async def prepare(
    one: Settings, servers: Servers, policy: Policy | None, *, clock_rule: bool, log_was_lost: bool = False
) -> Generation:
    """Topics and tables, made where they are missing; tables of another version are made anew, aside, before anybody reads them.

    Raises `NoGeneration` where the tables have read what the log does not hold any more, and `log_was_lost` is not said.
    """
    await ensure_topics(servers.kafka_address, [EVENTS, ALERTS], one.partitions, one.replication)
    async with connected(servers.postgres_url, "up") as connection:
        await ensure_base(connection)
        try:
            found = await ensure_generation(connection, policy, EVENTS, one.partitions)
            if not (beyond := await read_beyond(servers.kafka_address, EVENTS, connection)):
                return found
            if not log_was_lost:
                raise NoGeneration(LOST.format(beyond=beyond))
            why = "the log holds less than the tables have read"
        except OtherVersion:
            why = "the tables were made by another version of Parcours"
        before = await active_generation(connection)
    log.warning("making the tables anew from the log", because=why)
    pool = await open_pool(servers.postgres_url, "rebuild")
    try:
        again = Rebuilding(
            servers.kafka_address, pool, EVENTS, clock_rule, lambda _done, _of: None, log_was_lost=log_was_lost
        )
        if is_begun := await _left_over(pool, fold_version(before.policy if before else Policy())):
            log.warning("an earlier start was interrupted in it: going on from there")
        elif one.postgres is None:
            await room_for_another(again, one.home)
        return await rebuild(again, None, resume=is_begun)
    finally:
        await pool.close()


async def _left_over(pool: Pool, version: str) -> bool:
    """Whether tables of this very version were begun and not finished; what else was begun is of no use to anybody any more."""
    async with pool.acquire() as connection:
        begun = {made.id: made.fold_version for made in await generations(connection)}
        for number in await saved.unfinished(connection, aside=True):
            await saved.remove(connection, number)
        for number in (numbers := await saved.unfinished(connection)):
            if begun[number] != version or number != numbers[-1]:
                await saved.remove(connection, number)
    return bool(numbers) and begun[numbers[-1]] == version


@asynccontextmanager
async def running(one: Settings, options: Options) -> AsyncIterator[Instance]:
    """Everything of an instance, for as long as the block lasts; stopped in order when it ends."""
    servers = Servers(one)
    port = choose_port(one, options.port)
    try:
        for process in leftovers(one):
            process.terminate()
        await asyncio.to_thread(servers.start)
        generation = await prepare(
            one, servers, options.policy, clock_rule=options.clock, log_was_lost=options.log_was_lost
        )
        instance = Instance(one, options, servers, generation, f"http://{HOST}:{port}")
        pool = await open_pool(servers.postgres_url, "services", size=12)
        writer = Gathering(servers.kafka_address, one.partitions)
        try:
            async with _serving(instance, pool, writer, port):
                yield instance
        finally:
            await writer.close()
            await pool.close()
    finally:
        one.run_file.unlink(missing_ok=True)
        await asyncio.to_thread(servers.stop)


@asynccontextmanager
async def _serving(instance: Instance, pool: Any, writer: LogWriter, port: int) -> AsyncIterator[None]:
    one, options = instance.settings, instance.options
    registry = CollectorRegistry()
    counting = await open_pool(instance.servers.postgres_url, "counting", size=3, gives_way=True)
    api, close_api = await api_of(pool, writer, counting, clock=options.clock, registry=registry)
    server = http_server(api, HOST, port)
    clock, relay = Clock(writer, pool, one.partitions, registry), Relay(writer, pool, registry)
    sender = Sender(pool, ways(instance.api))
    instance.children += [_projector(instance, number) for number in range(options.projectors)]
    tasks = [
        asyncio.create_task(serve(server)),
        asyncio.create_task(kept("relay", relay.run)),
        asyncio.create_task(kept("notifier", sender.run)),
        asyncio.create_task(beat_for_ever(pool, "intake", lambda: {"api": instance.api})),
        asyncio.create_task(beat_for_ever(pool, "notifier", lambda: relay.detail() | sender.detail())),
        asyncio.create_task(kept("servers", lambda: _revive(instance.servers))),
        *(asyncio.create_task(child.keep()) for child in instance.children),
    ]
    if options.clock:
        tasks += [
            asyncio.create_task(kept("clock", clock.run)),
            asyncio.create_task(beat_for_ever(pool, "clock", clock.detail)),
        ]
    try:
        await _ready(instance, server, tasks)
        instance.write_run_file()
        yield
    finally:
        server.should_exit = True
        for task in tasks[1:]:
            task.cancel()
        await close_api()
        await asyncio.gather(*(child.stop() for child in instance.children))
        await asyncio.gather(*tasks, return_exceptions=True)
        await sender.close()
        await counting.close()


async def api_of(
    pool: Pool, writer: LogWriter, counting: Pool, *, clock: bool, registry: CollectorRegistry | None = None
) -> tuple[FastAPI, Callable[[], Awaitable[None]]]:
    """Every HTTP door on one app, and how to close what it keeps open. What costs a scan is counted on `counting`."""
    async with pool.acquire() as connection:
        policy = InForce(pool, await active_generation(connection))
    api = app(writer, pool, policy, clock=clock, registry=registry)
    close_query = add_query(api, pool, writer, counting=counting)
    close_console = add_console(api, pool, writer, await console_key(pool), counting=counting)

    async def close() -> None:
        await close_query()
        await close_console()
        await policy.close()

    return api, close


def http_server(api: Any, host: str, port: int) -> uvicorn.Server:
    """The HTTP server of an instance; `serve` runs it."""
    straight = getattr(getattr(api, "state", None), "straight", {})
    return uvicorn.Server(
        uvicorn.Config(
            Straight(api, straight) if straight else api,
            host=host,
            port=port,
            log_level="error",
            access_log=False,
            loop="none",
            http=GuardedProtocol,
            lifespan="off",
            timeout_keep_alive=30,
            proxy_headers=False,  # nobody is told where a request came from
            timeout_graceful_shutdown=3,
        )
    )


async def serve(server: uvicorn.Server) -> None:
    """Uvicorn without its signal handlers: the instance decides when to stop."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    with contextlib.suppress(asyncio.CancelledError):
        await server._serve()  # noqa: SLF001 - the public one captures SIGINT and SIGTERM


def _projector(instance: Instance, number: int) -> Child:
    one = instance.settings
    environment = dict(os.environ) | {
        "PARCOURS_HOME": str(one.home), "PARCOURS_KAFKA": instance.servers.kafka_address,
        "PARCOURS_POSTGRES": instance.servers.postgres_url, "PARCOURS_PARTITIONS": str(one.partitions),
    }  # fmt: skip
    command = [sys.executable, "-m", "services.command_line.main", "run", "projector"]
    if not instance.options.clock:
        command.append("--no-clock")
    return Child(command, environment, one.home / f"projector-{number + 1}.log")


async def _ready(instance: Instance, server: uvicorn.Server, tasks: list[asyncio.Task[Any]]) -> None:
    """Wait until the door is open and a projector has its partitions."""
    async with asyncio.timeout(60):
        while not (server.started and await _projector_stands(instance)):
            for task in tasks:
                if task.done() and task.exception() is not None:
                    await task
            await asyncio.sleep(0.05)


async def _projector_stands(instance: Instance) -> bool:
    pids = [child.process.pid for child in instance.children if child.process is not None]
    async with connected(instance.servers.postgres_url, "up") as connection:
        found = await connection.fetchval(
            "select count(*) from parcours.heartbeat where pid = any($1::int[]) and beat_at > now() - interval '10 s'"
            " and service like 'projector-%' and (detail ->> 'partitions')::int > 0",
            pids,
        )
    return bool(found)


async def _revive(servers: Servers) -> NoReturn:
    """Start an embedded server again that has died; services reconnect by themselves."""
    while True:
        await asyncio.sleep(1.0)
        if dead := servers.dead():
            log.error("server died", server=dead)
            try:
                await asyncio.to_thread(servers.start)
            except EmbeddedServerError as wrong:
                log.error("server does not start", error=str(wrong))  # noqa: TRY400 - a sentence says it all
                await asyncio.sleep(5.0)


async def kept(name: str, service: Callable[[], Awaitable[NoReturn]], pause: float = 0.2) -> NoReturn:
    """Run a service for ever: one that fails says why in the log and is begun again, more slowly the more often it does."""
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await service()
        except Exception as wrong:
            lived = asyncio.get_running_loop().time() - began
            pause = 0.2 if lived > 60 else min(pause * 2, 10.0)
            log.exception("service failed", service=name, error=type(wrong).__name__, again_in=pause)
            await asyncio.sleep(pause)


async def until_stopped() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
