"""run: one service alone, where several machines share the work. `up` runs them all in one place."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from prometheus_client import CollectorRegistry

from services.command_line.showing import Exit, Home, fail, here, out, plainly, run, said
from services.health import health_app, tables_health
from services.instance import prepare
from services.keeping import until_stopped
from services.log_writing import Gathering, LogWriter
from services.servers import Servers
from services.serving import api_of, http_server, serve
from services.tables import Pool, connected, ensure_base, open_pool
from services.telemetry import beat_for_ever, configure_logs

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Where it listens (0: any free port).")]
Host = Annotated[str, typer.Option("--host", help="The address it listens on.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    service = typer.Typer(help="Run one service alone.", no_args_is_help=True)
    for command in (projector, notifier, clock, api, tables):
        service.command()(plainly(command))
    app.add_typer(service, name="run")


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run a service to its end; what ends it is said in a sentence."""
    ended: tuple[Exception, ...] = ()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except* Exception as group:  # noqa: BLE001 - said in a sentence; an exit raised in here would be a group, and a traceback
        ended = group.exceptions
    if ended:
        fail("; ".join(str(each) or type(each).__name__ for each in ended), Exit.PROBLEM)


def projector(
    home: Home = None,
    *,
    no_clock: Annotated[bool, typer.Option("--no-clock", help="As `up --no-clock`.")] = False,
) -> None:
    """Run one more projector of the instance that runs here; it shares the partitions with the others.

    Example: parcours run projector
    """
    from services.projector import app as projecting

    one, found = here(home)
    configure_logs(as_json=True)
    no_clock = no_clock or not found.get("clock", True)
    work = projecting.run(one, str(found["kafka"]), str(found["postgres"]), clock_rule=not no_clock)
    _run(work)


def notifier(home: Home = None, host: Host = "127.0.0.1", port: Port = 0) -> None:
    """Run the notifier alone: alerts to Kafka and to every subscriber.

    Example: parcours run notifier --port 9102
    """
    from services.notifier.relay import Relay
    from services.notifier.sending import Sender, ways

    async def send(sender: Sender) -> None:
        try:
            await sender.run()
        finally:
            await sender.close()

    def parts(
        pool: Pool, writer: LogWriter, found: dict[str, Any], registry: CollectorRegistry
    ) -> list[Coroutine[Any, Any, Any]]:
        relay, sender = Relay(writer, pool, registry), Sender(pool, ways(str(found.get("api") or "")))
        return [
            relay.run(), send(sender), beat_for_ever(pool, "notifier", lambda: relay.detail() | sender.detail()),
        ]  # fmt: skip

    _service(home, "notifier", parts, host, port)


def clock(home: Home = None, host: Host = "127.0.0.1", port: Port = 0) -> None:
    """Run the clock alone: time as facts. One is enough; two tick twice, which harms nobody.

    Example: parcours run clock --port 9103
    """
    from services.clock.app import Clock

    one, _ = here(home)

    def parts(
        pool: Pool, writer: LogWriter, _: dict[str, Any], registry: CollectorRegistry
    ) -> list[Coroutine[Any, Any, Any]]:
        ticking = Clock(writer, pool, one.partitions, registry)
        return [ticking.run(), beat_for_ever(pool, "clock", ticking.detail)]

    _service(home, "clock", parts, host, port)


def _service(
    home: Path | None, name: str,
    parts: Callable[[Pool, LogWriter, dict[str, Any], CollectorRegistry], list[Coroutine[Any, Any, Any]]], host: str, port: int,
) -> None:  # fmt: skip
    """Some tasks and a health page, until SIGTERM or until one of them fails."""
    _, found = here(home)
    configure_logs(as_json=True)

    async def work() -> None:
        pool, writer = await open_pool(str(found["postgres"]), name, size=12), LogWriter(str(found["kafka"]))
        registry = CollectorRegistry()
        server = http_server(health_app(registry, lambda: tables_health(pool, clock=True)), host, port)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(part) for part in parts(pool, writer, found, registry)]
                serving = group.create_task(serve(server))
                await until_stopped()
                server.should_exit = True
                for task in tasks:
                    task.cancel()
                await serving
        finally:
            await writer.close()
            await pool.close()

    _run(work())


def api(home: Home = None, host: Host = "127.0.0.1", port: Port = 8080) -> None:
    """Run the HTTP doors alone: facts in, the API and the console out.

    Example: parcours run api --host 0.0.0.0 --port 8080
    """
    one, found = here(home)
    configure_logs(as_json=True)

    async def work() -> None:
        pool, writer = (
            await open_pool(str(found["postgres"]), "api", size=12),
            Gathering(str(found["kafka"]), one.partitions),
        )
        counting = await open_pool(str(found["postgres"]), "counting", size=3, gives_way=True)
        try:
            made, close = await api_of(pool, writer, counting, clock=bool(found.get("clock", True)))
            server = http_server(made, host, port)
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(serve(server))
                beating = group.create_task(beat_for_ever(pool, "intake", lambda: {"api": f"http://{host}:{port}"}))
                await until_stopped()
                server.should_exit = True
                beating.cancel()
                await serving
            await close()
        finally:
            await counting.close()
            await writer.close()
            await pool.close()

    _run(work())


def tables(home: Home = None) -> None:
    """Make the topics and the tables of servers of your own, if they are not there; then leave.

    Example: PARCOURS_KAFKA=k1:9092 PARCOURS_POSTGRES=postgresql://… parcours run tables
    """
    one, found = here(home)

    async def work() -> None:
        async with connected(str(found["postgres"]), "tables") as connection:
            await ensure_base(connection)
        await prepare(one, Servers(one), None, clock_rule=bool(found.get("clock", True)))

    run(work())
    out.print(said("Topics and tables are there.", "Les sujets Kafka et les tables sont en place."))
