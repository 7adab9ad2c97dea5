"""From a patient's file to the rows people and programs read, and to the JSON of EVENTS section 6."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from events.contacts import ContactReceived
from events.envelope import Recorded, written
from projections.claim import Claim
from projections.contact import Contact
from projections.findings import Finding, findings
from projections.path import LEVELS, Case
from projections.patient import PatientFile
from projections.people import People, people
from projections.policy import Policy

Row = dict[str, Any]


def stamp(at: datetime | None) -> str | None:
    return None if at is None else written(at)


def case_row(file: PatientFile, case: Case) -> Row:
    """One case as it stands: path, measures and level of its current path."""
    path = case.path
    return {
        "tenant": file.tenant, "case": case.id, "patient": file.patient, "topic": case.topic,
        "path": list(path.departments), "handoffs": path.handoffs, "hops": path.hops,
        "distinct": len(path.seen), "returns": path.returns, "direct_returns": path.direct_returns,
        "alternation": path.alternation, "sterile": path.sterile, "carried": path.carried,
        "level": LEVELS[path.level], "bounced": path.is_bounced,
        "state": "closed" if case.closed else "open", "department": path.here,
        "since": stamp(path.visits[-1].since) if path.visits else None,
        "substantive_answer_at": stamp(path.answered_at),
    }  # fmt: skip


def contact_row(contact: Contact) -> Row | None:
    """A contact received, with the topic it is now known to be about; None for one only handled or sent."""
    first = contact.received
    if first is None or not isinstance(first.data, ContactReceived):
        return None
    said = first.data
    return {
        "contact": contact.id, "at": first.occurred_at, "topic": contact.about, "channel": said.channel,
        "department": said.department, "case": min(contact.cases, default=None), "courtesy": contact.is_courtesy,
    }  # fmt: skip


def clock_rows(claim: Claim) -> list[Row]:
    """The clocks of a claim, by name then instance."""
    paused = claim.pauses.credited is not None
    return [
        {
            "clock": clock.name, "instance": clock.instance, "state": clock.shown(paused=paused),
            "started_at": stamp(clock.started_at), "due_at": stamp(clock.due_at), "met_at": stamp(clock.met_at),
        }
        for clock in sorted(claim.clocks, key=lambda c: (c.name, c.instance))
    ]  # fmt: skip


def claim_row(file: PatientFile, claim: Claim, now: datetime) -> Row:
    """One claim as it stands at an instant."""
    return {
        "tenant": file.tenant, "claim": claim.id, "patient": file.patient, "case": claim.said.case,
        "jurisdiction": claim.jurisdiction.id, "t0": stamp(claim.t0), "state": claim.state,
        "unanswered": claim.is_unanswered(now), "ladder": claim.ladder(now), "chases": len(claim.chases),
        "answered_at": stamp(claim.answered_at), "clocks": clock_rows(claim),
    }  # fmt: skip


def finding_row(file: PatientFile, found: Finding) -> Row:
    return {
        "tenant": file.tenant, "id": found.id, "kind": found.kind, "patient": found.patient, "case": found.case,
        "claim": found.claim, "topic": found.topic, "department": found.department, "level": found.level,
        "open": found.is_open, "opened_at": stamp(found.opened_at),
    }  # fmt: skip


def is_bounced(file: PatientFile) -> bool:
    """Whether a person has a case now at B2 or above, or was bounced without one."""
    for case in file.cases.values():
        if case.path.is_bounced:
            return True
    return any([topic.opened_at is not None for topic in file.topics.values()])


def patient_row(file: PatientFile) -> Row:
    """One row for each person with at least one known fact left."""
    return {
        "tenant": file.tenant, "patient": file.patient, "bounced": is_bounced(file),
        "cases": len(file.cases), "claims": len(file.claims),
    }  # fmt: skip


@dataclass(slots=True)
class Log:
    """Facts of one partition on their way to a result: `fold` needs no server."""

    policy: Policy
    facts: dict[str, list[Recorded]] = field(default_factory=dict)
    watermark: datetime | None = None
    parked: set[object] = field(default_factory=set)

    def add(self, fact: Recorded) -> None:
        """A valid fact; a tick moves the watermark and is kept nowhere."""
        if self.watermark is None or fact.recorded_at > self.watermark:
            self.watermark = fact.recorded_at
        if fact.type != "parcours.clock.ticked.v1":
            self.facts.setdefault(fact.tenant, []).append(fact)

    def files(self) -> "tuple[list[PatientFile], dict[str, People]]":
        """Every person's file, folded up to the watermark, and the merges of each tenant."""
        folded: list[PatientFile] = []
        merged: dict[str, People] = {}
        for tenant, facts in self.facts.items():
            merged[tenant] = who = people(effective_merges(tenant, facts, self.policy))
            by_person: dict[str, list[Recorded]] = {}
            for fact in facts:
                by_person.setdefault(who.person(fact.subject), []).append(fact)
            for person, theirs in by_person.items():
                file = PatientFile(tenant, person, self.policy, watermark=self.watermark)
                file.fill(theirs)
                folded.append(file)
        return folded, merged


def effective_merges(tenant: str, facts: Iterable[Recorded], policy: Policy) -> list[Recorded]:
    """The merges that are not void, each identity once."""
    subjects = {fact.subject for fact in facts if fact.type == "parcours.patient.merged.v1"}
    kept: list[Recorded] = []
    for subject in subjects:
        file = PatientFile(tenant, subject, policy)
        file.note(fact for fact in facts if fact.subject == subject)
        kept += file.merges()
    return kept


def result(log: Log) -> Row:
    """The object of EVENTS section 6 for a log."""
    files, merged = log.files()
    now = log.watermark
    unknown: dict[str, int] = {}
    for file in files:
        for kind, n in file.unknown_types().items():
            unknown[kind] = unknown.get(kind, 0) + n
    shown = [file for file in files if file.facts]
    rows = {
        "cases": [case_row(f, case) for f in shown for case in f.cases.values()],
        "patients": [patient_row(f) for f in shown],
        "claims": [claim_row(f, claim, now) for f in shown for claim in f.claims.values() if now is not None],
        "findings": [finding_row(f, found) for f in shown for found in findings(f)],
    }
    return {"watermark": stamp(now)} | {name: ordered(name, listed) for name, listed in rows.items()} | {
        "errors": {
            "conflicting_ids": sum(len(file.conflicts) for file in files),
            "parked": len(log.parked),
            "merge_cycles": sum(who.cycles for who in merged.values()),
            "unknown_types": dict(sorted(unknown.items())),
        }
    }  # fmt: skip


ORDER = {
    "cases": ("tenant", "case", "patient"), "patients": ("tenant", "patient"),
    "claims": ("tenant", "claim", "patient"), "findings": ("tenant", "id"),
}  # fmt: skip


def ordered(name: str, rows: list[Row]) -> list[Row]:
    """Lists are sorted by tenant then id."""
    return sorted(rows, key=lambda row: tuple(row[key] for key in ORDER[name]))
