"""The API under /v1, on the app that its process serves."""

from fastapi import FastAPI

from services.guests import Guests
from services.log import LogWriter
from services.query import alerts
from services.query.doors import Door, add_problems
from services.settings import EVENTS
from services.tables import Pool


def add_query(
    api: FastAPI, pool: Pool, log: LogWriter, guests: Guests | None = None, topic: str = EVENTS
) -> alerts.Bells:
    """Add every route; what is given back has to be closed by whoever closes the pool."""
    door = Door(pool, log, guests or Guests(pool), topic)
    bells = alerts.Bells(pool)
    api.include_router(alerts.router(door, bells))
    add_problems(api)
    return bells
