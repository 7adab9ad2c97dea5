"""The policy by which the door judges: that of the tables in use, also after a rebuild has put another in force."""

import asyncio
from contextlib import suppress

import structlog

from projections.policy import Policy
from services.tables import TRANSIENT, Generation, Pool, active_generation, still_wanted

LOOK = 1.0
log = structlog.get_logger("parcours.intake")


class InForce:
    """Looked up once a second; while the database is away, the last one known."""

    def __init__(self, pool: Pool, generation: Generation | None) -> None:
        self._pool, self._generation = pool, generation
        self._task = asyncio.create_task(self._follow())

    def __call__(self) -> Policy:
        """The policy in force."""
        return self._generation.policy if self._generation else Policy()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._look()
            except TRANSIENT:
                still_wanted()
            except Exception as wrong:  # the door goes on with the policy it knows, and looks again
                log.exception("the policy in force is not known", error=type(wrong).__name__)

    async def _look(self) -> None:
        async with self._pool.acquire() as connection:
            found = await connection.fetchval("select id from parcours.generation where state = 'active'")
            if found is not None and (self._generation is None or found != self._generation.id):
                self._generation = await active_generation(connection)

    async def close(self) -> None:
        """Look no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
