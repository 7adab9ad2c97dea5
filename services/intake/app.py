"""POST /v1/events: 202 only once Kafka has the fact. EVENTS section 1."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect

from projections.policy import Policy
from services.health import add_health, tables_health
from services.intake.door import Admitted, Problem, Stamp, admit, content_of
from services.log import LogUnavailable, LogWriter, Outgoing, Written
from services.security import Bearer, bearer
from services.settings import EVENTS
from services.tables import AWAY, Pool

LONGEST_REQUEST = 5 * 1024 * 1024
TOKENS_KEPT = 5.0
SLOWEST_BODY = 20.0
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
SINGLE = ("application/cloudevents+json", "application/json")
BATCH = "application/cloudevents-batch+json"
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


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
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_REQUEST:
                    raise Problem(413, "Too large", "a request may have at most 5 MiB")
    except TimeoutError:
        raise Problem(408, "Too slow", f"the body was not there after {SLOWEST_BODY:.0f} s") from None
    return bytes(body)


def may_write(who: Bearer) -> None:
    """Raises `Problem` 403 for a token that may only read."""
    if who.role == "reader":
        raise Problem(403, "Role needed", "this token may only read")


def binary_content(request: Request, body: bytes) -> dict[str, Any]:
    """The fact of a request in binary mode: `ce-*` headers, and the body as data."""
    content: dict[str, Any] = {
        name[3:]: unquote(value) for name, value in request.headers.items() if name.startswith("ce-")
    }
    content["datacontenttype"] = "application/json"
    content["data"] = content_of(body) if body else {}
    return content


def app(log: LogWriter, pool: Pool, policy: Callable[[], Policy], *, clock: bool = True) -> FastAPI:
    """The intake, on a writer and a pool that its owner opens and closes."""
    api = FastAPI(title="Parcours intake", version="1", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    guests, stamp, registry = Guests(pool), Stamp(), CollectorRegistry()
    taken = Counter("parcours_intake_facts_total", "Facts by what became of them", ["result"], registry=registry)
    waited = Histogram("parcours_intake_write_seconds", "Until Kafka had them", buckets=BUCKETS, registry=registry)
    add_health(api, registry, lambda: tables_health(pool, clock=clock))

    @api.post("/v1/events", status_code=202)
    async def events(request: Request) -> Response:
        """Take facts: one CloudEvent, a batch, or NDJSON."""
        try:
            who = await guests.let_in(request.headers.get("authorization"))
            may_write(who)
            body = await body_of(request)
            return await _take(request, body, who)
        except ClientDisconnect:
            return Response(status_code=499)
        except Problem as wrong:
            taken.labels(str(wrong.status)).inc()
            return problem(wrong)

    async def _take(request: Request, body: bytes, who: Bearer) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if "ce-specversion" in request.headers:
            return await _one(binary_content(request, body), who)
        if kind in SINGLE:
            return await _one(content_of(body), who)
        if kind == BATCH or kind in LINES:
            return await _many(_pieces(kind, body), who)
        raise Problem(
            415, "Not readable", f"send {', '.join([*SINGLE, BATCH, LINES[0]])}; not {kind or 'an unnamed type'}"
        )

    async def _one(content: dict[str, Any], who: Bearer) -> Response:
        one = admit(content, who, policy(), stamp.next())
        (where,) = await _write([one])
        answer = {"id": one.id, "partition": where.partition, "offset": where.offset}
        return Response(orjson.dumps(answer), 202, media_type="application/json")

    async def _many(pieces: list[bytes], who: Bearer) -> Response:
        results: list[dict[str, Any]] = []
        good: list[tuple[int, Admitted]] = []
        for index, piece in enumerate(pieces):
            try:
                good.append((index, admit(content_of(piece), who, policy(), stamp.next())))
                results.append({"index": index, "status": 202, "id": good[-1][1].id})
            except Problem as wrong:
                results.append({"index": index} | wrong.document())
        for (index, _), where in zip(good, await _write([one for _, one in good]), strict=True):
            results[index] |= {"partition": where.partition, "offset": where.offset}
        answer = {"accepted": len(good), "refused": len(pieces) - len(good), "results": results}
        return Response(orjson.dumps(answer), 200, media_type="application/json")

    async def _write(admitted: list[Admitted]) -> list[Written]:
        if not admitted:
            return []
        try:
            with waited.time():
                written = await log.write(EVENTS, [Outgoing(one.value, one.key) for one in admitted])
        except LogUnavailable as away:
            raise Problem(
                503, "Not now", "the log is away: nothing was accepted; send it again, ids make that safe"
            ) from away
        taken.labels("202").inc(len(written))
        return written

    return api


def _pieces(kind: str, body: bytes) -> list[bytes]:
    """The facts of a batch or of NDJSON, each still as bytes."""
    if kind in LINES:
        return [line for line in body.split(b"\n") if line.strip()]
    try:
        listed = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise Problem(422, "Not a batch", f"(request): is not JSON: {wrong.msg}", "(request)", "must be JSON") from None
    if not isinstance(listed, list):
        raise Problem(422, "Not a batch", "(request): must be a JSON array", "(request)", "must be a JSON array")
    return [orjson.dumps(one) for one in listed]
