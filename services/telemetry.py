"""How a process says that it lives and moves: heartbeats for `status`, structured logs without patient text."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from services.tables import TRANSIENT, Connection, Pool, still_wanted

BEAT = 2.0
STALE = 10.0
Detail = Callable[[], dict[str, Any]]


def configure_logs(*, as_json: bool) -> None:
    """Structured logs on standard error: one JSON object a line, or coloured text for a person at a terminal."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # never local values: they hold facts
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)


async def beat(connection: Connection, service: str, detail: dict[str, Any]) -> None:
    """One heartbeat."""
    await connection.execute(
        "insert into parcours.heartbeat (service, pid, beat_at, detail) values ($1, $2, $3, $4) on conflict (service)"
        " do update set pid = excluded.pid, beat_at = excluded.beat_at, detail = excluded.detail",
        service, os.getpid(), datetime.now(UTC), detail,
    )  # fmt: skip


async def beat_for_ever(pool: Pool, service: str, detail: Detail) -> None:
    """Say every two seconds that a service lives; silence is what others notice, so a missed beat is no failure here."""
    log = structlog.get_logger("parcours.telemetry")
    while True:
        try:
            async with pool.acquire() as connection:
                await beat(connection, service, detail())
        except TRANSIENT as wrong:
            still_wanted()
            log.warning("no heartbeat", service=service, error=type(wrong).__name__)
        await asyncio.sleep(BEAT)
