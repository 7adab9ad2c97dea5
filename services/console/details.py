"""The pages of one thing: a case, a claim, a patient, a department. Every look at a patient's file leaves a record."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from projections.claim import Claim
from projections.patient import PatientFile
from services import reading
from services import tables_alerts as alerts
from services import tables_query as tables
from services.console import pages
from services.console.frame import PAGE, Console, ignored, instant_of, text_of
from services.console.listing import departments_of
from services.console.pages import View
from services.console.visits import Looking, Missing
from services.files import claim_told, file_of, files_of
from services.sight import Sight, may_see

MOST_FACTS = 300
NO_MOVES = {
    "holds": 0, "holds_bounced": 0, "sent": 0, "came_back": 0, "returned_share": None, "sterile_share": None, "held_hours": None,
}  # fmt: skip


def add(routes: APIRouter, console: Console) -> None:
    """The routes of these pages."""
    _case(routes, console)
    _claim(routes, console)
    _patient(routes, console)
    _department(routes, console)


def _case(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/cases/{case:path}")
    async def case(
        request: Request, lang: str, case: str, patient: str = "", as_of: str = "", everything: str = ""
    ) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            rows = await reading.patients_with_case(connection, who.tenant, text_of(patient), text_of(case) or "")
            shown = []
            for row in rows:
                now_file = await file_of(connection, who.tenant, row["patient"], None)
                if not Sight(now_file, who.departments).case(case):
                    continue
                await tables.note_access(connection, who.name, who.tenant, row["patient"], f"case {case}", None)
                at = instant_of(as_of)
                files = [now_file] if at is None else await files_of(connection, who.tenant, row["patient"], at)
                stand = await alerts.standing(connection, who.tenant, row["patient"], who.departments)
                mine = pages.alert_rows(one for one in stand if one["case_id"] == case)
                shown += [
                    case_shown(view, now_file, file, case, at) | {"alerts": mine} for file in pages.having(files, case)
                ]
        if not shown:
            raise Missing
        return console.page(
            request, who, view, "case", cases=shown, name=case, most=None if everything else MOST_FACTS,
            ignored=ignored(as_of=(as_of, instant_of(as_of))),
        )  # fmt: skip


def _claim(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/claims/{claim:path}")
    async def claim(request: Request, lang: str, claim: str, patient: str = "", as_of: str = "") -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            rows = await reading.patients_with_claim(connection, who.tenant, text_of(patient), text_of(claim) or "")
            shown, at = [], instant_of(as_of)
            now_files = (
                [] if at is None else [await file_of(connection, who.tenant, row["patient"], None) for row in rows]
            )
            is_known = any(_sees(who, file, claim) for file in now_files)
            for row in rows:
                for file in await files_of(connection, who.tenant, row["patient"], at):
                    if (one := _sees(who, file, claim)) is None:
                        continue
                    await tables.note_access(connection, who.name, who.tenant, file.patient, f"claim {claim}", None)
                    stand = await alerts.standing(connection, who.tenant, file.patient, who.departments)
                    mine = pages.alert_rows(alert for alert in stand if alert["claim_id"] == claim)
                    shown.append(
                        claim_told(file, claim) | {"has_case": (one.said.case or "") in file.cases, "alerts": mine}
                    )
        if not shown and not is_known:
            raise Missing
        return console.page(
            request, who, view, "claim", claims=shown, name=claim, patient=patient, as_of=at, ignored=ignored(as_of=(as_of, at)),
        )  # fmt: skip


def _sees(who: Looking, file: PatientFile, claim: str) -> Claim | None:
    """A claim of a file, where it has begun and is shown to whoever looks."""
    one = file.claims.get(claim)
    return one if one is not None and one.has_begun and Sight(file, who.departments).claim(one) else None


def _patient(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/patients/{patient:path}")
    async def patient(request: Request, lang: str, patient: str) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            file = await file_of(connection, who.tenant, text_of(patient) or "", None)
            sight = Sight(file, who.departments)
            if not sight.facts:
                raise Missing
            await tables.note_access(connection, who.name, who.tenant, patient, "patient", None)
        return console.page(
            request, who, view, "patient", name=patient, cases=[pages.case_summary(file, name) for name in sight.cases],
            claims=[claim_told(file, name) for name in sight.claims], findings=pages.finding_rows(file, sight.findings),
            timeline=pages.happened(sight.facts[-MOST_FACTS:], view), of_all=len(sight.facts),
        )  # fmt: skip


def _department(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/departments/{department:path}")
    async def department(request: Request, lang: str, department: str) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            if not may_see(who.departments, [department]):
                raise Missing
            asked = tables.Asked(who.tenant, "open", None, text_of(department), departments=who.departments)
            held, _ = await tables.cases_by_level(connection, asked, PAGE, None)
            waiting, _ = await tables.claims(connection, who.tenant, PAGE, None, department=text_of(department))
        found = await departments_of(console, who)
        row = next((one for one in found["departments"] if one["department"] == department), None)
        if row is None and not waiting:
            raise Missing
        row = row or NO_MOVES
        away = {one["there"]: one for one in found["moves"] if one["here"] == department}
        back = {one["here"]: one["returns"] for one in found["moves"] if one["there"] == department and one["returns"]}
        moves = [
            {"there": name, "moves": 0, "sterile": 0} | away.get(name, {}) | {"returns": back.get(name, 0)}
            for name in away.keys() | back.keys()
        ]
        moves.sort(key=lambda one: (-one["moves"], -one["returns"], one["there"]))
        return console.page(
            request, who, view, "department", name=department, row=row, held=held, waiting=waiting, moves=moves
        )  # fmt: skip


def case_shown(view: View, now_file: PatientFile, file: PatientFile, name: str, at: datetime | None) -> dict[str, Any]:
    """A case as it is, or as it was known at an instant with what came to be known since in grey."""
    then = None if at is None else now_file
    known = name in file.cases
    stops = {*pages.instants(now_file, name, view)} | ({at} if at else set())
    return {
        "patient": now_file.patient, "stops": sorted(stops), "as_of": at, "known": known,
        "row": pages.case_summary(file, name) if known else None,
        "chart": pages.lanes(file, name, view, then, at) if known else "",
        "story": pages.story(file, name, view) if known else [],
        "timeline": pages.timeline(file, name, view, then),
        "silence": pages.silence(now_file, name, view) if name in now_file.cases else None,
        "claims": [claim_told(file, one.id) for one in file.claims.values() if one.said.case == name and one.has_begun],
    }  # fmt: skip
