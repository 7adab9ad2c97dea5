"""Alerts by HTTP: the list, one of them, what people do with it, the stream, subscriptions, the brake. Issue of trust."""

import asyncio
import secrets as randomness
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import orjson
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from events.alerts import Severity
from projections.words import TITLES
from services import acting
from services import tables_alerts as tables
from services import tables_messages as messages
from services.bells import Bells
from services.cursors import cursor_of, key_of
from services.guests import Problem
from services.query.doors import Cursor, Door, Why, answer
from services.sight import may_see
from services.tables import TRANSIENT, Pool
from services.tables_alerts import Subscription
from services.tables_query import note_access
from services.webhook_addresses import Forbidden, check_address, is_mail_address, new_secret

AT_ONCE = 500
SEVERITIES = ("low", "medium", "high", "critical")
Lang = Annotated[Literal["fr", "en"] | None, Query(description="Only the title of this language is sent.")]


class Act(BaseModel):
    """What somebody does with an alert."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"by": "mme.lambert", "reason": "j'appelle"}]}
    )
    by: Annotated[str, Field(min_length=1, max_length=128)]
    reason: Annotated[str | None, Field(max_length=1_000)] = None
    until: Annotated[str | None, Field(max_length=40, description="RFC 3339 with an offset")] = None


class NewSubscription(BaseModel):
    """A webhook or a mail address. Apprise is added on the command line: its addresses hold passwords."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["webhook", "email"]
    to: Annotated[str, Field(min_length=3, max_length=2_000)]
    role: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")] = "team"
    language: Literal["fr", "en"] = "fr"
    departments: Annotated[list[str], Field(max_length=100)] = []
    rules: Annotated[list[str], Field(max_length=100)] = []
    severity: Severity | None = None


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
    """The routes under /v1/alerts and /v1/subscriptions."""
    routes = APIRouter(tags=["alerts"])

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

    @routes.get("/v1/subscriptions", summary="Who is told; never a secret")
    async def subscriptions(request: Request) -> Response:
        who = await door.let_in(request, "operator")
        async with door.pool.acquire() as connection:
            found = await tables.subscriptions(connection, who.tenant)
        return answer(request, {"subscriptions": [shown(one) for one in found]})

    @routes.post(
        "/v1/subscriptions", status_code=201, summary="Add a subscriber; a webhook's secret is shown this once"
    )
    async def add(request: Request, wish: Annotated[NewSubscription, Body()]) -> Response:
        who = await door.let_in(request, "admin", whole=True)
        if wish.kind == "email" and not is_mail_address(wish.to):
            raise Problem(422, "Not an address", "to must be a mail address", "to", "must be a mail address")
        secret = (new_secret(),) if wish.kind == "webhook" else ()
        filters = {"departments": wish.departments, "rules": wish.rules, "severity": wish.severity}
        hours = (
            {"zone": "Europe/Paris", "country": "FR", "from": "08:00", "to": "18:00"} if wish.kind == "email" else None
        )
        made = Subscription(
            randomness.token_hex(4), who.tenant, wish.kind, wish.to, wish.role, wish.language,
            {name: value for name, value in filters.items() if value}, hours, None, secret, "active",
        )  # fmt: skip
        async with door.pool.acquire() as connection:
            if wish.kind == "webhook":
                try:
                    check_address(wish.to, frozenset(await tables.setting(connection, "allowed_hosts") or ()))
                except Forbidden as wrong:
                    raise Problem(422, "Not an address", str(wrong), "to", str(wrong)) from None
            await tables.add_subscription(connection, made)
        body = shown(made) | ({"secret": secret[0]} if secret else {})
        return Response(orjson.dumps(body), 201, {"Location": f"/v1/subscriptions/{made.id}"}, "application/json")

    @routes.delete("/v1/subscriptions/{number}", status_code=204, summary="Forget a subscriber")
    async def remove(request: Request, number: str) -> Response:
        who = await door.let_in(request, "admin", whole=True)
        async with door.pool.acquire() as connection:
            if not await tables.remove_subscription(connection, number, who.tenant):
                raise Problem(404, "Not found", "there is no such subscription")
        return Response(status_code=204)

    for verb, state in (("pause", "paused"), ("resume", "active")):
        routes.post(
            f"/v1/subscriptions/{{number}}/{verb}", status_code=204, summary=f"{verb.capitalize()} a subscriber"
        )(_setting(door, state))
    return routes


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


def _setting(door: Door, state: str) -> Any:
    async def change(request: Request, number: str) -> Response:
        who = await door.let_in(request, "admin", whole=True)
        async with door.pool.acquire() as connection:
            notice = None if state == "active" else "by hand"
            if not await tables.set_state(connection, number, state, notice, who.tenant):
                raise Problem(404, "Not found", "there is no such subscription")
        return Response(status_code=204)

    return change


async def find(door: Door, tenant: str, alert: str, departments: Sequence[str] | None = None) -> Any:
    """One alert of a tenant. Raises `Problem` 404, also for another tenant's."""
    async with door.pool.acquire() as connection:
        rows = [] if "\x00" in alert else await tables.alert(connection, tenant, alert)
    if not rows or not may_see(departments, [rows[0]["department"]]):
        raise Problem(404, "Not found", "there is no such alert")
    return rows[0]


def shown(one: Subscription) -> dict[str, Any]:
    """A subscription without its secrets."""
    target = f"{one.target.partition('://')[0]}://…" if one.kind == "apprise" else one.target
    return {
        "id": one.id, "kind": one.kind, "to": target, "role": one.role, "language": one.language, "filters": one.filters,
        "hours": one.hours, "digest": one.digest, "state": one.state, "notice": one.notice,
    }  # fmt: skip


class Wanted:
    """What a stream lets through."""

    def __init__(
        self, departments: set[str], rules: set[str], severity: int, lang: str | None, only: Sequence[str] | None
    ) -> None:
        self._departments, self._rules, self._severity, self._lang = departments, rules, severity, lang
        self._only = only

    def of(self, raw: bytes) -> bytes | None:
        """The alert as it is sent, or None for one that is not wanted."""
        envelope = orjson.loads(raw)
        data = envelope["data"]
        if self._departments and data.get("department") not in self._departments:
            return None
        if not may_see(self._only, [data.get("department")]):
            return None
        if (self._rules and data["rule"] not in self._rules) or SEVERITIES.index(data["severity"]) < self._severity:
            return None
        if self._lang is None:
            return raw
        data["title"] = data[f"title_{self._lang}"]
        other = "en" if self._lang == "fr" else "fr"
        data.pop(f"title_{other}")
        for reason in data["reasons"]:
            reason.pop(f"text_{other}")
        return orjson.dumps(envelope)


async def follow(
    pool: Pool, bells: Bells, tenant: str, last: int | None, wanted: Wanted, is_welcome: Callable[[], Awaitable[bool]]
) -> AsyncIterator[ServerSentEvent]:
    """What is said to a tenant, from a number on (None: from now on), for as long as somebody listens who may."""
    async with bells.bell() as bell:
        if last is None:
            async with pool.acquire() as connection:
                last = await tables.last_number(connection, tenant)
            yield ServerSentEvent(comment="listening", id=str(last))
        while await is_welcome():
            bell.clear()
            try:
                async with pool.acquire() as connection:
                    rows = await tables.said_after(connection, tenant, last, AT_ONCE)
            except TRANSIENT:
                return  # the client comes back with the last number it has seen
            for number, raw in rows:
                last = number
                if (body := wanted.of(raw)) is not None:
                    kind = orjson.loads(body)["type"]
                    yield ServerSentEvent(body.decode(), event=kind, id=str(number))
            if len(rows) < AT_ONCE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await bell.wait()
