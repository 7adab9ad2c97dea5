"""What lists and figures were at an instant, folded from the timeline while one waits; and cases and claims by their ids, now or then."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from projections.claim import Claim
from projections.findings import department_of
from projections.patient import PatientFile
from projections.rows import Row, case_row, claim_row, stamp
from services import reading
from services import tables_query as tables
from services.cursors import cursor_of, key_of
from services.files import case_told, claim_told, files_at, files_of
from services.guests import Problem
from services.query.doors import Door
from services.query.words import plain
from services.security import Bearer
from services.sight import Sight

LONGEST_STREAM = 120.0
RANKED = ("B1", "B2", "B3", "B4")


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
