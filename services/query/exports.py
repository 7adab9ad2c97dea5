"""Everything out again, streamed: NDJSON of the rows, XES and OCEL 2.0 for any process-mining tool."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from xml.sax.saxutils import quoteattr

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from events.envelope import Recorded
from projections.findings import findings
from projections.patient import PatientFile
from projections.rows import case_row, claim_row, finding_row, patient_row, stamp
from services.files import concerns, files_at
from services.query.doors import Door

KINDS = {"ndjson": "application/x-ndjson", "xes": "application/xml", "ocel": "application/json"}
NAMES = {"ndjson": "parcours.ndjson", "xes": "parcours.xes", "ocel": "parcours.ocel.json"}


def router(door: Door) -> APIRouter:
    """The one route of exports."""
    routes = APIRouter(tags=["export"])

    @routes.get("/v1/export", summary="All cases, claims, findings (NDJSON), or the events (XES, OCEL 2.0 JSON)")
    async def export(
        request: Request, form: Annotated[Literal["ndjson", "xes", "ocel"], Query(alias="format")] = "ndjson"
    ) -> StreamingResponse:
        who = await door.let_in(request, whole=True)
        made = {"ndjson": ndjson, "xes": xes, "ocel": ocel}[form](door, who.tenant)
        headers = {"Content-Disposition": f'attachment; filename="{NAMES[form]}"', "Cache-Control": "no-store"}
        return StreamingResponse(made, media_type=KINDS[form], headers=headers)

    return routes


async def files(door: Door, tenant: str) -> AsyncIterator[PatientFile]:
    async with door.pool.acquire() as connection:
        now = await connection.fetchval("select min(watermark) from parcours.checkpoint")
        async for file, _ in files_at(connection, tenant, None, None):
            if now is not None:
                file.advance(now)
            yield file


async def ndjson(door: Door, tenant: str) -> AsyncIterator[bytes]:
    """A row a line, each with the name of its table."""
    async for file in files(door, tenant):
        if not file.facts:
            continue
        rows: list[dict[str, Any]] = [{"table": "patients", **patient_row(file)}]
        rows += [{"table": "cases", **case_row(file, case)} for case in file.cases.values()]
        rows += [
            {"table": "claims", **claim_row(file, one, file.watermark or one.t0)}
            for one in file.claims.values()
            if one.has_begun
        ]
        rows += [{"table": "findings", **finding_row(file, found)} for found in findings(file)]
        yield b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _activity(fact: Recorded) -> str:
    return fact.type.removeprefix("parcours.").removesuffix(".v1")


def _department(fact: Recorded) -> str | None:
    said = fact.data
    return (
        getattr(said, "department", None)
        or getattr(said, "to_department", None)
        or getattr(said, "from_department", None)
    )


async def xes(door: Door, tenant: str) -> AsyncIterator[bytes]:
    """XES 1.0: a trace a case, an event a fact; the department is `org:group`."""
    yield (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<log xes.version="1.0" xes.features="" xmlns="http://www.xes-standard.org/">\n'
        b'<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>\n'
        b'<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>\n'
        b'<extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>\n'
    )
    async for file in files(door, tenant):
        for name in file.cases:
            lines = [
                f'<trace><string key="concept:name" value={_xml(name)}/><string key="patient" value={_xml(file.patient)}/>'
            ]
            for fact in file.facts:
                if concerns(file, fact, name):
                    group = _department(fact)
                    lines.append(
                        f'<event><string key="concept:name" value={_xml(_activity(fact))}/>'
                        f'<date key="time:timestamp" value="{fact.occurred_at.isoformat()}"/>'
                        + (f'<string key="org:group" value={_xml(group)}/>' if group else "")
                        + f'<string key="id" value={_xml(fact.name)}/></event>'
                    )
            yield ("\n".join(lines) + "\n</trace>\n").encode()
    yield b"</log>\n"


def _xml(text: str) -> str:
    """An attribute's value; characters XML cannot hold are left out."""
    return quoteattr(
        "".join(c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")
    )


OBJECT_TYPES = ("patient", "case", "claim", "contact")


async def ocel(door: Door, tenant: str) -> AsyncIterator[bytes]:
    """OCEL 2.0 JSON: patients, cases, claims and contacts as objects, facts as events that name them."""
    kinds: set[str] = set()
    types = [{"name": kind, "attributes": []} for kind in OBJECT_TYPES]
    yield b'{"objectTypes":' + orjson.dumps(types) + b',"objects":['
    separator = b""
    async for file in files(door, tenant):
        kinds |= {_activity(fact) for fact in file.facts}
        objects = [_object("patient", file.patient, file.patient)] if file.facts else []
        for kind, names in (("case", file.cases), ("claim", file.claims), ("contact", file.contacts)):
            objects += [_object(kind, file.patient, name) for name in names]
        if objects:
            yield separator + b",".join(orjson.dumps(one) for one in objects)
            separator = b","
    event_types = [{"name": kind, "attributes": [{"name": "department", "type": "string"}]} for kind in sorted(kinds)]
    yield b'],"eventTypes":' + orjson.dumps(event_types) + b',"events":['
    separator = b""
    async for file in files(door, tenant):
        events = [orjson.dumps(_event(file, fact)) for fact in file.facts if _activity(fact) in kinds]
        if events:
            yield separator + b",".join(events)
            separator = b","
    yield b"]}"


def _object(kind: str, patient: str, name: str) -> dict[str, Any]:
    number = f"{kind}:{patient}" if kind == "patient" else f"{kind}:{patient}:{name}"
    related = [] if kind == "patient" else [{"objectId": f"patient:{patient}", "qualifier": "of"}]
    return {"id": number, "type": kind, "attributes": [], "relationships": related}


def _event(file: PatientFile, fact: Recorded) -> dict[str, Any]:
    related = [{"objectId": f"patient:{file.patient}", "qualifier": "about"}]
    for kind, known in (("case", file.cases), ("claim", file.claims), ("contact", file.contacts)):
        name = getattr(fact.data, kind, None)
        if name in known:
            related.append({"objectId": f"{kind}:{file.patient}:{name}", "qualifier": "names"})
    group = _department(fact)
    return {
        "id": f"{fact.subject}:{fact.name}", "type": _activity(fact), "time": stamp(fact.occurred_at),
        "attributes": [{"name": "department", "value": group}] if group else [], "relationships": related,
    }  # fmt: skip
