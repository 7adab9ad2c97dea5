"""One instance of Parcours: its servers, its topics and tables, its processes. What `parcours up` keeps running."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from deploy.embedded.server_process import write_whole
from projections.policy import Policy
from services import tables_generations as saved
from services.clock.app import Clock
from services.keeping import Child, kept, leftovers
from services.log_topics import ensure_topics
from services.log_writing import Gathering, LogWriter
from services.notifier.relay import Relay
from services.notifier.sending import Sender, ways
from services.projector.rebuild import LOST, Rebuilding, read_beyond, rebuild, room_for_another
from services.servers import HOST, Servers, choose_port, revive
from services.serving import api_of, http_server, serve
from services.settings import ALERTS, EVENTS, Settings
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

log = structlog.get_logger("parcours.instance")


@dataclass(slots=True)
class Options:
    """What a person chose for this `up`."""

    port: int | None = None
    clock: bool = True
    policy: Policy | None = None
    projectors: int = 1
    log_was_lost: bool = False


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
        asyncio.create_task(kept("servers", lambda: revive(instance.servers))),
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
