"""What happens to a claim: an obligation to answer. EVENTS section 2."""

from dataclasses import dataclass
from typing import Literal

from events.fields import Data, Flag, Id, Moment, Text

ClaimKind = Literal["request", "concern", "grievance", "complaint", "appeal", "renewal"]
PauseReason = Literal["waiting_claimant", "consent_missing", "legal_hold", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRegistered(Data):
    """An obligation to answer exists."""

    claim: Id
    kind: ClaimKind
    case: Id | None = None
    contacts: tuple[Id, ...] = ()
    jurisdiction: Id | None = None
    received_at: Moment | None = None
    due_at: Moment | None = None
    issues: tuple[Id, ...] = ()
    department: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAcknowledged(Data):
    claim: Id
    reference: Text | None = None
    contact_name: Text | None = None
    expected_at: Moment | None = None
    automatic: Flag = False
    contact: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimHeld(Data):
    """A holding reply: "we are looking into it"."""

    claim: Id
    promised_at: Moment | None = None
    reason: Text | None = None
    contact: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswered(Data):
    """An answer on the substance; no issues named means all of them."""

    claim: Id
    issues: tuple[Id, ...] = ()
    human_validated: Flag = True
    delivered: Flag | None = None
    contact: Id | None = None
    outcome: Literal["upheld", "partially_upheld", "not_upheld"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPaused(Data):
    claim: Id
    reason: PauseReason
    by: Text | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResumed(Data):
    claim: Id
    reason: Text | None = None
    by: Text | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimContributionRequested(Data):
    """One part of a joint answer is asked of a department."""

    claim: Id
    department: Id
    due_at: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimContributionProvided(Data):
    claim: Id
    department: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimWithdrawn(Data):
    """By the claimant."""

    claim: Id
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimReopened(Data):
    """By the claimant."""

    claim: Id
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTransferredOut(Data):
    """Sent to another organisation."""

    claim: Id
    body: Text
    deemed_received_at: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMediationRequested(Data):
    claim: Id
    mediator: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMediatorMet(Data):
    claim: Id
    mediator: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMediatorReported(Data):
    claim: Id
    mediator: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCommissionAdvised(Data):
    """On the day of the commission's session (France)."""

    claim: Id
    mediator: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimConcluded(Data):
    """The file is closed."""

    claim: Id
    outcome: Text | None = None
    lessons: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecourseOpened(Data):
    """Taken outside."""

    claim: Id | None = None
    case: Id | None = None
    body: Literal["ombudsman", "commission", "court", "regulator", "other"]
