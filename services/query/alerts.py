"""Alerts by HTTP: the list, one of them, what people do with it, the stream. Issue of trust."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import orjson
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse

from events.alerts import Severity
from projections.announcing import SEVERITIES
from projections.words import TITLES
from services import acting
from services import tables_alerts as tables
from services import tables_messages as messages
from services.bells import Bells
from services.cursors import cursor_of, key_of
from services.guests import Problem
from services.query.doors import Cursor, Door, Why, answer
from services.query.stream import Wanted, follow
from services.sight import may_see
from services.tables_query import note_access

Lang = Annotated[Literal["fr", "en"] | None, Query(description="Only the title of this language is sent.")]


class Act(BaseModel):
    """What somebody does with an alert."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"by": "mme.lambert", "reason": "j'appelle"}]}
    )
    by: Annotated[str, Field(min_length=1, max_length=128)]
    reason: Annotated[str | None, Field(max_length=1_000)] = None
    until: Annotated[str | None, Field(max_length=40, description="RFC 3339 with an offset")] = None


def told(row: Any, now: datetime) -> dict[str, Any]:
    """An alert as programs read it."""
    title_en, title_fr = TITLES[row["alert"].partition(":")[0]]
    act = None
    if row["act"] is not None:
        act = {
            "kind": row["act"],
            "by": row["act_by"],
            "at": row["act_at"],
            "until": row["act_until"],
            "reason": row["act_reason"],
        }
    return {
        "alert": row["alert"], "number": row["number"], "n": row["n"], "state": tables.alert_state(row, now),
        "level": row["level"], "title_en": title_en, "title_fr": title_fr, "patient": row["patient"], "case": row["case_id"],
        "claim": row["claim_id"], "topic": row["topic"], "department": row["department"], "opened_at": row["opened_at"],
        "raised_at": row["raised_at"], "said_at": row["said_at"], "cause": row["cause"], "reasons": row["reasons"] or [], "act": act,
    }  # fmt: skip


def router(door: Door, bells: Bells) -> APIRouter:
    """The routes under /v1/alerts."""
    routes = APIRouter(tags=["alerts"])
    _listed(routes, door)
    _stream(routes, door, bells)
    _told(routes, door)
    _one(routes, door)
    return routes


def _listed(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/alerts", summary="What was said, and what people did with it")
    async def listed(
        request: Request,
        department: Annotated[str | None, Query(max_length=128)] = None,
        everything: Annotated[bool, Query(alias="all", description="Resolved ones too.")] = False,  # noqa: FBT002
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        cursor: Cursor = None,
    ) -> Response:
        who = await door.let_in(request)
        key = cast("tuple[datetime, str] | None", key_of(cursor, 2, [0]))
        async with door.pool.acquire() as connection:
            rows = await tables.alerts(
                connection,
                who.tenant,
                raised_only=not everything,
                department=department,
                departments=who.departments,
                limit=limit + 1,
                after=key,
            )
        page = rows[:limit]
        more = (page[-1]["said_at"], page[-1]["alert"]) if len(rows) > limit else None
        found = {"alerts": [told(row, datetime.now(UTC)) for row in page], "next": cursor_of(more)}
        return answer(request, found)


def _stream(routes: APIRouter, door: Door, bells: Bells) -> None:
    @routes.get("/v1/alerts/stream", summary="Alerts as they are said (Server-Sent Events)")
    async def stream(
        request: Request,
        department: Annotated[list[str] | None, Query()] = None,
        rule: Annotated[list[str] | None, Query()] = None,
        severity: Annotated[Severity, Query()] = "low",
        lang: Lang = None,
    ) -> EventSourceResponse:
        """Each event's id is a number, without a gap within the tenant: `Last-Event-ID` resumes where it stopped."""
        who = await door.let_in(request)
        last = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
        if last is not None and not (last.isdecimal() and len(last) < 19):
            raise Problem(422, "Not a number", "Last-Event-ID must be a number that this stream gave", "Last-Event-ID")
        wanted = Wanted(set(department or ()), set(rule or ()), SEVERITIES.index(severity), lang, who.departments)

        async def is_welcome() -> bool:
            try:
                return await door.guests.let_in(request.headers.get("authorization")) == who
            except Problem:
                return False

        return EventSourceResponse(
            follow(door.pool, bells, who.tenant, None if last is None else int(last), wanted, is_welcome), ping=15
        )


def _told(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/alerts/deliveries", summary="Who was told what, and what became of it")
    async def delivered(
        request: Request,
        state: Literal["waiting", "delivered", "held", "failed", "dropped", "muted"] | None = None,
    ) -> Response:
        who = await door.let_in(request, whole=True)
        async with door.pool.acquire() as connection:
            return answer(request, {"deliveries": await messages.deliveries(connection, who.tenant, state)})

    @routes.get("/v1/alerts/quality", summary="Each rule's share of useful alerts, by department and month")
    async def quality(request: Request) -> Response:
        who = await door.let_in(request)
        async with door.pool.acquire() as connection:
            rows = await tables.quality(connection, who.tenant)
        return answer(request, {"quality": [row for row in rows if may_see(who.departments, [row["department"]])]})


def _one(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/alerts/{alert:path}", summary="One alert")
    async def one(request: Request, alert: str, why: Why = None) -> Response:
        who = await door.let_in(request)
        row = await find(door, who.tenant, alert, who.departments)
        async with door.pool.acquire() as connection:
            await note_access(connection, who.id, who.tenant, row["patient"], f"alert {alert}", why)
        return answer(request, told(row, datetime.now(UTC)))

    for verb, kind in (("acknowledge", "acknowledged"), ("silence", "silenced"), ("dismiss", "dismissed")):
        routes.post(f"/v1/alerts/{{alert:path}}/{verb}", status_code=202, summary=f"{verb.capitalize()} an alert")(
            _acting(door, kind)
        )


def _acting(door: Door, kind: Any) -> Any:
    async def act(request: Request, alert: str, wish: Annotated[Act, Body()]) -> Response:
        who = await door.let_in(request, "operator")
        row = await find(door, who.tenant, alert, who.departments)
        try:
            done = acting.Wish(kind, wish.by, wish.reason, wish.until)
            (where,) = await acting.act(door.log, [(who.tenant, row["patient"], alert)], done, door.topic)
        except acting.NotAnAct as wrong:
            raise Problem(422, "Not an act", str(wrong)) from None
        return Response(
            orjson.dumps({"partition": where.partition, "offset": where.offset}), 202, media_type="application/json"
        )

    return act


async def find(door: Door, tenant: str, alert: str, departments: Sequence[str] | None = None) -> Any:
    """One alert of a tenant. Raises `Problem` 404, also for another tenant's."""
    async with door.pool.acquire() as connection:
        rows = [] if "\x00" in alert else await tables.alert(connection, tenant, alert)
    if not rows or not may_see(departments, [rows[0]["department"]]):
        raise Problem(404, "Not found", "there is no such alert")
    return rows[0]
