"""What people do on a page: take, silence or dismiss an alert, choose an establishment, see to parked records."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from services import acting
from services import tables_alerts as alerts
from services import tables_system as tables
from services.console.frame import Console, tongue
from services.console.pages import View
from services.console.visits import Missing, check_form
from services.sight import may_see

PATIENCE = 5.0
Field = Annotated[str, Form(max_length=2_000)]


def add(routes: APIRouter, console: Console) -> None:
    """The routes of these forms."""
    _act(routes, console)
    _tenant(routes, console)
    _parked(routes, console)


def _act(routes: APIRouter, console: Console) -> None:
    @routes.post("/{lang}/acts")
    async def act(
        request: Request, lang: str, alert: Field, kind: Field, csrf: Field, back: Field = "", reason: Field = "", until: Field = "",
    ) -> Response:  # fmt: skip
        async with console.opened(request, lang) as (connection, who, view):
            check_form(who, csrf)
            rows = await alerts.alert(connection, who.tenant, alert) if "\x00" not in alert else []
            if not rows or not may_see(who.departments, [rows[0]["department"]]):
                raise Missing
        wish = acting.Wish(_kind(kind), who.name, reason.strip() or None, _until(until, view))
        if wish.until is not None and datetime.fromisoformat(wish.until) <= datetime.now(UTC):
            return console.page(request, who, view, "message", 422, title=view.t("silence"), hint=view.t("until_over"))
        try:
            (where,) = await acting.act(console.log, [(who.tenant, rows[0]["patient"], alert)], wish, console.topic)
        except acting.NotAnAct as wrong:
            return console.page(request, who, view, "message", 422, title=view.t("dismiss"), hint=str(wrong))
        # so that the page shows it; if the tables are slow, it will be there a moment later
        await tables.until_read(console.pool, where.partition, where.offset, PATIENCE)
        console.lately.forget("morning", who.tenant)
        request.session["done"] = f"done_{wish.kind}"
        return RedirectResponse(_back(back, view.url()), 303)


def _tenant(routes: APIRouter, console: Console) -> None:
    @routes.post("/{lang}/tenant")
    async def choose(request: Request, lang: str, tenant: Field, csrf: Field) -> Response:
        language = tongue(lang)
        who = await console.who(request)
        check_form(who, csrf, "reader")
        if tenant not in who.tenants:
            raise Missing
        request.session["chosen"] = tenant
        return RedirectResponse(f"/{language}", 303)


def _parked(routes: APIRouter, console: Console) -> None:
    @routes.post("/{lang}/parked")
    async def parked(
        request: Request, lang: str, csrf: Field, what: Field, place: Field = "", reason: Field = ""
    ) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            check_form(who, csrf, "admin")
            if what == "discard":
                number, _, offset = place.partition(":")
                if not (number.isdecimal() and offset.isdecimal() and reason.strip()):
                    raise Missing
                await tables.discard_parked(connection, who.tenant, int(number), int(offset), reason.strip()[:500])
            else:
                await tables.wish_retry(connection)
        return RedirectResponse(view.url("system"), 303)


def _kind(text: str) -> acting.ActKind:
    for kind in ("acknowledged", "silenced", "dismissed"):
        if text == kind:
            return kind
    raise Missing


def _until(text: str, view: View) -> str | None:
    """A day from a date field: until its end, in the establishment's zone."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=view.zone)
    except ValueError:
        return None
    return (day + timedelta(days=1)).isoformat()


def _back(path: str, default: str) -> str:
    """Only to a page of ours."""
    ours = path.startswith(("/fr", "/en")) and "\\" not in path and "//" not in path.partition("?")[0]
    return path if ours and path.isprintable() else default
