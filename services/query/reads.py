"""Cases, claims and patients: what the tables say of them, by HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request, Response

from projections.rows import Row, case_row, claim_row, finding_row, patient_row, stamp
from projections.saying import reason_rows
from services import tables_query as tables
from services.cursors import cursor_of, key_of
from services.files import file_of, timeline_row
from services.guests import Problem
from services.query.doors import Cursor, Door, Why, answer
from services.query.folded import folded_cases, folded_claims, in_order, one_case, one_claim, page_of
from services.query.words import Id, Instant, Level, Limit, Name, Step, at, plain
from services.sight import Sight, may_see


def router(door: Door) -> APIRouter:
    """The routes that read what is known of somebody."""
    routes = APIRouter(tags=["reading"])
    _cases(routes, door)
    _one_case(routes, door)
    _claims(routes, door)
    _one_claim(routes, door)
    _people(routes, door)
    return routes


def _cases(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/cases", summary="Cases, worst first or oldest first")
    async def cases(
        request: Request,
        state: Literal["open", "closed", "all"] = "open",
        min_level: Level | None = None,
        department: Name = None,
        topic: Name = None,
        patient: Name = None,
        older_than_days: Annotated[int | None, Query(ge=0, le=36_500)] = None,
        sort: Literal["endured", "level", "age"] = "endured",
        limit: Limit = 100,
        cursor: Cursor = None,
        as_of: Instant = None,
        occurred_by: Instant = None,
    ) -> Response:
        """`as_of`: as was known at that instant, folded from the timeline while you wait (30 s for a million facts)."""
        who = await door.let_in(request)
        known, stood = at("as_of", as_of), at("occurred_by", occurred_by)
        if known is not None or stood is not None:
            then = known or cast("datetime", stood)
            young = "" if older_than_days is None else stamp(then - timedelta(days=older_than_days)) or ""
            wanted = [
                row for row in in_order(await folded_cases(door, who, known, stood), by_age=sort == "age")
                if (state == "all" or row["state"] == state) and (min_level is None or (row["level"] or "") >= min_level)
                and (department is None or row["department"] == department) and (topic is None or row["topic"] == topic)
                and (patient is None or row["patient"] == patient) and (not young or row["first_sign"] < young)
                and may_see(who.departments, [row["department"], *row["path"]])
            ]  # fmt: skip
            page, following = page_of(wanted, cursor, limit)
            return answer(request, {"cases": page, "next": following})
        async with door.pool.acquire() as connection:
            now = await tables.watermark(connection) or datetime.now(UTC)
            asked = tables.Asked(
                who.tenant, None if state == "all" else state, min_level, plain(department), plain(topic), plain(patient),
                older_than=None if older_than_days is None else now - timedelta(days=older_than_days),
                departments=who.departments,
            )  # fmt: skip
            if sort == "age":
                page, more = await tables.cases_by_age(connection, asked, limit, key_of(cursor, 3, [0]))
            else:
                page, more = await tables.cases_by_level(connection, asked, limit, key_of(cursor, 4, [1]))
        token = cursor_of(more)
        link = (
            None if token is None else str(request.url.include_query_params(next=token).replace(scheme="", netloc=""))
        )
        return answer(request, {"cases": page, "next": token}, link_next=link)


def _one_case(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/cases/{case:path}/timeline", summary="The facts of a case, without the patient's words")
    async def timeline(request: Request, case: Id, patient: Name = None, why: Why = None) -> Response:
        who = await door.let_in(request)
        told = await one_case(door, who, case, patient, None, None, why)
        return answer(
            request, {"timelines": [{"patient": one["patient"], "timeline": one["timeline"]} for one in told]}
        )

    @routes.get("/v1/cases/{case:path}", summary="A case; an id that two patients share answers with both")
    async def case(
        request: Request,
        case: Id,
        patient: Name = None,
        as_of: Instant = None,
        occurred_by: Instant = None,
        why: Why = None,
    ) -> Response:
        who = await door.let_in(request)
        found = await one_case(door, who, case, patient, at("as_of", as_of), at("occurred_by", occurred_by), why)
        return answer(request, {"cases": found})


def _claims(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/claims", summary="Claims that are not over, the furthest step first")
    async def claims(
        request: Request,
        ladder: Step | None = None,
        overdue: bool = False,  # noqa: FBT001, FBT002 - a query
        due_within_hours: Annotated[int | None, Query(ge=0, le=87_600)] = None,
        department: Name = None,
        limit: Limit = 100,
        cursor: Cursor = None,
        as_of: Instant = None,
        occurred_by: Instant = None,
    ) -> Response:
        """`as_of`: as was known at that instant, folded from the timeline while you wait (30 s for a million facts)."""
        who = await door.let_in(request)
        known, stood = at("as_of", as_of), at("occurred_by", occurred_by)
        if known is not None or stood is not None:
            then = known or cast("datetime", stood)
            soon = None if due_within_hours is None else then + timedelta(hours=due_within_hours)
            wanted = [
                row for row, due in await folded_claims(door, who, known, stood)
                if (ladder is None or row["ladder"] == ladder) and (not overdue or row["ladder"] >= "U3")
                and (department is None or row["department"] == department) and (soon is None or due < soon)
            ]  # fmt: skip
            page, following = page_of(wanted, cursor, limit)
            return answer(request, {"claims": page, "next": following})
        async with door.pool.acquire() as connection:
            now = await tables.watermark(connection) or datetime.now(UTC)
            before = None if due_within_hours is None else now + timedelta(hours=due_within_hours)
            page, more = await tables.claims(
                connection, who.tenant, limit, key_of(cursor, 4, [1]), ladder=ladder, overdue=overdue, due_before=before,
                department=plain(department), departments=who.departments,
            )  # fmt: skip
        return answer(request, {"claims": page, "next": cursor_of(more)})


def _one_claim(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/claims/{claim:path}", summary="A claim: its clocks, and why each stands where it stands")
    async def claim(
        request: Request,
        claim: Id,
        patient: Name = None,
        as_of: Instant = None,
        occurred_by: Instant = None,
        why: Why = None,
    ) -> Response:
        who = await door.let_in(request)
        found = await one_claim(door, who, claim, patient, at("as_of", as_of), at("occurred_by", occurred_by), why)
        return answer(request, {"claims": found})


def _people(routes: APIRouter, door: Door) -> None:
    @routes.get("/v1/patients/{patient:path}", summary="A person: cases, claims, findings, timeline")
    async def patient(
        request: Request, patient: Id, as_of: Instant = None, occurred_by: Instant = None, why: Why = None
    ) -> Response:
        who = await door.let_in(request)
        known, stood = at("as_of", as_of), at("occurred_by", occurred_by)
        async with door.pool.acquire() as connection:
            file = await file_of(connection, who.tenant, plain(patient) or "", known, stood)
            sight = Sight(file, who.departments)
            if not sight.facts:
                raise Problem(404, "Not found", "there is no such patient")
            await tables.note_access(connection, who.id, who.tenant, patient, "patient", why)
        return answer(request, file_told(sight))


def file_told(sight: Sight) -> Row:
    """A person's file: what there is of them for whoever asks, each with a line of its own."""
    file = sight.file
    now = file.watermark
    seen = sight.findings
    totals = {
        "bounced": any(one.kind.startswith("bounced") for one in seen), "cases": len(sight.cases), "claims": len(sight.claims),
    }  # fmt: skip
    return (
        patient_row(file)
        | ({} if sight.only is None else totals)
        | {
            "case_list": [case_row(file, file.cases[name]) for name in sight.cases],
            "claim_list": [claim_row(file, one, now or one.t0) for one in map(file.claims.__getitem__, sight.claims)],
            "findings": [finding_row(file, one) | {"reasons": reason_rows(file, one)} for one in seen],
            "timeline": [timeline_row(fact) for fact in sight.facts],
        }
    )
