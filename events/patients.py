"""Who the patient is, and the general correction. EVENTS section 2."""

from events.fields import Data, Id, Text


class PatientMerged(Data, frozen=True, kw_only=True):
    """Two records are one person: the fact's subject continues as `into`."""

    into: Id


class PatientErased(Data, frozen=True, kw_only=True):
    """Right to erasure exercised."""


class FactVoided(Data, frozen=True, kw_only=True):
    """That fact, of the same subject, is as if never sent."""

    fact: Id
    of_source: Text | None = None
    reason: Text
