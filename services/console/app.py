"""The console's routes: every page is whole without JavaScript, keeps its state in its address, and says no word of a patient."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.middleware.sessions import SessionMiddleware

from events.fields import instant as read_instant
from services import acting, reading
from services import tables_alerts as alerts
from services import tables_query as tables
from services.bells import Bells
from services.console import pages
from services.console.login import Login
from services.console.pages import View
from services.console.texts import LANGUAGES, Language
from services.console.visits import Away, Looking, Missing, NotAllowed, check_form, language_of, looking
from services.files import claim_told, file_of
from services.kept import Kept
from services.log import LogWriter
from services.matrix import drawing, matrix_of
from services.security import session_key
from services.settings import EVENTS
from services.tables import Connection, Pool, active_generation

PAGE = 50
PATIENCE = 5.0
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
Field = Annotated[str, Form(max_length=2_000)]


@cache
def environment() -> Environment:
    return Environment(
        loader=PackageLoader("services.console"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def asset(name: str) -> tuple[bytes, str]:
    """A file of ours and its hash."""
    body = (resources.files("services.console") / "static" / name).read_bytes()
    return body, hashlib.blake2b(body, digest_size=8).hexdigest()


def asset_url(name: str) -> str:
    return f"/static/{asset(name)[1]}/{name}"


class Console:
    """What every page needs."""

    def __init__(self, pool: Pool, log: LogWriter, topic: str) -> None:
        self.pool, self.log, self.topic = pool, log, topic
        self.bells, self.kept, self.lately = Bells(pool), Kept(), Kept(fresh=3.0)

    async def close(self) -> None:
        await self.bells.close()
        await self.kept.close()
        await self.lately.close()

    async def who(self, request: Request) -> Looking:
        """Who is looking. Raises `Away`."""
        tenants: tuple[str, ...] = ()
        if request.session.get("name") and not request.session.get("tenant"):
            tenants = await self.kept.get("tenants", self._tenants)
        return looking(request, tenants)

    async def _tenants(self) -> tuple[str, ...]:
        async with self.pool.acquire() as connection:
            rows = await connection.fetch("select distinct tenant from parcours.patient order by tenant limit 200")
        return tuple(row["tenant"] for row in rows)

    async def view(self, connection: Connection, language: Language) -> View:
        generation = await active_generation(connection)
        zone = generation.policy.home.calendar.tz if generation else UTC
        return View(language, zone, await tables.watermark(connection) or datetime.now(UTC))

    def page(
        self, request: Request, who: Looking | None, view: View, name: str, /, status: int = 200, **more: Any
    ) -> Response:
        """A whole page."""
        shown = {
            "v": view, "t": view.t, "who": who, "asset": asset_url, "path": request.url.path, "query": request.url.query,
            "other": "en" if view.language == "fr" else "fr", "quote": lambda text: quote(text, safe=""), "active": name,
        }  # fmt: skip
        return HTMLResponse(environment().get_template(f"{name}.html").render(shown | more), status, HEADERS)


def tongue(lang: str) -> Language:
    """The language of an address. Raises `Missing`."""
    for one in LANGUAGES:
        if lang == one:
            return one
    raise Missing


def add_console(
    api: FastAPI, pool: Pool, log: LogWriter, secret: str, topic: str = EVENTS
) -> Callable[[], Awaitable[None]]:
    """Add every page; what is given back closes what they keep open."""
    console = Console(pool, log, topic)
    login = Login(pool)
    api.add_middleware(
        SessionMiddleware,
        secret_key=secret,
        session_cookie="parcours",
        max_age=12 * 3600,
        same_site="lax",
        https_only=login.https,
    )
    routes = APIRouter(include_in_schema=False)
    _general(routes, console, login)
    _lists(routes, console)
    _details(routes, console)
    _people(routes, console)
    _acts(routes, console)
    api.include_router(routes)

    async def away(request: Request, _: Exception) -> Response:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)

    async def refused(request: Request, wrong: Exception) -> Response:
        async with pool.acquire() as connection:
            view = await console.view(connection, language_of(request))
        missing = isinstance(wrong, Missing)
        title, hint = ("not_found", "not_found_hint") if missing else ("forbidden", "forbidden")
        return console.page(
            request, None, view, "message", 404 if missing else 403, title=view.t(title), hint=view.t(hint)
        )

    api.add_exception_handler(Away, away)
    api.add_exception_handler(Missing, refused)
    api.add_exception_handler(NotAllowed, refused)
    return console.close


async def console_key(pool: Pool) -> str:
    """What signs the cookies of this instance."""
    async with pool.acquire() as connection:
        return await session_key(connection)


def _general(routes: APIRouter, console: Console, login: Login) -> None:
    @routes.get("/static/{digest}/{name}")
    async def static(digest: str, name: str) -> Response:
        kind = KINDS.get(name.rpartition(".")[2])
        if kind is None or "/" in name or name not in {"parcours.css", "parcours.js", "icon.svg"}:
            raise Missing
        body, known = asset(name)
        age = "public, max-age=31536000, immutable" if digest == known else "no-cache"
        return Response(body, 200, {"Cache-Control": age, "X-Content-Type-Options": "nosniff"}, kind)

    @routes.get("/")
    async def start(request: Request) -> Response:
        return RedirectResponse(f"/{language_of(request)}", 303)

    @routes.get("/patients/{patient:path}")
    async def linked(request: Request, patient: str) -> Response:
        return RedirectResponse(f"/{language_of(request)}/patients/{quote(patient, safe='')}", 303)

    @routes.get("/alerts")
    async def linked_alerts(request: Request) -> Response:
        return RedirectResponse(f"/{language_of(request)}/alerts", 303)

    login.add(routes, console.page, console.view, pool=console.pool)

    @routes.get("/{lang}/live")
    async def live(request: Request, lang: str) -> Response:
        tongue(lang)
        await console.who(request)
        return EventSourceResponse(_changes(console), ping=15)


async def _changes(console: Console) -> AsyncIterator[ServerSentEvent]:
    """A word whenever alerts or people's acts changed something."""
    async with console.bells.bell() as bell:
        yield ServerSentEvent(comment="listening")
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await bell.wait()
                console.lately.forget("morning")
                yield ServerSentEvent("changed", event="changed")
            bell.clear()
            await asyncio.sleep(2)


def _lists(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}")
    async def morning(request: Request, lang: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            request.session["lang"] = language
            brake = await alerts.setting(connection, "brake")

        async def make() -> Any:
            async with console.pool.acquire() as again:
                return await pages.morning(again, who.tenant, who.departments, view)

        found = await console.lately.get(("morning", who.tenant, who.departments), make)
        return console.page(request, who, view, "morning", brake=brake, **found)

    @routes.get("/{lang}/cases")
    async def cases(
        request: Request, lang: str, state: str = "open", min_level: str = "", department: str = "", topic: str = "",
        sort: str = "endured", find: str = "", older: str = "", after: str = "",
    ) -> Response:  # fmt: skip
        from services.cursors import cursor_of, key_of

        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            days = int(older) if older.isdecimal() and len(older) < 6 else None
            asked = tables.Asked(
                who.tenant, state if state in ("open", "closed") else None, min_level if min_level in ("B1", "B2", "B3", "B4") else None,
                _text(department), _text(topic), None, _text(find), None if days is None else view.now - timedelta(days=days),
                who.departments,
            )  # fmt: skip
            by_age = sort == "age"
            key = key_of(after or None, 3 if by_age else 4, [0 if by_age else 1])
            walk = tables.cases_by_age if by_age else tables.cases_by_level
            rows, more = await walk(connection, asked, PAGE, key)

        async def make() -> str:
            async with console.pool.acquire() as again:
                return await pages.ageing(again, who.tenant, who.departments, view)

        chart = await console.kept.get(("ageing", who.tenant, who.departments, language), make)
        asked_for = {
            "state": state, "min_level": min_level, "department": department, "topic": topic, "sort": sort, "find": find, "older": older,
        }  # fmt: skip
        return console.page(
            request, who, view, "cases", rows=rows, more=cursor_of(more), asked=asked_for, chart=chart, after=after
        )

    @routes.get("/{lang}/claims")
    async def claims(
        request: Request, lang: str, ladder: str = "", department: str = "", due: str = "", after: str = ""
    ) -> Response:
        from services.cursors import cursor_of, key_of

        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            hours = int(due) if due.isdecimal() and len(due) < 6 else None
            rows, more = await tables.claims(
                connection, who.tenant, PAGE, key_of(after or None, 4, [1]), ladder=ladder if ladder in tables.LADDER else None,
                department=_text(department), departments=who.departments,
                due_before=None if hours is None else view.now + timedelta(hours=hours),
            )  # fmt: skip
        asked = {"ladder": ladder, "department": department, "due": due}
        return console.page(request, who, view, "claims", rows=rows, more=cursor_of(more), asked=asked, after=after)

    @routes.get("/{lang}/departments")
    async def departments(request: Request, lang: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
        found = await _departments(console, who)
        chart = drawing(matrix_of(found["moves"]), view.t("matrix"), view.t("returns")) if found["moves"] else ""
        return console.page(request, who, view, "departments", rows=found["departments"], chart=chart)

    @routes.get("/{lang}/topics")
    async def topics(request: Request, lang: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)

        async def make() -> Any:
            async with console.pool.acquire() as again:
                flows = await tables.flows(again, who.tenant, view.now)
                small = [flow for flow in flows if flow["is_small"]]
                worst = sorted(
                    small, key=lambda flow: (-(flow["bounced"] + flow["unanswered"]), flow["contacts"], flow["topic"])
                )[:60]
                since = view.now - timedelta(weeks=tables.WEEKS)
                contacts = await tables.contacts_of(again, who.tenant, [flow["topic"] for flow in worst], since)
                return (
                    pages.strips(worst, contacts, view),
                    [flow for flow in reversed(flows) if not flow["is_small"]],
                    len(small),
                )

        small, mass, n = await console.kept.get(("topics", who.tenant, language), make)
        return console.page(request, who, view, "topics", small=small, mass=mass, n=n)


async def _departments(console: Console, who: Looking) -> Any:
    async def make() -> Any:
        async with console.pool.acquire() as connection:
            return await tables.departments(connection, who.tenant)

    found = await console.kept.get(("departments", who.tenant), make)
    if who.departments is None:
        return found
    mine = set(who.departments)
    return {
        "departments": [one for one in found["departments"] if one["department"] in mine],
        "moves": [one for one in found["moves"] if {one["here"], one["there"]} & mine],
    }


def _text(value: str) -> str | None:
    """A filter's text, or None for an empty one and for what no row can hold."""
    return value[:128] if value and "\x00" not in value and value.isprintable() else None


def _details(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/cases/{case:path}")
    async def case(request: Request, lang: str, case: str, patient: str = "", as_of: str = "") -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            rows = await reading.patients_with_case(connection, who.tenant, _text(patient), _text(case) or "")
            shown = []
            for row in rows:
                now_file = await file_of(connection, who.tenant, row["patient"], None)
                if case not in now_file.cases or not _mine(who, now_file.cases[case].path.departments):
                    continue
                await tables.note_access(connection, who.name, who.tenant, row["patient"], f"case {case}", None)
                at = _instant(as_of)
                file = now_file if at is None else await file_of(connection, who.tenant, row["patient"], at)
                shown.append(_case(view, now_file, file, case, at))
        if not shown:
            raise Missing
        return console.page(request, who, view, "case", cases=shown, name=case)

    @routes.get("/{lang}/claims/{claim:path}")
    async def claim(request: Request, lang: str, claim: str, patient: str = "", as_of: str = "") -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            rows = await reading.patients_with_claim(connection, who.tenant, _text(patient), _text(claim) or "")
            shown = []
            for row in rows:
                file = await file_of(connection, who.tenant, row["patient"], _instant(as_of))
                one = file.claims.get(claim)
                if one is None or not one.has_begun:
                    continue
                held = file.cases.get(one.said.case or "")
                if not _mine(who, [one.said.department or "", *(held.path.departments if held else ())]):
                    continue
                await tables.note_access(connection, who.name, who.tenant, row["patient"], f"claim {claim}", None)
                shown.append(claim_told(file, claim) | {"has_case": held is not None})
        if not shown:
            raise Missing
        return console.page(request, who, view, "claim", claims=shown, name=claim)

    @routes.get("/{lang}/patients/{patient:path}")
    async def patient(request: Request, lang: str, patient: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            file = await file_of(connection, who.tenant, _text(patient) or "", None)
            seen = [name for one in file.cases.values() for name in one.path.departments]
            if not file.facts or not _mine(who, seen):
                raise Missing
            await tables.note_access(connection, who.name, who.tenant, patient, "patient", None)
            found = await tables.open_findings(connection, who.tenant, 500, open_only=False)
        mine = [row for row in found if row["patient"] == patient]
        cases = [pages.case_summary(file, name) for name in file.cases]
        claims = [claim_told(file, name) for name, one in file.claims.items() if one.has_begun]
        return console.page(request, who, view, "patient", name=patient, cases=cases, claims=claims, findings=mine)

    @routes.get("/{lang}/departments/{department:path}")
    async def department(request: Request, lang: str, department: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            if not _mine(who, [department]):
                raise Missing
            asked = tables.Asked(who.tenant, "open", None, _text(department), departments=who.departments)
            held, _ = await tables.cases_by_level(connection, asked, PAGE, None)
        found = await _departments(console, who)
        row = next((one for one in found["departments"] if one["department"] == department), None)
        if row is None:
            raise Missing
        away = sorted((one for one in found["moves"] if one["here"] == department), key=lambda one: -one["moves"])
        back = {one["here"]: one for one in found["moves"] if one["there"] == department}
        return console.page(request, who, view, "department", name=department, row=row, held=held, away=away, back=back)


def _mine(who: Looking, departments: Any) -> bool:
    return who.departments is None or bool(set(who.departments) & set(departments))


def _instant(text: str) -> datetime | None:
    try:
        return read_instant(text.replace(" ", "+")) if text else None
    except ValueError:
        return None


def _case(view: View, now_file: Any, file: Any, name: str, at: datetime | None) -> dict[str, Any]:
    stops = pages.instants(now_file, name)
    then = None if at is None else now_file
    known = name in file.cases
    return {
        "patient": now_file.patient, "stops": stops, "as_of": at, "known": known,
        "row": pages.case_summary(file, name) if known else None,
        "chart": pages.lanes(file, name, view, then) if known else "",
        "story": pages.story(file, name, view) if known else [],
        "timeline": pages.timeline(file, name, view, then),
        "claims": [claim_told(file, one.id) for one in file.claims.values() if one.said.case == name and one.has_begun],
    }  # fmt: skip


def _people(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/alerts")
    async def listed(request: Request, lang: str, everything: str = "", department: str = "") -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            rows = await alerts.alerts(
                connection,
                who.tenant,
                raised_only=not everything,
                department=_text(department),
                departments=who.departments,
                limit=80,
            )
            sent = await alerts.deliveries(connection, who.tenant, None, 50)
            brake = await alerts.setting(connection, "brake")

        async def make() -> Any:
            async with console.pool.acquire() as again:
                return await alerts.quality(again, who.tenant)

        quality = await console.kept.get(("quality", who.tenant), make)
        return console.page(
            request, who, view, "alerts", rows=pages.alert_rows(rows), deliveries=sent, quality=quality, brake=brake, everything=everything
        )  # fmt: skip

    @routes.get("/{lang}/alerts/{alert:path}")
    async def one(request: Request, lang: str, alert: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            rows = await alerts.alert(connection, who.tenant, alert) if "\x00" not in alert else []
            if not rows or not _mine(who, [rows[0]["department"]]):
                raise Missing
            acts = await connection.fetch(
                "select kind, at, by, until, reason from parcours.alert_act where tenant = $1 and alert = $2 order by at",
                who.tenant, alert,
            )  # fmt: skip
        return console.page(request, who, view, "alert", row=pages.alert_rows(rows)[0], acts=acts)

    @routes.get("/{lang}/system")
    async def system(request: Request, lang: str) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            beats = await connection.fetch(
                "select service, beat_at, detail from parcours.heartbeat where beat_at > now() - interval '1 day' order by service"
            )
            parked = await connection.fetch(
                'select partition, "offset", code, field, rule, appended_at, digest from parcours.parked where not is_taken'
                " and (tenant is null or tenant = $1) and digest not in (select digest from parcours.parked_decision)"
                ' order by appended_at desc, "offset" desc limit 100',
                who.tenant,
            )  # fmt: skip
            made = await connection.fetch(
                "select id, fold_version, state, created_at, policy from parcours.generation order by id desc"
            )
            verified = await alerts.setting(connection, "last_verify")
            brake = await alerts.setting(connection, "brake")
        now = datetime.now(UTC)
        services = [
            {"name": row["service"], "silent": (now - row["beat_at"]).total_seconds(), "detail": row["detail"]} for row in beats
        ]  # fmt: skip
        return console.page(
            request, who, view, "system", services=services, parked=parked, generations=made, verified=verified, brake=brake
        )  # fmt: skip


def _acts(routes: APIRouter, console: Console) -> None:
    @routes.post("/{lang}/acts")
    async def act(
        request: Request, lang: str, alert: Field, kind: Field, csrf: Field, back: Field = "", reason: Field = "", until: Field = "",
    ) -> Response:  # fmt: skip
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who, view = await console.who(request), await console.view(connection, language)
            check_form(who, csrf)
            rows = await alerts.alert(connection, who.tenant, alert) if "\x00" not in alert else []
            if not rows or not _mine(who, [rows[0]["department"]]):
                raise Missing
        wish = acting.Wish(_kind(kind), who.name, reason.strip() or None, _until(until, view))
        try:
            (where,) = await acting.act(console.log, [(who.tenant, rows[0]["patient"], alert)], wish, console.topic)
        except acting.NotAnAct as wrong:
            return console.page(request, who, view, "message", 422, title=view.t("dismiss"), hint=str(wrong))
        await _seen(console, where.partition, where.offset)
        console.lately.forget("morning", who.tenant)
        return RedirectResponse(_back(back, f"/{language}"), 303)

    @routes.post("/{lang}/tenant")
    async def choose(request: Request, lang: str, tenant: Field, csrf: Field) -> Response:
        language = tongue(lang)
        who = await console.who(request)
        check_form(who, csrf, "reader")
        if tenant not in who.tenants:
            raise Missing
        request.session["chosen"] = tenant
        return RedirectResponse(f"/{language}", 303)

    @routes.post("/{lang}/parked")
    async def parked(
        request: Request, lang: str, csrf: Field, what: Field, place: Field = "", reason: Field = ""
    ) -> Response:
        language = tongue(lang)
        async with console.pool.acquire() as connection:
            who = await console.who(request)
            check_form(who, csrf, "admin")
            if what == "discard":
                number, _, offset = place.partition(":")
                if not (number.isdecimal() and offset.isdecimal() and reason.strip()):
                    raise Missing
                await connection.execute(
                    "insert into parcours.parked_decision (digest, decision, reason) select digest, 'discarded', $3 from parcours.parked"
                    ' where partition = $1 and "offset" = $2 and (tenant is null or tenant = $4) on conflict do nothing',
                    int(number), int(offset), reason.strip()[:500], who.tenant,
                )  # fmt: skip
            else:
                await alerts.set_setting(connection, "retry_parked", datetime.now(UTC).isoformat())
                await connection.execute("select pg_notify('parcours_retry', '')")
        return RedirectResponse(f"/{language}/system", 303)


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


async def _seen(console: Console, partition: int, offset: int) -> None:
    """Wait a little until the tables include what was just written, so that the page shows it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        async with console.pool.acquire() as connection:
            at = await connection.fetchval(
                "select next_offset from parcours.checkpoint where partition = $1", partition
            )
        if at is not None and at > offset:
            return
        await asyncio.sleep(0.02)
