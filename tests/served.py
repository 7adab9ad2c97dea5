"""The API on a real port, beside a line: what clients of flesh and blood talk to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from projections.policy import Policy
from services.console.app import add_console
from services.intake.app import app
from services.log_writing import LogWriter
from services.query.app import add_query
from services.security import Role, create_token
from services.serving import http_server, serve
from tests.line import Line


@dataclass
class Served:
    """A running API and the way in for each role."""

    url: str
    line: Line

    async def client(
        self, role: Role = "reader", tenant: str = "default", departments: Sequence[str] | None = None
    ) -> httpx2.AsyncClient:
        """A client with a token of a role."""
        async with self.line.pool.acquire() as connection:
            _, token = await create_token(connection, tenant, role, "test", departments)
        return httpx2.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {token}"}, trust_env=False)


@asynccontextmanager
async def served(line: Line) -> AsyncIterator[Served]:
    """The whole API of an instance."""
    writer = LogWriter(line.kafka)
    api = app(writer, line.pool, Policy, clock=False)
    close = add_query(api, line.pool, writer, topic=line.topic)
    close_console = add_console(api, line.pool, writer, "a test's secret", line.topic)
    server = http_server(api, "127.0.0.1", 0)
    server.config.timeout_graceful_shutdown = 1
    task = asyncio.create_task(serve(server))
    try:
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", line)
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        await close()
        await close_console()
        await writer.close()
