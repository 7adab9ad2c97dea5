"""Who comes in by HTTP, what they may send, and how they are refused: shared by every door."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from services.security import Bearer, bearer
from services.tables import AWAY, Pool

LONGEST_REQUEST = 5 * 1024 * 1024
TOKENS_KEPT = 5.0


@dataclass(eq=False)  # neither frozen nor with slots: context managers write on what passes through them
class Problem(Exception):
    """Why a fact or a request is refused: a problem document."""

    status: int
    title: str
    detail: str
    field: str | None = None
    rule: str | None = None

    def document(self) -> dict[str, Any]:
        """RFC 9457."""
        found: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field is not None:
            found |= {"field": self.field, "rule": self.rule}
        return found


def tell_of_tokens(api: FastAPI) -> None:
    """Have the OpenAPI document say that every route wants a token; the routes look at it themselves, not by a dependency."""
    plain = api.openapi

    def with_tokens() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "A token made by `parcours token create`."}
        }
        document["security"] = [{"token": []}]
        return document

    api.openapi = with_tokens  # type: ignore[method-assign] # as FastAPI has it extended


class Guests:
    """Tokens seen lately: a revoked one is let in for five seconds at most."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._seen: dict[str, tuple[float, Bearer]] = {}

    async def let_in(self, header: str | None) -> Bearer:
        """Whom the `Authorization` header stands for. Raises `Problem` 401 or 503."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem(
                401, "Token needed", "send Authorization: Bearer with a token made by `parcours token create`"
            )
        now = time.monotonic()
        seen = self._seen.get(token)
        if seen is not None and now - seen[0] < TOKENS_KEPT:
            return seen[1]
        try:
            async with self._pool.acquire() as connection:
                found = await bearer(connection, token)
        except AWAY as away:
            raise Problem(503, "Not now", "tokens cannot be checked: the database is away") from away
        if found is None:
            self._seen.pop(token, None)
            raise Problem(401, "Unknown token", "this token is not known, or was revoked")
        if len(self._seen) > 10_000:
            self._seen.clear()
        self._seen[token] = (now, found)
        return found


def problem(wrong: Problem) -> Response:
    """A refusal as RFC 9457 has it."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "2"}}.get(wrong.status, {})
    return Response(orjson.dumps(wrong.document()), wrong.status, headers, "application/problem+json")


async def body_of(request: Request) -> bytes:
    """The body, at most 5 MiB of it, never inflated. Raises `Problem` 413 or 415."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Not readable", "Content-Encoding is not accepted: send the body as it is")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > LONGEST_REQUEST:
        raise Problem(413, "Too large", "a request may have at most 5 MiB")
    chunks, size = list[bytes](), 0
    async for chunk in request.stream():  # in time, or the connection ends: services/http_guard
        chunks.append(chunk)
        size += len(chunk)
        if size > LONGEST_REQUEST:
            raise Problem(413, "Too large", "a request may have at most 5 MiB")
    return b"".join(chunks)
