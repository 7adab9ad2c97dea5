"""The pages of the office: alerts with what became of them, and whether the system itself is well."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from services import tables_alerts as alerts
from services import tables_messages as messages
from services import tables_query as tables
from services import tables_system
from services.console import pages
from services.console.frame import Console, text_of
from services.console.visits import Missing
from services.files import file_of
from services.sight import Sight, may_see

SHOWN = 80


def add(routes: APIRouter, console: Console) -> None:
    """The routes of these pages."""
    _alerts(routes, console)
    _alert(routes, console)
    _system(routes, console)


def _alerts(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/alerts")
    async def listed(request: Request, lang: str, everything: str = "", department: str = "") -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            rows = await alerts.alerts(
                connection, who.tenant, raised_only=not everything, department=text_of(department),
                departments=who.departments, limit=SHOWN,
            )  # fmt: skip
            # a message holds alerts of any department: whoever may see some of them is shown none
            sent = await messages.deliveries(connection, who.tenant, None, 50) if who.departments is None else []
            brake = await alerts.setting(connection, "brake")

        async def make() -> Any:
            async with console.counting.acquire() as again:
                return await alerts.quality(again, who.tenant)

        quality = await console.kept.get(("quality", who.tenant), make)
        return console.page(
            request, who, view, "alerts", rows=pages.alert_rows(rows), deliveries=sent, brake=brake, everything=everything, shown=SHOWN,
            quality=[row for row in quality if may_see(who.departments, [row["department"]])],
        )  # fmt: skip


def _alert(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/alerts/{alert:path}")
    async def one(request: Request, lang: str, alert: str) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            rows = await alerts.alert(connection, who.tenant, alert) if "\x00" not in alert else []
            if not rows or not may_see(who.departments, [rows[0]["department"]]):
                raise Missing
            await tables.note_access(connection, who.name, who.tenant, rows[0]["patient"], f"alert {alert}", None)
            acts = await alerts.acts_of(connection, who.tenant, alert)
            sight = Sight(await file_of(connection, who.tenant, rows[0]["patient"], None), who.departments)
        proofs = {name for reason in rows[0]["reasons"] or [] for name in reason["evidence"]}
        facts = {row["fact"]: row for row in pages.happened((one for one in sight.facts if one.name in proofs), view)}
        return console.page(
            request, who, view, "alert", row=pages.alert_rows(rows)[0], acts=acts,
            facts={name: facts.get(name) for name in proofs},
        )  # fmt: skip


def _system(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/system")
    async def system(request: Request, lang: str) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            beats = await tables_system.heartbeats(connection)
            parked = await tables_system.parked(connection, who.tenant, 100)
            sees_all = len(who.tenants) > 1
            elsewhere = await tables_system.parked_elsewhere(connection, who.tenant) if sees_all else {}
            made = await tables_system.generations(connection)
            verified = await alerts.setting(connection, "last_verify")
            brake = await alerts.setting(connection, "brake")
        now = datetime.now(UTC)
        services = [
            {"name": row["service"], "silent": (now - row["beat_at"]).total_seconds(), "detail": row["detail"]}
            for row in beats
        ]
        return console.page(
            request, who, view, "system", services=services, parked=parked, generations=made, verified=verified,
            brake=brake, elsewhere=[f"{tenant} ({view.number(n)})" for tenant, n in elsewhere.items()],
        )  # fmt: skip
