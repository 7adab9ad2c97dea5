"""POST /v1/events: 202 only once Kafka has the fact. EVENTS section 1."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect

from projections.policy import Policy
from services.guests import Guests, Problem, body_of, problem
from services.health import add_health, tables_health
from services.intake.door import Admitted, Stamp, admit, content_of, elements
from services.log import LogUnavailable, Outgoing, Written
from services.log_writing import LogWriter
from services.security import Bearer
from services.settings import EVENTS
from services.tables import Pool
from services.tracing import span

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
FACTS = "/v1/events"
SINGLE = ("application/cloudevents+json", "application/json")
BATCH = "application/cloudevents-batch+json"
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


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


def app(
    log: LogWriter,
    pool: Pool,
    policy: Callable[[], Policy],
    *,
    clock: bool = True,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The intake, on a writer and a pool that its owner opens and closes."""
    api = FastAPI(title="Parcours intake", version="1", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    guests, stamp, registry = Guests(pool), Stamp(), registry or CollectorRegistry()
    taken = Counter("parcours_intake_facts_total", "Facts by what became of them", ["result"], registry=registry)
    waited = Histogram("parcours_intake_write_seconds", "Until Kafka had them", buckets=BUCKETS, registry=registry)
    accepted = taken.labels("202")
    add_health(
        api, registry, lambda: tables_health(pool, clock=clock), lambda: tables_health(pool, clock=False)
    )  # tables that are behind are told, and answered from all the same

    @api.post(FACTS, status_code=202)
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

    api.state.straight = {("POST", FACTS): events}

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
        with span("accept", _traceparent(content), door="http") as parent:
            if parent is not None:
                content["traceparent"] = parent
            one = admit(content, who, policy(), stamp.next())
            (where,) = await _write([one])
        answer = {"id": one.id, "partition": where.partition, "offset": where.offset} | _warning(one)
        return Response(orjson.dumps(answer), 202, media_type="application/json")

    async def _many(pieces: list[bytes], who: Bearer) -> Response:
        results: list[dict[str, Any]] = []
        good: list[tuple[int, Admitted]] = []
        for index, piece in enumerate(pieces):
            try:
                good.append((index, admit(content_of(piece), who, policy(), stamp.next())))
                results.append({"index": index, "status": 202, "id": good[-1][1].id} | _warning(good[-1][1]))
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
            began = time.perf_counter()
            written = await log.write(EVENTS, [Outgoing(one.value, one.key) for one in admitted])
            waited.observe(time.perf_counter() - began)
        except LogUnavailable as away:
            raise Problem(
                503, "Not now", "the log is away: nothing was accepted; send it again, ids make that safe"
            ) from away
        accepted.inc(len(written))
        return written

    return api


def _warning(one: Admitted) -> dict[str, str]:
    """What whoever sends a type that nobody knows should hear: a new version's, or a slip of the pen."""
    if one.unknown is None:
        return {}
    return {"warning": f"type: {one.unknown} is not known here: it is kept and counted, and nothing follows from it"}


def _traceparent(content: dict[str, Any]) -> str | None:
    found = content.get("traceparent")
    return found if isinstance(found, str) else None


def _pieces(kind: str, body: bytes) -> list[bytes]:
    """The facts of a batch or of NDJSON, each still as the bytes it was sent in."""
    if kind in LINES:
        return [line for line in body.split(b"\n") if line.strip()]
    return elements(body)
