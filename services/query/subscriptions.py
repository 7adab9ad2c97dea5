"""Subscriptions by HTTP: who is told of alerts."""

import secrets as randomness
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from events.alerts import Severity
from services import tables_alerts as tables
from services.guests import Problem
from services.query.doors import Door, answer
from services.tables_alerts import Subscription
from services.webhook_addresses import Forbidden, check_address, is_mail_address, new_secret


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


def router(door: Door) -> APIRouter:
    """The routes under /v1/subscriptions."""
    routes = APIRouter(tags=["alerts"])

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


def _setting(door: Door, state: str) -> Any:
    async def change(request: Request, number: str) -> Response:
        who = await door.let_in(request, "admin", whole=True)
        async with door.pool.acquire() as connection:
            notice = None if state == "active" else "by hand"
            if not await tables.set_state(connection, number, state, notice, who.tenant):
                raise Problem(404, "Not found", "there is no such subscription")
        return Response(status_code=204)

    return change


def shown(one: Subscription) -> dict[str, Any]:
    """A subscription without its secrets."""
    target = f"{one.target.partition('://')[0]}://…" if one.kind == "apprise" else one.target
    return {
        "id": one.id, "kind": one.kind, "to": target, "role": one.role, "language": one.language, "filters": one.filters,
        "hours": one.hours, "digest": one.digest, "state": one.state, "notice": one.notice,
    }  # fmt: skip
