"""From what a batch found to the rows it writes, in the order of the columns of services/tables_projector."""

import hashlib
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from events.envelope import Recorded, parsed
from events.identity import canonical, unreadable
from projections.findings import department_of
from projections.patient import PatientFile
from projections.rows import case_row, claim_row, contact_row, patient_row
from projections.saying import reason_rows
from projections.standing import Touched
from services.projector.changes import Changes
from services.projector.held import Held


def person_rows(changes: Changes, held: Held, touched: Touched, changed: AbstractSet[str]) -> None:
    """The rows of a person that a batch changed."""
    file = held.file
    last = file.facts[-1].occurred_at if file.facts else None
    if not file.facts and not held.is_quarantined:
        changes.emptied.append(held.person)
        changes.forgotten_acts.append(held.person)
        changes.gone.append(held.person)
        return
    row: Any = patient_row(file)
    changes.patients.append(
        (*held.person, held.partition, row["bounced"], row["cases"], row["claims"], len(file.facts), held.next_due, last,
         held.is_quarantined)
    )  # fmt: skip
    if held.is_quarantined:
        return
    if touched.anew:
        changes.emptied.append(held.person)
        touched = Touched(set(file.cases), set(file.claims), contacts=set(file.contacts), acts=True)
        changed = set(held.found)
    changes.cases += [_case(file, name) for name in sorted(touched.cases)]
    changes.claims += [_claim(file, name, file.watermark) for name in sorted(touched.claims)]
    changes.findings += [_finding(held, name) for name in sorted(changed) if name in held.found]
    for name in sorted(touched.contacts):
        row = contact_row(file.contacts[name])
        if row is not None:
            changes.contacts.append((*held.person, *row.values()))
    if touched.acts:
        changes.forgotten_acts.append(held.person)
        changes.acts += [(*held.person, a.alert, a.fact, a.kind, a.at, a.by, a.until, a.reason) for a in file.acts]
    changes.lost_findings += [(file.tenant, name) for name in sorted(changed) if name not in held.found]


def _finding(held: Held, name: str) -> tuple[Any, ...]:
    found, seen = held.found[name], held.seen[name]
    return (
        held.file.tenant, found.id, found.kind, found.patient, found.case, found.claim, found.topic, found.department,
        found.level, found.is_open, found.opened_at, seen.at, seen.is_old, reason_rows(held.file, found),
    )  # fmt: skip


def _case(file: PatientFile, name: str) -> tuple[Any, ...]:
    case = file.cases[name]
    row = case_row(file, case)
    since = case.path.visits[-1].since if case.path.visits else None
    return (
        file.tenant, file.patient, name, row["topic"], row["path"], row["handoffs"], row["hops"], row["distinct"],
        row["returns"], row["direct_returns"], row["alternation"], row["sterile"], row["carried"], row["level"],
        row["bounced"], row["state"], row["department"], since, case.path.answered_at, case.first_sign, case.last_sign,
        [visit.since for visit in case.path.visits], [visit.planned for visit in case.path.visits],
        [visit.fact in case.path.sterile_visits for visit in case.path.visits],
    )  # fmt: skip


def _claim(file: PatientFile, name: str, now: datetime | None) -> tuple[Any, ...]:
    claim = file.claims[name]
    row = claim_row(file, claim, now or claim.t0)
    answer = claim.current.get("answer")
    late = {"met": False, "met_late": True}.get(answer.state) if answer and claim.is_over else None
    return (
        file.tenant, file.patient, name, claim.said.case, claim.jurisdiction.id, claim.t0, claim.state, claim.is_over,
        row["unanswered"], row["ladder"], len(claim.chases), claim.answered_at, answer.due_at if answer else None,
        late, department_of(file, claim), row["clocks"],
    )  # fmt: skip


def erased_row(fact: Recorded, *, is_conflict: bool) -> tuple[Any, ...]:
    content = hashlib.sha256(canonical(parsed(fact.raw))).digest()
    unknown = None if fact.data is not None else fact.type
    return (
        fact.tenant,
        fact.subject,
        unreadable(fact.tenant, *fact.identity),
        fact.recorded_at,
        content,
        unknown,
        is_conflict,
    )
