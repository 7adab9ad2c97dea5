"""What is said of a finding, and what people did with it. EVENTS sections 2 and 4."""

from typing import Annotated, Literal

from msgspec import Meta
from pydantic import StringConstraints

from events.fields import Data, Id, Instant, Moment, Said, Text

Severity = Literal["low", "medium", "high", "critical"]
LONGEST = 640
AlertId = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=LONGEST), Meta(min_length=1, max_length=LONGEST)
]
"""The id of a finding: its kind and the ids it is about, hence longer than each."""


class Reason(Said, frozen=True, kw_only=True):
    """One reason of a finding, in both languages, with the facts that show it."""

    code: str
    text_en: str
    text_fr: str
    evidence: tuple[str, ...]


class PolicyName(Said, frozen=True, kw_only=True):
    id: str
    version: str


class Alert(Data, frozen=True, kw_only=True):
    """The difference between what is found and what was said. Never free text written by a patient."""

    alert: AlertId
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


class AlertRaised(Alert, frozen=True, kw_only=True):
    pass


class AlertRevised(Alert, frozen=True, kw_only=True):
    pass


class AlertResolved(Alert, frozen=True, kw_only=True):
    pass


class AlertAcknowledged(Data, frozen=True, kw_only=True):
    """Somebody has taken it on."""

    alert: AlertId
    by: Text
    until: Moment | None = None
    reason: Text | None = None


class AlertSilenced(Data, frozen=True, kw_only=True):
    """Nobody wants to hear of it for a while; without `until`, until it rises or is raised again."""

    alert: AlertId
    by: Text
    until: Moment | None = None
    reason: Text | None = None


class AlertDismissed(Data, frozen=True, kw_only=True):
    """Somebody has judged that it was of no use, and says why."""

    alert: AlertId
    by: Text
    reason: Text
