"""The door of the API: whose token, which role, how long to wait for one's own writes; refusals are problem documents."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import structlog
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteException

from services.guests import Guests, Problem, problem
from services.log import LogUnavailable
from services.log_writing import LogWriter
from services.security import RANKS, Bearer, Role
from services.tables import AWAY, NoGeneration, Pool
from services.tables_system import until_read

LONGEST_WAIT = 10.0
FOR_PROGRAMS = ("/v1/", "/metrics", "/healthz", "/readyz", "/livez", "/openapi", "/docs", "/redoc")
log = structlog.get_logger("parcours.query")


@dataclass
class Door:
    """What every route needs: the pools, the log, and who may come in."""

    pool: Pool
    log: LogWriter
    guests: Guests
    topic: str
    counting: Pool

    async def let_in(self, request: Request, role: Role = "reader", *, whole: bool = False) -> Bearer:
        """Whom the request's token stands for, with at least a role; `whole`: for every department. Raises `Problem`."""
        who = await self.guests.let_in(request.headers.get("authorization"))
        if RANKS[who.role] < RANKS[role]:
            raise Problem(403, "Role needed", f"this needs the role {role}, the token has {who.role}")
        if whole and who.departments is not None:
            raise Problem(
                403, "Every department", "this holds every department of the establishment: the token is for some"
            )
        await self._wait_for(request.query_params.get("after"))
        return who

    async def _wait_for(self, after: str | None) -> None:
        """Read your writes: wait until the tables include partition:offset. Raises `Problem` 422 or 503."""
        if after is None:
            return
        number, _, offset = after.partition(":")
        if not (number.isdecimal() and offset.isdecimal() and len(number) < 6 and len(offset) < 19):
            raise Problem(
                422, "Not a place in the log", "after must be PARTITION:OFFSET, as intake answered it", "after"
            )
        read = await until_read(self.pool, int(number), int(offset), LONGEST_WAIT)
        if read is None:
            raise Problem(422, "Not a place in the log", f"there is no partition {number}", "after")
        if not read:
            raise Problem(503, "Not read yet", f"the tables do not include {after} after {LONGEST_WAIT:.0f} s")


def answer(
    request: Request, value: Any, headers: dict[str, str] | None = None, link_next: str | None = None
) -> Response:
    """JSON with an entity tag; 304 to whoever has it already."""
    body = orjson.dumps(value, option=orjson.OPT_UTC_Z)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    said = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"} | (headers or {})
    if link_next is not None:
        said["Link"] = f'<{link_next}>; rel="next"'
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=said)
    return Response(body, 200, said, "application/json")


Cursor = Annotated[
    str | None, Query(alias="next", max_length=2_000, description="What `next` of the page before said.")
]
Why = Annotated[str | None, Query(max_length=200, description="Why this file is read; kept in the log of accesses.")]
Handler = Callable[[Request, Any], Awaitable[Response]]


def add_problems(api: FastAPI) -> None:
    """Everything that is refused or fails tells nothing of the inside: a problem document for programs, a page for people."""

    async def say(request: Request, wrong: Problem) -> Response:
        page = getattr(request.app.state, "say", None)  # the console's, where there is one
        if page is not None and not request.url.path.startswith(FOR_PROGRAMS):
            found: Response = await page(request, wrong.status)
            return found
        return problem(wrong)

    async def ours(request: Request, wrong: Any) -> Response:
        return await say(request, wrong)

    async def framework(request: Request, wrong: Any) -> Response:
        titles = {404: "Not found", 405: "Method not allowed"}
        title = titles.get(wrong.status_code, "Refused")
        found = await say(request, Problem(wrong.status_code, title, str(wrong.detail)))
        found.headers.update(wrong.headers or {})
        return found

    async def invalid(request: Request, wrong: Any) -> Response:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return await say(request, Problem(422, "Not valid", f"{where}: {first['msg']}", where, str(first["msg"])))

    async def away(request: Request, wrong: Any) -> Response:
        return await say(request, Problem(503, "Not now", f"a server is away ({type(wrong).__name__})"))

    async def empty(request: Request, wrong: Any) -> Response:
        return await say(request, Problem(503, "Not now", str(wrong)))

    async def broken(request: Request, wrong: Any) -> Response:
        log.error("a request failed", path=request.url.path.split("/")[1:3], error=type(wrong).__name__, exc_info=wrong)
        return await say(
            request, Problem(500, "Our fault", "this request could not be answered; the log of this process says why")
        )

    api.add_exception_handler(Exception, broken)
    api.add_exception_handler(Problem, ours)
    api.add_exception_handler(HTTPException, framework)
    api.add_exception_handler(StarletteException, framework)
    api.add_exception_handler(RequestValidationError, invalid)
    for kind in (*AWAY, LogUnavailable):
        api.add_exception_handler(kind, away)
    api.add_exception_handler(NoGeneration, empty)
