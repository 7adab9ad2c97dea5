"""One listener on the database for all streams of a process: each is woken when something was said."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from services.tables import TRANSIENT, Connection, Pool, still_wanted
from services.tables_alerts import CHANNEL


@asynccontextmanager
async def listening(pool: Pool, channels: Sequence[str], ring: Callable[..., None]) -> AsyncIterator[Connection]:
    """A connection that calls `ring` whenever one of the channels is notified, for as long as the block lasts."""
    async with pool.acquire() as connection:
        for channel in channels:
            await connection.add_listener(channel, ring)
        try:
            yield connection
        finally:
            with suppress(*TRANSIENT):
                for channel in channels:
                    await connection.remove_listener(channel, ring)


class Bells:
    """One listener for all streams of this process: each is woken when something was said."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._bells: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def bell(self) -> AsyncIterator[asyncio.Event]:
        """A bell of one's own for as long as the block lasts."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())
        one = asyncio.Event()
        self._bells.add(one)
        try:
            yield one
        finally:
            self._bells.discard(one)

    async def _listen(self) -> None:
        def ring(*_: Any) -> None:
            for one in self._bells:
                one.set()

        while True:
            with suppress(*TRANSIENT):
                async with listening(self._pool, [CHANNEL], ring) as connection:
                    while True:
                        await asyncio.sleep(5)
                        await connection.execute("select 1")
            still_wanted()
            await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
