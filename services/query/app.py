"""The API under /v1, on the app that its process serves."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from services.bells import Bells
from services.guests import Guests, tell_of_tokens
from services.kept import Kept
from services.log_writing import LogWriter
from services.query import alerts, exports, figures, reads, subscriptions
from services.query.doors import Door, add_problems
from services.query.examples import show_examples
from services.settings import EVENTS
from services.tables import Pool


def add_query(
    api: FastAPI,
    pool: Pool,
    log: LogWriter,
    guests: Guests | None = None,
    topic: str = EVENTS,
    counting: Pool | None = None,
) -> Callable[[], Awaitable[None]]:
    """Add every route; what is given back closes what they keep open, before the pool is closed.

    What costs a scan is counted on the connections of `counting`, which give way to the others.
    """
    door = Door(pool, log, guests or Guests(pool), topic, counting or pool)
    bells, kept = Bells(pool), Kept()
    api.include_router(alerts.router(door, bells))
    api.include_router(subscriptions.router(door))
    api.include_router(reads.router(door))
    api.include_router(figures.router(door, kept))
    api.include_router(exports.router(door))
    add_problems(api)
    show_examples(api)
    tell_of_tokens(api)

    async def close() -> None:
        await bells.close()
        await kept.close()

    return close
