"""Who the patient is, and the general correction. EVENTS section 2."""

from dataclasses import dataclass

from events.fields import Data, Id, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMerged(Data):
    """Two records are one person: the fact's subject continues as `into`."""

    into: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientErased(Data):
    """Right to erasure exercised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactVoided(Data):
    """That fact, of the same subject, is as if never sent."""

    fact: Id
    of_source: Text | None = None
    reason: Text
