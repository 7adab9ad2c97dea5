"""What happens to a claim: an obligation to answer. EVENTS section 2."""

from typing import Literal

from events.fields import Data, Flag, Id, Moment, Text

ClaimKind = Literal["request", "concern", "grievance", "complaint", "appeal", "renewal"]
PauseReason = Literal["waiting_claimant", "consent_missing", "legal_hold", "other"]


class ClaimRegistered(Data, frozen=True, kw_only=True):
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


class ClaimAcknowledged(Data, frozen=True, kw_only=True):
    claim: Id
    reference: Text | None = None
    contact_name: Text | None = None
    expected_at: Moment | None = None
    automatic: Flag = False
    contact: Id | None = None


class ClaimHeld(Data, frozen=True, kw_only=True):
    """A holding reply: "we are looking into it"."""

    claim: Id
    promised_at: Moment | None = None
    reason: Text | None = None
    contact: Id | None = None


class ClaimAnswered(Data, frozen=True, kw_only=True):
    """An answer on the substance; no issues named means all of them."""

    claim: Id
    issues: tuple[Id, ...] = ()
    human_validated: Flag = True
    delivered: Flag | None = None
    contact: Id | None = None
    outcome: Literal["upheld", "partially_upheld", "not_upheld"] | None = None


class ClaimPaused(Data, frozen=True, kw_only=True):
    claim: Id
    reason: PauseReason
    by: Text | None = None
    until: Moment | None = None


class ClaimResumed(Data, frozen=True, kw_only=True):
    claim: Id
    reason: Text | None = None
    by: Text | None = None
    until: Moment | None = None


class ClaimContributionRequested(Data, frozen=True, kw_only=True):
    """One part of a joint answer is asked of a department."""

    claim: Id
    department: Id
    due_at: Moment | None = None


class ClaimContributionProvided(Data, frozen=True, kw_only=True):
    claim: Id
    department: Id


class ClaimWithdrawn(Data, frozen=True, kw_only=True):
    """By the claimant."""

    claim: Id
    reason: Text | None = None


class ClaimReopened(Data, frozen=True, kw_only=True):
    """By the claimant."""

    claim: Id
    reason: Text | None = None


class ClaimTransferredOut(Data, frozen=True, kw_only=True):
    """Sent to another organisation."""

    claim: Id
    body: Text
    deemed_received_at: Moment | None = None


class ClaimMediationRequested(Data, frozen=True, kw_only=True):
    claim: Id
    mediator: Text | None = None


class ClaimMediatorMet(Data, frozen=True, kw_only=True):
    claim: Id
    mediator: Text | None = None


class ClaimMediatorReported(Data, frozen=True, kw_only=True):
    claim: Id
    mediator: Text | None = None


class ClaimCommissionAdvised(Data, frozen=True, kw_only=True):
    """On the day of the commission's session (France)."""

    claim: Id
    mediator: Text | None = None


class ClaimConcluded(Data, frozen=True, kw_only=True):
    """The file is closed."""

    claim: Id
    outcome: Text | None = None
    lessons: Text | None = None


class RecourseOpened(Data, frozen=True, kw_only=True):
    """Taken outside."""

    claim: Id | None = None
    case: Id | None = None
    body: Literal["ombudsman", "commission", "court", "regulator", "other"]
