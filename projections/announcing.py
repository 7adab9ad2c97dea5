"""From what is found to what is to be said. DOMAIN, "From finding to alert"; DESIGN section 5.

What was said belongs to no generation: an alert is the difference between the findings and what was announced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

from events.alerts import Severity
from projections.findings import Finding

SETTLING = timedelta(hours=1)
OLD = timedelta(days=30)
Act = Literal["raised", "revised", "resolved"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
LOSING = ("bounced_case", "bounced_patient", "unanswered_claim", "deemed_decision")
"""What is found of somebody who is being lost, and needs a call; the others are steps that were missed."""


class Announced(NamedTuple):
    """The last thing said of a finding: the n-th, at a level."""

    n: int
    level: str | None
    is_raised: bool


class Shown(NamedTuple):
    """When a finding could first be seen in the log, and whether it was old history already."""

    at: datetime
    is_old: bool


@dataclass(frozen=True, slots=True)
class ToSay:
    """One alert to be: `finding` is None when a correction made it vanish."""

    id: str
    act: Act
    n: int
    level: str | None
    finding: Finding | None
    cause: str | None


def settling(kind: str) -> timedelta:
    """How long a finding has to stay open before it is said: a source that reports in batches must not raise and clear."""
    return timedelta() if kind.startswith("bounced") else SETTLING


def shown(found: Finding, seen: datetime, newest: datetime) -> Shown:
    """`seen`: the largest recorded_at of the patient's facts when it appeared; `newest`: the newest fact of its case or claim."""
    at = max(found.opened_at, seen)
    return Shown(at, at - found.opened_at > OLD and at - newest > OLD)


def to_say(
    found: Mapping[str, Finding],
    said: Mapping[str, Announced],
    seen: Mapping[str, Shown],
    watermark: datetime,
) -> tuple[list[ToSay], datetime | None]:
    """The alerts due at a watermark, and when to look again at findings that still settle."""
    alerts: list[ToSay] = []
    again: list[datetime] = []
    for name in sorted({*found, *said}):
        one, before = found.get(name), said.get(name)
        raised = before is not None and before.is_raised
        n = 1 if before is None else before.n + 1
        if one is None or not one.is_open:
            if raised:
                cause = "corrected" if one is None else "ended"
                alerts.append(ToSay(name, "resolved", n, before.level if before else None, one, cause))
        elif before is not None and raised:
            if before.level != one.level:
                alerts.append(ToSay(name, "revised", n, one.level, one, None))
        elif not (first := seen[name]).is_old:
            due = first.at + settling(one.kind)
            if due <= watermark:
                alerts.append(ToSay(name, "raised", n, one.level, one, None))
            else:
                again.append(due)
    return alerts, min(again, default=None)


def severity(kind: str, level: str | None) -> Severity:
    """How urgent a finding is for whoever reads it."""
    if level in ("U5", "B4"):
        return "critical"
    if level in ("U4", "B3") or kind == "deemed_decision":
        return "high"
    return "low" if kind in ("illegitimate_pause", "late_contribution") else "medium"


def gravity(kind: str, level: str | None) -> tuple[int, bool]:
    """Its severity in an order: the larger, the graver; of the same, somebody who is being lost comes before a step that was missed."""
    return SEVERITIES.index(severity(kind, level)), kind in LOSING


def names(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {found.id: found for found in findings}
