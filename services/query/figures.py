"""Departments, flows, findings, figures, accesses: what the tables say of an establishment, by HTTP."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response

from projections.rows import Row
from services import reading
from services import tables_figures as counted
from services import tables_query as tables
from services.cursors import cursor_of, key_of
from services.kept import Kept
from services.query.doors import Cursor, Door, answer
from services.query.folded import figures, folded_cases
from services.query.words import Instant, Limit, Name, at, plain
from services.security import Bearer
from services.sight import departments_seen

Keep = Callable[[Request, Bearer, str, Callable[[], Awaitable[Any]]], Awaitable[Any]]


def router(door: Door, kept: Kept) -> APIRouter:
    """The routes that count, and those that list what is found."""
    routes = APIRouter(tags=["reading"])

    async def keep(request: Request, who: Bearer, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """A kept answer of a tenant; whoever waits for their own write gets a new one."""
        return await kept.get((name, who.tenant, who.departments), make, anew="after" in request.query_params)

    _flows(routes, door, keep)
    _findings(routes, door)
    _summary(routes, door, keep)
    return routes


def _flows(routes: APIRouter, door: Door, keep: Keep) -> None:
    @routes.get("/v1/departments", summary="Who sends to whom, what comes back, how long each holds")
    async def departments(request: Request) -> Response:
        who = await door.let_in(request)

        async def make() -> Row:
            async with door.counting.acquire() as connection:
                return await counted.departments(connection, who.tenant)

        found = await keep(request, who, "departments", make)
        return answer(request, departments_seen(found, who.departments))

    @routes.get("/v1/flows", summary="Contacts by topic, week and channel: the small flows first")
    async def flows(request: Request) -> Response:
        who = await door.let_in(request)

        async def make() -> list[Row]:
            async with door.counting.acquire() as connection:
                return await counted.flows(connection, who.tenant, await tables.watermark(connection), who.departments)

        return answer(request, {"flows": await keep(request, who, "flows", make)})


def _findings(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/findings", summary="Findings, the newest first")
    async def found(
        request: Request,
        kind: Annotated[str | None, Query(pattern=r"^[a-z_]{1,40}$")] = None,
        department: Name = None,
        everything: Annotated[bool, Query(alias="all", description="Closed ones too.")] = False,  # noqa: FBT002
        before: Instant = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        who = await door.let_in(request)
        key = cast("tuple[datetime, str] | None", key_of(cursor, 2, [0]))
        async with door.pool.acquire() as connection:
            rows = await tables.open_findings(
                connection, who.tenant, limit + 1, kind=kind, department=plain(department), departments=who.departments,
                opened=(None, at("before", before)), open_only=not everything, after=key,
            )  # fmt: skip
        page = rows[:limit]
        more = (page[-1]["opened_at"], page[-1]["id"]) if len(rows) > limit else None
        return answer(request, {"findings": page, "next": cursor_of(more)})


def _summary(routes: APIRouter, door: Door, keep: Keep) -> None:
    @routes.get("/v1/summary", summary="The figures of an establishment")
    async def summary(request: Request, as_of: Instant = None, occurred_by: Instant = None) -> Response:
        who = await door.let_in(request, whole=True)
        known, stood = at("as_of", as_of), at("occurred_by", occurred_by)
        if known is not None or stood is not None:
            return answer(request, figures(await folded_cases(door, who, known, stood), known or stood))

        async def make() -> Row:
            async with (
                door.counting.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await reading.summary(connection, who.tenant)

        return answer(request, await keep(request, who, "summary", make))

    @routes.get("/v1/accesses", summary="Who read whose file, when and why")
    async def accesses(request: Request, patient: Name = None, limit: Limit = 100) -> Response:
        who = await door.let_in(request, "admin", whole=True)
        async with door.pool.acquire() as connection:
            return answer(request, {"accesses": await tables.accesses(connection, who.tenant, plain(patient), limit)})
