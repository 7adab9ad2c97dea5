"""What happens to a case on its way through the departments. EVENTS section 2."""

from typing import Literal

from events.fields import Data, Flag, Id, Text, Whole

CloseReason = Literal["answered", "withdrawn", "duplicate", "answered_in", "abandoned", "other"]


class CaseOpened(Data, frozen=True, kw_only=True):
    case: Id
    topic: Id | None = None
    department: Id | None = None
    contacts: tuple[Id, ...] = ()


class CaseTaken(Data, frozen=True, kw_only=True):
    """A department takes ownership."""

    case: Id
    department: Id


class CaseDeclined(Data, frozen=True, kw_only=True):
    """It says "not us"."""

    case: Id
    department: Id
    reason: Text | None = None


class CaseTransferred(Data, frozen=True, kw_only=True):
    case: Id
    from_department: Id | None = None
    to_department: Id
    planned: Flag = False
    warm: Flag = False
    reason: Text | None = None


class CaseWorked(Data, frozen=True, kw_only=True):
    """An act on the case; every row of an imported event log is one. An importer leaves an empty department out."""

    case: Id
    department: Id | None = None
    activity: Text | None = None
    substantive: Flag | None = None


class CaseConsulted(Data, frozen=True, kw_only=True):
    """Opinion asked; ownership does not move."""

    case: Id
    department: Id
    question: Text | None = None


class CaseAdvised(Data, frozen=True, kw_only=True):
    """Opinion given; ownership does not move."""

    case: Id
    department: Id
    question: Text | None = None


class CaseEscalated(Data, frozen=True, kw_only=True):
    """Up the department's own hierarchy: not a hop."""

    case: Id
    level: Text | Whole
    to: Text | None = None
    reason: Text | None = None


class CaseClosed(Data, frozen=True, kw_only=True):
    case: Id
    reason: CloseReason
    other_case: Id | None = None

    def __post_init__(self) -> None:
        if self.reason in ("duplicate", "answered_in") and self.other_case is None:
            msg = f"must name other_case when the reason is {self.reason}"
            raise ValueError(msg)


class CaseReopened(Data, frozen=True, kw_only=True):
    case: Id
    reason: Text | None = None
