"""What is found of a patient: each finding with its id, level, department and times. DOMAIN section 4, findings."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from projections.claim import Claim
from projections.owed import Missed
from projections.path import BOUNCED, LEVELS
from projections.patient import PatientFile
from projections.standing import Touched

Kind = Literal[
    "bounced_case", "bounced_patient", "unanswered_claim", "missed_clock", "illegitimate_pause", "deemed_decision",
    "late_contribution",
]  # fmt: skip


class Finding(NamedTuple):
    """One thing found. `id` is unique within the tenant; `department` is where the case is now."""

    id: str
    kind: Kind
    patient: str
    case: str | None
    claim: str | None
    topic: str | None
    department: str | None
    level: str | None
    is_open: bool
    opened_at: datetime


def findings(file: PatientFile, touched: Touched | None = None) -> Iterator[Finding]:
    """Every finding of a patient, open or not; or only those of the cases, claims and topics that changed."""
    if touched is None or touched.anew:
        touched = Touched(set(file.cases), set(file.claims), set(file.topics))
    yield from bounced_cases(file, touched.cases)
    yield from bounced_patients(file, touched.topics)
    for name in touched.claims:
        claim = file.claims.get(name)
        if claim is not None and claim.has_begun:
            yield from of_claim(file, claim)


def concerns(touched: Touched, found: Finding) -> bool:
    """Whether a finding is of a claim, a case or a topic that changed."""
    if found.claim is not None:
        return found.claim in touched.claims
    return found.topic in touched.topics if found.case is None else found.case in touched.cases


def bounced_cases(file: PatientFile, names: Iterable[str]) -> Iterator[Finding]:
    for case in (file.cases[name] for name in names):
        for path in case.paths:
            if path.level >= BOUNCED and path.opened_at is not None:
                yield Finding(
                    f"bounced_case:{file.patient}:{case.id}:{path.number}", "bounced_case", file.patient, case.id,
                    None, None, path.here, LEVELS[path.level], path.is_open, path.opened_at,
                )  # fmt: skip


def bounced_patients(file: PatientFile, names: Iterable[str]) -> Iterator[Finding]:
    for topic in (file.topics[name] for name in names):
        if topic.opened_at is not None:
            yield Finding(
                f"bounced_patient:{file.patient}:{topic.id}", "bounced_patient", file.patient, None, None, topic.id,
                None, None, topic.is_open, topic.opened_at,
            )  # fmt: skip


def department_of(file: PatientFile, claim: Claim) -> str | None:
    """Where the claim's case is, else where the claim was registered."""
    case = file.cases.get(claim.said.case) if claim.said.case is not None else None
    here = None if case is None else case.path.here
    return claim.said.department if here is None else here


def of_claim(file: PatientFile, claim: Claim) -> Iterator[Finding]:
    here = department_of(file, claim)

    def one(kind: Kind, missed: Missed, *more: str, department: str | None = here) -> Finding:
        name = ":".join([kind, file.patient, claim.id, *more])
        return Finding(
            name, kind, file.patient, claim.said.case, claim.id, None, department, missed.level, missed.is_open,
            missed.opened_at,
        )  # fmt: skip

    if claim.unanswered is not None:
        yield one("unanswered_claim", claim.unanswered)
    for clock, missed in claim.missed.items():
        yield one("missed_clock", missed, clock)
    for pause in claim.pauses.refused:
        yield one(
            "illegitimate_pause",
            Missed(pause.start, None, not pause.is_over),
            pause.fact,
        )
    if claim.deemed is not None:
        yield one("deemed_decision", claim.deemed)
    for part in claim.contributions:
        if part.is_late:
            late = Missed(part.opened_at, None, not part.is_over)
            yield one("late_contribution", late, part.fact, department=part.department)
