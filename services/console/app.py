"""The console's routes: every page is whole without JavaScript, keeps its state in its address, and says no word of a patient."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.middleware.sessions import SessionMiddleware

from services.console import acts, details, listing, office
from services.console.frame import Console, asset, tongue
from services.console.login import Login
from services.console.pages import View
from services.console.visits import Away, Missing, NotAllowed, language_of
from services.log_writing import LogWriter
from services.security import session_key
from services.settings import EVENTS
from services.tables import AWAY, NoGeneration, Pool

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
SAID = {403: "forbidden", 404: "not_found", 422: "unreadable", 503: "not_now"}


def add_console(
    api: FastAPI, pool: Pool, log: LogWriter, secret: str, topic: str = EVENTS, counting: Pool | None = None
) -> Callable[[], Awaitable[None]]:
    """Add every page; what is given back closes what they keep open."""
    console = Console(pool, log, topic, counting or pool)
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
    for pages in (listing, details, office, acts):
        pages.add(routes, console)
    api.include_router(routes)
    _refusals(api, console)
    return console.close


def _refusals(api: FastAPI, console: Console) -> None:
    """Whatever cannot be shown is said on a page; only the API answers with problem documents."""

    async def away(request: Request, _: Exception) -> Response:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)

    async def say(request: Request, status: int) -> Response:
        language = language_of(request)
        with suppress(Missing):
            language = tongue(request.url.path[1:3])
        who = None
        try:
            async with asyncio.timeout(2):
                with suppress(Away):
                    who = await console.who(request) if request.scope.get("session") else None
                async with console.pool.acquire() as connection:
                    view = await console.view(connection, language)
        except (NoGeneration, *AWAY):
            view = View(language, UTC, datetime.now(UTC))
        name = SAID.get(status, "broken")
        return console.page(request, who, view, "message", status, title=view.t(name), hint=view.t(f"{name}_hint"))

    async def missing(request: Request, _: Exception) -> Response:
        return await say(request, 404)

    async def forbidden(request: Request, _: Exception) -> Response:
        return await say(request, 403)

    api.state.say = say
    api.add_exception_handler(Away, away)
    api.add_exception_handler(Missing, missing)
    api.add_exception_handler(NotAllowed, forbidden)


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
