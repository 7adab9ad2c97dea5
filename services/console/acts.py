"""What people do on a page: take, silence or dismiss an alert, choose an establishment, see to parked records."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

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
        seen: Field = "",
    ) -> Response:  # fmt: skip
        async with console.opened(request, lang) as (connection, who, view):
            check_form(who, csrf)
            rows = await alerts.alert(connection, who.tenant, alert) if "\x00" not in alert else []
            if not rows or not may_see(who.departments, [rows[0]["department"]]):
                raise Missing
            stand = await alerts.standing(connection, who.tenant, rows[0]["patient"], who.departments)
        wish = acting.Wish(_kind(kind), who.name, reason.strip() or None, _until(until, view))
        if problem := _problem(wish, rows[0], seen, view):
            title = view.t({"acknowledged": "take", "silenced": "silence", "dismissed": "dismiss"}[wish.kind])
            return console.page(
                request, who, view, "message", 422, title=title, hint=problem, back=view.url("alerts", alert)
            )
        names = [alert, *_of_its_claim(rows[0], stand)] if wish.kind == "acknowledged" else [alert]
        targets = [(who.tenant, rows[0]["patient"], name) for name in names]
        *_, where = await acting.act(console.log, targets, wish, console.topic)
        # so that the page shows it; if the tables are slow, it will be there a moment later
        await tables.until_read(console.pool, where.partition, where.offset, PATIENCE)
        console.lately.forget("morning", who.tenant)
        request.session["done"] = f"done_{wish.kind}"
        return RedirectResponse(_back(back, view.url()), 303)

    @routes.get("/{lang}/acts")
    async def lost(request: Request, lang: str) -> Response:
        """Where a login leads whose session had ended before an act: a form is not sent twice."""
        async with console.opened(request, lang) as (_, _, view):
            request.session["done"] = "not_recorded"
        return RedirectResponse(view.url(), 303)


def _of_its_claim(row: Any, stand: Iterable[Any]) -> list[str]:
    """The other alerts of a claim that nobody has done anything about: who takes a claim on takes all of it."""
    now = datetime.now(UTC)
    return [
        one["alert"]
        for one in stand
        if row["claim_id"] is not None and one["claim_id"] == row["claim_id"] and one["alert"] != row["alert"]
        and alerts.alert_state(one, now) == "raised"
    ]  # fmt: skip


def _problem(wish: acting.Wish, row: Any, seen: str, view: View) -> str | None:
    """Why an act is not taken: what is missing, or what somebody else has done about the alert since the page was made."""
    if wish.until is not None and datetime.fromisoformat(wish.until) <= datetime.now(UTC):
        return view.t("until_over")
    if wish.kind == "dismissed" and wish.reason is None:
        return view.t("reason_needed")
    if seen not in ("", view.act_seen(row)) and row["act_by"] != wish.by:
        return view.t("done_meanwhile", by=row["act_by"], what=view.state(row["act"]), at=view.moment(row["act_at"]))
    return None


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
