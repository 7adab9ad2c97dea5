"""From what a batch found to the rows it writes, in the order of the columns of services/tables_shapes."""

import hashlib
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from events.envelope import Recorded, parsed
from events.identity import bared, canonical, unreadable
from projections.contact import Contact
from projections.findings import department_of
from projections.known import grown
from projections.path import LEVELS
from projections.patient import PatientFile
from projections.rows import clock_rows, contact_row, is_bounced
from projections.saying import reason_rows
from projections.standing import Touched
from services.projector.changes import Changes, Row, Stored
from services.projector.held import Held


def person_rows(changes: Changes, held: Held, touched: Touched, changed: AbstractSet[str]) -> None:
    """The rows of a person that a batch changed."""
    file, stored = held.file, held.stored
    last = file.facts[-1].occurred_at if file.facts else None
    if not file.facts and not held.is_quarantined:
        if stored.person or not stored.is_nobody:
            changes.emptied.append(held.person)
            changes.forgotten_acts.append(held.person)
            changes.gone.append(held.person)
            held.stored = Stored()
        return
    changes.patients.add(
        (*held.person, held.partition, is_bounced(file), len(file.cases), len(file.claims), len(file.facts), held.next_due,
         last, held.is_quarantined),
        is_new=not stored.person,
    )  # fmt: skip
    stored.person = True
    if held.is_quarantined:
        return
    if touched.anew:
        if stored.is_sure:
            _forget(changes, held)
        else:
            changes.emptied.append(held.person)
            stored = held.stored = Stored(person=True)
        touched = Touched(set(file.cases), set(file.claims), contacts=set(file.contacts), acts=True)
        changed = set(held.found)
    for name in touched.cases:
        changes.cases.add(_case(file, name), is_new=name not in stored.cases)
        stored.cases = grown(stored.cases, name)
    for name in touched.claims:
        changes.claims.add(_claim(file, name, file.watermark), is_new=name not in stored.claims)
        stored.claims = grown(stored.claims, name)
    for name in changed:
        if name in held.found:
            changes.findings.add(_finding(held, name), is_new=name not in stored.findings)
            stored.findings = grown(stored.findings, name)
        elif name in stored.findings:
            changes.lost_findings.append((file.tenant, name))
            stored.findings = stored.findings - {name}
    for name in touched.contacts:
        row = _contact(file, file.contacts[name])
        if row is not None:
            changes.contacts.add(row, is_new=name not in stored.contacts)
            stored.contacts = grown(stored.contacts, name)
    if touched.acts:
        changes.forgotten_acts.append(held.person)
        changes.acts += [(*held.person, a.alert, a.fact, a.kind, a.at, a.by, a.until, a.reason) for a in file.acts]


def _forget(changes: Changes, held: Held) -> None:
    """A file folded anew: what it does not hold any more, the tables forget."""
    file, stored = held.file, held.stored
    shown = {name for name, contact in file.contacts.items() if contact_row(contact) is not None}
    changes.lost_cases += [(*held.person, name) for name in stored.cases - file.cases.keys()]
    changes.lost_claims += [(*held.person, name) for name in stored.claims - file.claims.keys()]
    changes.lost_contacts += [(*held.person, name) for name in stored.contacts - shown]
    changes.lost_findings += [(file.tenant, name) for name in stored.findings - held.found.keys()]
    stored.cases = stored.cases & file.cases.keys()
    stored.claims = stored.claims & file.claims.keys()
    stored.contacts = stored.contacts & shown
    stored.findings = stored.findings & held.found.keys()


def _finding(held: Held, name: str) -> Row:
    found, seen = held.found[name], held.seen[name]
    return (
        held.file.tenant, found.id, found.kind, found.patient, found.case, found.claim, found.topic, found.department,
        found.level, found.is_open, found.opened_at, seen.at, seen.is_old, reason_rows(held.file, found),
    )  # fmt: skip


def _contact(file: PatientFile, contact: Contact) -> Row | None:
    row = contact_row(contact)
    if row is None:
        return None
    return (
        file.tenant, file.patient, row["contact"], row["at"], row["topic"], row["channel"], row["department"], row["case"],
        row["courtesy"],
    )  # fmt: skip


def _case(file: PatientFile, name: str) -> Row:
    case = file.cases[name]
    path = case.path
    visits = path.visits
    return (
        file.tenant, file.patient, name, case.topic, [visit.department for visit in visits], path.handoffs, path.hops,
        len(path.seen), path.returns, path.direct_returns, path.alternation, path.sterile, path.carried, LEVELS[path.level],
        path.is_bounced, "closed" if case.closed else "open", path.here, visits[-1].since if visits else None,
        path.answered_at, case.first_sign, case.last_sign,
        [visit.since for visit in visits], [visit.planned for visit in visits],
        [visit.fact in path.sterile_visits for visit in visits],
    )  # fmt: skip


def _claim(file: PatientFile, name: str, now: datetime | None) -> Row:
    claim = file.claims[name]
    at = now or claim.t0
    answer = claim.current.get("answer")
    late: Any = {"met": False, "met_late": True}.get(answer.state) if answer and claim.is_over else None
    return (
        file.tenant, file.patient, name, claim.said.case, claim.jurisdiction.id, claim.t0, claim.state, claim.is_over,
        claim.is_unanswered(at), claim.ladder(at), len(claim.chases), claim.answered_at, answer.due_at if answer else None,
        late, department_of(file, claim), clock_rows(claim),
    )  # fmt: skip


def timeline_row(held: Held, fact: Recorded) -> Row:
    """A fact as the timeline holds it."""
    file = held.file
    is_conflicting = bool(file.conflicts) and fact.identity in file.conflicts
    return (
        file.tenant, file.patient, fact.subject, fact.source, fact.id, fact.type, fact.occurred_at, fact.recorded_at,
        held.partition, fact.data is not None, is_conflicting, _kept(file, fact),
    )  # fmt: skip


def replaced_row(held: Held, fact: Recorded) -> Row:
    """What the timeline is to hold instead of another copy of a fact, or of more than may be kept of it."""
    file = held.file
    return (
        file.tenant, file.patient, fact.subject, fact.source, fact.id, fact.type, fact.occurred_at, fact.recorded_at,
        fact.data is not None, _kept(file, fact),
    )  # fmt: skip


def _kept(file: PatientFile, fact: Recorded) -> bytes:
    return bared(fact.raw) if file.is_bared(fact) else fact.raw


def erased_row(fact: Recorded, *, is_conflict: bool) -> Row:
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
