"""What every page has: who is looking, in which language and zone, the template, the headers, the language kept."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from events.times import instant as read_instant
from services import tables_system
from services.bells import Bells
from services.console.pages import View, view_of
from services.console.texts import LANGUAGES, Language
from services.console.visits import Looking, Missing, looking
from services.kept import Kept
from services.log_writing import LogWriter
from services.tables import Connection, Pool

PAGE = 50
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip


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

    def __init__(self, pool: Pool, log: LogWriter, topic: str, counting: Pool) -> None:
        self.pool, self.log, self.topic, self.counting = pool, log, topic, counting
        self.bells, self.kept, self.lately = Bells(pool), Kept(), Kept(fresh=3.0)

    async def close(self) -> None:
        await self.bells.close()
        await self.kept.close()
        await self.lately.close()

    @asynccontextmanager
    async def opened(self, request: Request, lang: str) -> AsyncIterator[tuple[Connection, Looking, View]]:
        """Who is looking and how things are said to them, with a connection. Raises `Missing`, `Away`."""
        language = tongue(lang)
        who = await self.who(request)  # it may take a connection: nobody who holds one waits for another
        async with self.pool.acquire() as connection:
            yield connection, who, await self.view(connection, language)

    async def who(self, request: Request) -> Looking:
        """Who is looking. Raises `Away`."""
        tenants: tuple[str, ...] = ()
        if request.session.get("name") and not request.session.get("tenant"):
            tenants = await self.kept.get("tenants", self._tenants)
        return looking(request, tenants)

    async def _tenants(self) -> tuple[str, ...]:
        async with self.pool.acquire() as connection:
            return await tables_system.tenants(connection, 200)

    async def view(self, connection: Connection, language: Language) -> View:
        """How things are said: in which language and zone, as of when."""
        return await view_of(connection, language)

    def page(
        self, request: Request, who: Looking | None, view: View, name: str, /, status: int = 200, **more: Any
    ) -> Response:
        """A whole page; its language is the visitor's from now on."""
        if who is not None and request.session.get("lang") != view.language:
            request.session["lang"] = view.language
        shown = {
            "v": view, "t": view.t, "who": who, "asset": asset_url, "path": request.url.path, "query": request.url.query,
            "done": None if who is None else request.session.pop("done", None),
            "other": "en" if view.language == "fr" else "fr", "quote": lambda text: quote(text, safe=""), "active": name,
        }  # fmt: skip
        return HTMLResponse(environment().get_template(f"{name}.html").render(shown | more), status, HEADERS)


def tongue(lang: str) -> Language:
    """The language of an address. Raises `Missing`."""
    for one in LANGUAGES:
        if lang == one:
            return one
    raise Missing


def text_of(value: str) -> str | None:
    """A filter's text, or None for an empty one and for what no row can hold."""
    return value[:128] if value and "\x00" not in value and value.isprintable() else None


def number_of(value: str) -> int | None:
    """A filter's number, or None for what is none."""
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 6 else None


def ignored(**asked: tuple[str, object]) -> list[str]:
    """What an address asks for that was not understood: of each name what was said, and what was made of it."""
    return [f"{name}={said}" for name, (said, found) in asked.items() if said and found is None]


def one_of(value: str, known: Sequence[str]) -> str | None:
    """A filter's value where it is a known one."""
    return value if value in known else None


def instant_of(text: str) -> datetime | None:
    """An instant of an address, or None for what is none, or is still to come."""
    try:
        at = read_instant(text.replace(" ", "+")) if text else None
    except ValueError:
        return None
    return None if at is None or at > datetime.now(UTC) else at
