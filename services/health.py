"""/metrics, /healthz, /readyz and /livez of a process. Healthy means moving: what should have moved and has not is unhealthy. It lives as
long as it answers: to start it again mends nothing that others do not do.
"""

from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.tables import AWAY, Pool

Check = Callable[[], Awaitable[list[str]]]
OVERDUE_SECONDS = 60
SILENT_CLOCK_MINUTES = 45


def add_health(api: FastAPI, registry: CollectorRegistry, check: Check, ready: Check | None = None) -> None:
    """Give an app the four routes; `check` says in sentences what is wrong, `ready` (else the same) what keeps it from answering."""

    def answering(by: Check) -> Callable[[], Awaitable[Response]]:
        async def answer() -> Response:
            wrong = await by()
            return Response(
                "\n".join(wrong) + "\n" if wrong else "ok\n", 503 if wrong else 200, media_type="text/plain"
            )

        return answer

    @api.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @api.get("/livez", include_in_schema=False)
    async def lives() -> Response:
        return Response("ok\n", media_type="text/plain")

    api.get("/healthz", include_in_schema=False)(answering(check))
    api.get("/readyz", include_in_schema=False)(answering(ready or check))


def health_app(registry: CollectorRegistry, check: Check) -> FastAPI:
    """An app with nothing but the four routes, for a process that has no other."""
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    add_health(api, registry, check)
    return api


def quiet_server(api: FastAPI, host: str, port: int) -> uvicorn.Server:
    """A small HTTP server inside somebody else's loop."""
    config = uvicorn.Config(api, host=host, port=port, log_level="error", loop="none", http="httptools", lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    return server


async def tables_health(pool: Pool, *, clock: bool) -> list[str]:
    """What is wrong with the line as the tables show it: a dead database, a due deadline not fired, partitions that stand still.

    Without a `clock` (a history that is played) nothing falls due by the time of day.
    """
    try:
        async with pool.acquire(timeout=2) as connection:
            overdue = await connection.fetchval(
                "select count(*) from parcours.patient p join parcours.checkpoint c using (partition)"
                " where not p.is_quarantined and c.moved_at < now() - make_interval(secs => $1) and (p.next_due_at <= c.watermark"
                " or ($2 and p.next_due_at > '-infinity' and p.next_due_at < now() - make_interval(secs => $1)))",
                float(OVERDUE_SECONDS),
                clock,
            )
            silent = await connection.fetch(
                "select partition from parcours.checkpoint where watermark < now() - make_interval(mins => $1)"
                " and moved_at < now() - make_interval(mins => $1) order by 1",
                SILENT_CLOCK_MINUTES,
            )
    except AWAY as away:
        return [f"the database does not answer ({type(away).__name__})"]
    wrong = []
    if overdue:
        wrong.append(f"{overdue} deadlines have passed and were not fired within {OVERDUE_SECONDS} s")
    if clock and silent:
        numbers = [row["partition"] for row in silent]
        wrong.append(
            f"partitions {numbers} have not moved for {SILENT_CLOCK_MINUTES} minutes: do the clock and the projectors run?"
        )
    return wrong
