"""What is said of a finding, and what people did with it. EVENTS sections 2 and 4."""

from dataclasses import dataclass
from typing import Literal

from events.fields import Data, Id, Instant, Text

Severity = Literal["low", "medium", "high", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason of a finding, in both languages, with the facts that show it."""

    code: str
    text_en: str
    text_fr: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyName:
    id: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(Data):
    """The difference between what is found and what was said. Never free text written by a patient."""

    alert: Id
    n: int
    rule: Text
    level: Text | None
    severity: Severity
    patient: Id
    case: Id | None = None
    claim: Id | None = None
    department: Id | None = None
    title_en: Text
    title_fr: Text
    reasons: tuple[Reason, ...]
    policy: PolicyName
    opened_at: Instant
    due_at: Instant | None = None
    link: Text
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised(Alert):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRevised(Alert):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertResolved(Alert):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAcknowledged(Data):
    alert: Id
    by: Text
    until: Instant | None = None
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSilenced(Data):
    alert: Id
    by: Text
    until: Instant | None = None
    reason: Text | None = None
