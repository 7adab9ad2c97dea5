"""Cases, claims, patients, departments, small flows, findings: what the tables say, by HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Path, Query, Request, Response

from events.times import instant
from projections.claim import Claim
from projections.findings import department_of
from projections.patient import PatientFile
from projections.rows import Row, case_row, claim_row, finding_row, patient_row, stamp
from projections.saying import reason_rows
from services import reading
from services import tables_query as tables
from services.cursors import cursor_of, key_of
from services.files import case_told, claim_told, file_of, files_at, files_of, timeline_row
from services.guests import Problem
from services.kept import Kept
from services.query.doors import Cursor, Door, Why, answer
from services.security import Bearer
from services.sight import Sight, departments_seen, may_see

Limit = Annotated[int, Query(ge=1, le=1_000)]
Instant = Annotated[str | None, Query(max_length=40, description="RFC 3339 with an offset")]
Level = Literal["B1", "B2", "B3", "B4"]
Step = Literal["U0", "U1", "U2", "U3", "U4", "U5"]
Id = Annotated[str, Path(min_length=1, max_length=256)]
Name = Annotated[str | None, Query(min_length=1, max_length=128)]
LONGEST_STREAM = 120.0
RANKED = ("B1", "B2", "B3", "B4")


def at(name: str, text: str | None) -> datetime | None:
    """An instant of a query. Raises `Problem` 422."""
    try:
        return None if text is None else instant(text.replace(" ", "+"))
    except ValueError as wrong:
        raise Problem(422, "Not a time", f"{name} {wrong}", name, str(wrong)) from None


def plain(text: str | None) -> str | None:
    """A text for Postgres. Raises `Problem` 404 for what no row can hold."""
    if text is not None and ("\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)):
        raise Problem(404, "Not found", "no such thing can exist")
    return text


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


def router(door: Door, kept: Kept) -> APIRouter:
    """The routes that read."""
    routes = APIRouter(tags=["reading"])

    async def keep(request: Request, who: Bearer, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """A kept answer of a tenant; whoever waits for their own write gets a new one."""
        return await kept.get((name, who.tenant, who.departments), make, anew="after" in request.query_params)

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

    @routes.get("/v1/departments", summary="Who sends to whom, what comes back, how long each holds")
    async def departments(request: Request) -> Response:
        who = await door.let_in(request)

        async def make() -> Row:
            async with door.counting.acquire() as connection:
                return await tables.departments(connection, who.tenant)

        found = await keep(request, who, "departments", make)
        return answer(request, departments_seen(found, who.departments))

    @routes.get("/v1/flows", summary="Contacts by topic, week and channel: the small flows first")
    async def flows(request: Request) -> Response:
        who = await door.let_in(request)

        async def make() -> list[Row]:
            async with door.counting.acquire() as connection:
                return await tables.flows(connection, who.tenant, await tables.watermark(connection), who.departments)

        return answer(request, {"flows": await keep(request, who, "flows", make)})

    @routes.get("/v1/findings", summary="Findings, the newest first")
    async def found(
        request: Request,
        kind: Annotated[str | None, Query(pattern=r"^[a-z_]{1,40}$")] = None,
        department: Name = None,
        everything: Annotated[bool, Query(alias="all", description="Closed ones too.")] = False,  # noqa: FBT002
        before: Instant = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        who = await door.let_in(request)
        key = cast("tuple[datetime, str] | None", key_of(cursor, 2, [0]))
        async with door.pool.acquire() as connection:
            rows = await tables.open_findings(
                connection, who.tenant, limit + 1, kind=kind, department=plain(department), departments=who.departments,
                opened=(None, at("before", before)), open_only=not everything, after=key,
            )  # fmt: skip
        page = rows[:limit]
        more = (page[-1]["opened_at"], page[-1]["id"]) if len(rows) > limit else None
        return answer(request, {"findings": page, "next": cursor_of(more)})

    @routes.get("/v1/summary", summary="The figures of an establishment")
    async def summary(request: Request, as_of: Instant = None, occurred_by: Instant = None) -> Response:
        who = await door.let_in(request, whole=True)
        known, stood = at("as_of", as_of), at("occurred_by", occurred_by)
        if known is not None or stood is not None:
            return answer(request, figures(await folded_cases(door, who, known, stood), known or stood))

        async def make() -> Row:
            async with (
                door.counting.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await reading.summary(connection, who.tenant)

        return answer(request, await keep(request, who, "summary", make))

    @routes.get("/v1/accesses", summary="Who read whose file, when and why")
    async def accesses(request: Request, patient: Name = None, limit: Limit = 100) -> Response:
        who = await door.let_in(request, "admin", whole=True)
        async with door.pool.acquire() as connection:
            return answer(request, {"accesses": await tables.accesses(connection, who.tenant, plain(patient), limit)})

    return routes


def known_by_name(who: Bearer, patient: str | None, then: datetime | None) -> list[Row]:
    """Whose file to look into for what there was once and is no more: theirs whom the question names."""
    return [] if patient is None or then is None else [{"tenant": who.tenant, "patient": patient}]


async def one_case(
    door: Door, who: Bearer, case: str, patient: str | None, as_of: datetime | None, occurred_by: datetime | None,
    why: str | None,
) -> list[Row]:  # fmt: skip
    """A case of every patient who has one of that id. Raises `Problem` 404, also for another tenant's."""
    found = []
    async with door.pool.acquire() as connection:
        rows = await reading.patients_with_case(connection, who.tenant, plain(patient), plain(case) or "")
        for row in rows or known_by_name(who, plain(patient), as_of or occurred_by):
            for file in await files_of(connection, row["tenant"], row["patient"], as_of, occurred_by):
                if Sight(file, who.departments).case(case):
                    await tables.note_access(connection, who.id, who.tenant, file.patient, f"case {case}", why)
                    found.append(case_told(file, case) | {"as_of": stamp(as_of), "occurred_by": stamp(occurred_by)})
    if not found:
        raise Problem(404, "Not found", "there is no such case" + (" that was known then" if as_of else ""))
    return found


async def one_claim(
    door: Door, who: Bearer, claim: str, patient: str | None, as_of: datetime | None, occurred_by: datetime | None,
    why: str | None,
) -> list[Row]:  # fmt: skip
    """A claim of every patient who has one of that id. Raises `Problem` 404."""
    found = []
    async with door.pool.acquire() as connection:
        rows = await reading.patients_with_claim(connection, who.tenant, plain(patient), plain(claim) or "")
        for row in rows or known_by_name(who, plain(patient), as_of or occurred_by):
            for file in await files_of(connection, row["tenant"], row["patient"], as_of, occurred_by):
                one = file.claims.get(claim)
                if one is not None and one.has_begun and Sight(file, who.departments).claim(one):
                    await tables.note_access(connection, who.id, who.tenant, file.patient, f"claim {claim}", why)
                    found.append(claim_told(file, claim) | {"as_of": stamp(as_of), "occurred_by": stamp(occurred_by)})
    if not found:
        raise Problem(404, "Not found", "there is no such claim" + (" that was known then" if as_of else ""))
    return found


async def folded_cases(door: Door, who: Bearer, as_of: datetime | None, occurred_by: datetime | None) -> list[Row]:
    """Every case of a tenant at an instant. Raises `Problem` 503 when it takes too long."""
    rows: list[Row] = []

    def note(file: PatientFile) -> None:
        rows.extend(
            case_row(file, case) | {"first_sign": stamp(case.first_sign), "last_sign": stamp(case.last_sign)}
            for case in file.cases.values()
        )

    await fold_each(door, who, as_of, occurred_by, note)
    return rows


async def fold_each(
    door: Door, who: Bearer, as_of: datetime | None, occurred_by: datetime | None, note: Callable[[PatientFile], None]
) -> None:
    """Give every file of a tenant at an instant to `note`, folded from the timeline. Raises `Problem` 503 when it takes too long."""
    try:
        async with asyncio.timeout(LONGEST_STREAM), door.counting.acquire() as connection:
            async for file, _ in files_at(connection, who.tenant, as_of, occurred_by):
                note(file)
                await asyncio.sleep(0)
    except TimeoutError:
        raise Problem(503, "Too much", f"folding the timeline takes longer than {LONGEST_STREAM:.0f} s") from None


async def folded_claims(
    door: Door, who: Bearer, as_of: datetime | None, occurred_by: datetime | None
) -> list[tuple[Row, datetime]]:
    """Every claim of a tenant that was not over at an instant, with when its answer was due: the furthest step first, then those that had
    waited longest. Raises `Problem` 503 when it takes too long.
    """
    found: list[tuple[Claim, Row]] = []

    def note(file: PatientFile) -> None:
        for claim in file.claims.values():
            if claim.is_awaited and Sight(file, who.departments).claim(claim):
                due, here = stamp(claim.current["answer"].due_at), department_of(file, claim)
                row = claim_row(file, claim, file.watermark or claim.t0)
                found.append((claim, row | {"due_at": due, "department": here}))

    await fold_each(door, who, as_of, occurred_by, note)
    found.sort(key=lambda one: (one[0].t0, one[1]["patient"], one[0].id))
    found.sort(key=lambda one: str(one[1]["ladder"]), reverse=True)
    return [(row, claim.current["answer"].due_at) for claim, row in found]


def in_order(rows: list[Row], *, by_age: bool) -> list[Row]:
    """The worst first, then the longest there; or the oldest first."""
    rows.sort(key=lambda row: (row["first_sign"] or "", row["patient"], row["case"]))
    if not by_age:
        rows.sort(key=lambda row: RANKED.index(row["level"]) if row["level"] else -1, reverse=True)
    return rows


def page_of(rows: list[Row], cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
    """A page of what was known then, and where the next begins: such a list does not change. Raises `Problem` 422."""
    (start,) = key_of(cursor, 1, ()) or ("0",)
    if not str(start).isdecimal():
        raise Problem(422, "Not a cursor", "next must be what the page before said", "next")
    end = int(start) + limit
    return rows[int(start) : end], cursor_of((str(end),) if len(rows) > end else None)


def figures(rows: Sequence[Row], when: datetime | None) -> Row:
    """The figures of cases as they stood at an instant."""
    return {
        "at": stamp(when), "cases": len(rows), "handoffs": sum(row["handoffs"] for row in rows),
        "hops": sum(row["hops"] for row in rows), "returns": sum(row["returns"] for row in rows),
        "direct_returns": sum(row["direct_returns"] for row in rows),
        "levels": {level: sum(row["level"] == level for row in rows) for level in RANKED},
        "bounced_cases": sum(row["bounced"] for row in rows),
    }  # fmt: skip
