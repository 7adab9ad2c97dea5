"""What happens to a case on its way through the departments. EVENTS section 2."""

from dataclasses import dataclass
from typing import Literal

from events.fields import Data, Flag, Id, Text

CloseReason = Literal["answered", "withdrawn", "duplicate", "answered_in", "abandoned", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOpened(Data):
    case: Id
    topic: Id | None = None
    department: Id | None = None
    contacts: tuple[Id, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseTaken(Data):
    """A department takes ownership."""

    case: Id
    department: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDeclined(Data):
    """It says "not us"."""

    case: Id
    department: Id
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseTransferred(Data):
    case: Id
    from_department: Id | None = None
    to_department: Id
    planned: Flag = False
    warm: Flag = False
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseWorked(Data):
    """An act on the case; every row of an imported event log is one. An importer leaves an empty department out."""

    case: Id
    department: Id | None = None
    activity: Text | None = None
    substantive: Flag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseConsulted(Data):
    """Opinion asked; ownership does not move."""

    case: Id
    department: Id
    question: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAdvised(Data):
    """Opinion given; ownership does not move."""

    case: Id
    department: Id
    question: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEscalated(Data):
    """Up the department's own hierarchy: not a hop."""

    case: Id
    level: Text | int
    to: Text | None = None
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseClosed(Data):
    case: Id
    reason: CloseReason
    other_case: Id | None = None

    def __post_init__(self) -> None:
        if self.reason in ("duplicate", "answered_in") and self.other_case is None:
            msg = f"must name other_case when the reason is {self.reason}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReopened(Data):
    case: Id
    reason: Text | None = None
