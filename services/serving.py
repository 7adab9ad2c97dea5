"""Every HTTP door on one app, and the server that opens it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.collector import keep_made
from services.console.app import add_console, console_key
from services.http_guard import GuardedProtocol
from services.intake.app import app
from services.intake.in_force import InForce
from services.log_writing import LogWriter
from services.query.app import add_query
from services.straight import Straight
from services.tables import Pool, active_generation


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
    keep_made()
    with contextlib.suppress(asyncio.CancelledError):
        await server._serve()  # noqa: SLF001 - the public one captures SIGINT and SIGTERM
