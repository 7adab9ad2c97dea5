"""Everything as it stood at an instant: `--as-of`, `--occurred-by`."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from events.times import instant
from projections.findings import department_of, findings
from projections.patient import PatientFile
from projections.rows import Row, case_row, claim_row, finding_row, patient_row, stamp
from projections.saying import reason_rows
from services.command_line.facts import progress
from services.command_line.showing import Exit, fail, run, said
from services.files import files_at
from services.tables import connected

AsOf = Annotated[str | None, typer.Option("--as-of", help="As it was known at this instant.")]
OccurredBy = Annotated[str | None, typer.Option("--occurred-by", help="As it stood at this instant, known today.")]


@dataclass(slots=True)
class Then:
    """What every table would have shown at an instant."""

    at: datetime
    facts: int = 0
    cases: list[Row] = field(default_factory=list)
    bounced_patients: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    patients: list[Row] = field(default_factory=list)
    answered_late: int = 0
    answered_in_time: int = 0
    withdrawn: int = 0


def everything_at(found: dict[str, Any], tenant: str | None, as_of: str | None, occurred_by: str | None) -> Then:
    """Everything at an instant, streamed over the timeline with a bar."""
    known, stood = at_instant("--as-of", as_of), at_instant("--occurred-by", occurred_by)

    async def read() -> Then:
        then = Then(stood or known or datetime.now(UTC))
        async with connected(str(found["postgres"]), "as-of") as connection:
            total = await connection.fetchval(
                "select count(*) from parcours.timeline where $1::text is null or tenant = $1", tenant
            )
            with progress() as bar:
                task = bar.add_task(said("folding", "calcul"), total=total, rate="")
                async for file, read_facts in files_at(connection, tenant, known, stood):
                    note(then, file)
                    bar.update(task, advance=read_facts, rate=f"{bar.tasks[task].speed or 0:,.0f}/s")
        worst = {level: n for n, level in enumerate(["B4", "B3", "B2", "B1", None])}
        then.cases.sort(key=lambda row: (worst[row["level"]], row["opened_at"] or "", row["case"], row["patient"]))
        then.claims.sort(key=lambda row: (row["t0"], row["claim"]))
        then.claims.sort(key=lambda row: row["ladder"], reverse=True)
        return then

    return run(read())


def note(then: Then, file: PatientFile) -> None:
    """Add a person's file to what was at an instant."""
    if not file.facts:
        return
    then.facts += len(file.facts)
    then.patients.append(patient_row(file))
    by_case = {one.case: one for one in findings(file) if one.kind == "bounced_case"}
    for case in file.cases.values():
        one = by_case.get(case.id)
        then.cases.append(
            case_row(file, case) | {
                "finding": one.id if one else None, "open": bool(one and one.is_open),
                "opened_at": stamp(one.opened_at) if one else None, "reasons": reason_rows(file, one) if one else [],
            }
        )  # fmt: skip
    then.bounced_patients += [
        finding_row(file, one) | {"reasons": reason_rows(file, one)}
        for one in findings(file) if one.kind == "bounced_patient"
    ]  # fmt: skip
    told = {one.claim: one for one in findings(file) if one.kind == "unanswered_claim"}
    for claim in file.claims.values():
        if not claim.has_begun:
            continue
        if claim.is_over:
            answer = claim.current["answer"].state
            then.answered_late += answer == "met_late"
            then.answered_in_time += answer == "met"
            then.withdrawn += claim.state == "withdrawn"
            continue
        one = told.get(claim.id)
        then.claims.append(
            claim_row(file, claim, then.at) | {
                "due_at": stamp(claim.current["answer"].due_at), "department": department_of(file, claim),
                "reasons": reason_rows(file, one) if one else [],
            }
        )  # fmt: skip


def summary_of(then: Then, tenant: str | None) -> Row:
    """The figures at an instant, as `summary` gives those of now."""
    cases = then.cases
    return {
        "tenant": tenant, "watermark": stamp(then.at), "events": then.facts, "cases": len(cases),
        **{name: sum(row[name] for row in cases) for name in ("handoffs", "hops", "returns", "direct_returns")},
        "cases_with_returns": sum(row["returns"] >= 1 for row in cases),
        "cases_with_2_returns": sum(row["returns"] >= 2 for row in cases),
        "cases_with_3_returns": sum(row["returns"] >= 3 for row in cases),
        "cases_with_aba": sum(row["direct_returns"] >= 1 for row in cases),
        "cases_with_abab": sum(row["alternation"] >= 4 for row in cases),
        "cases_with_3_hops": sum(row["hops"] >= 3 for row in cases),
        "cases_without_department": sum(not row["path"] for row in cases),
        "max_hops": max((row["hops"] for row in cases), default=0),
        "levels": {f"B{n}": sum(row["level"] == f"B{n}" for row in cases) for n in range(1, 5)},
        "bounced_cases": sum(row["bounced"] for row in cases), "bounced_patients": sum(row["bounced"] for row in then.patients),
        "claims": {
            "open": len(then.claims), "overdue": sum(row["unanswered"] for row in then.claims),
            "answered_in_time": then.answered_in_time, "answered_late": then.answered_late,
            "withdrawn": then.withdrawn,
        },
    }  # fmt: skip


def at_instant(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else instant(text)
    except ValueError as wrong:
        fail(f"{option} {wrong}", Exit.USAGE)
