"""One listener on the database for all streams of a process: each is woken when something was said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from services.tables import TRANSIENT, Pool
from services.tables_alerts import CHANNEL


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
                async with self._pool.acquire() as connection:
                    await connection.add_listener(CHANNEL, ring)
                    try:
                        while True:
                            await asyncio.sleep(5)
                            await connection.execute("select 1")
                    finally:
                        if not connection.is_closed():
                            await connection.remove_listener(CHANNEL, ring)
            await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
