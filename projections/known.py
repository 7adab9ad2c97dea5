"""The facts known of a person: each identity once, less what is void or erased. DOMAIN section 2."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from events.envelope import Recorded
from events.identity import contents
from events.patients import FactVoided, PatientErased, PatientMerged
from projections.policy import Policy

Identity = tuple[str, str, str]
CORRECTIONS: Final = frozenset({FactVoided, PatientErased, PatientMerged})
NOTHING: Final[frozenset[str]] = frozenset()
NO_FACTS: Final[frozenset[Identity]] = frozenset()
T = TypeVar("T")


def corrects(fact: Recorded) -> bool:
    """Whether a fact is about other facts: it takes no place in the fold itself."""
    return type(fact.data) in CORRECTIONS


def grown(some: AbstractSet[T], one: T) -> AbstractSet[T]:
    """A set with one more in it. Sets that are empty are one and the same: most stay so, and there are some for each person."""
    if isinstance(some, set):
        some.add(one)
        return some
    return {*some, one}


def joined(some: AbstractSet[T], more: AbstractSet[T]) -> AbstractSet[T]:
    """Both in one: one of them, the other added to it."""
    if not isinstance(some, set):
        return more
    some |= more
    return some


@dataclass(slots=True)
class Known:
    """All facts of one person of one tenant, and what their voids, erasures and contradictions make of them."""

    tenant: str
    patient: str
    policy: Policy
    known: dict[Identity, Recorded] = field(default_factory=dict)
    conflicts: AbstractSet[Identity] = NO_FACTS
    voids: AbstractSet[Identity] = NO_FACTS
    erased_until: datetime | None = None
    buried_until: datetime | None = None

    def note(self, facts: Iterable[Recorded]) -> None:
        """Take in facts without folding them: enough to know which of them count."""
        for fact in facts:
            self._admit(fact)

    def merges(self) -> list[Recorded]:
        """The merges of this subject that are not void."""
        found = (fact for fact in self.known.values() if isinstance(fact.data, PatientMerged))
        return [fact for fact in found if fact.identity not in self.voids]

    def unknown_types(self) -> dict[str, int]:
        """Facts of types this version does not know, counted by type."""
        found: dict[str, int] = {}
        for fact in self.known.values():
            if fact.data is None:
                found[fact.type] = found.get(fact.type, 0) + 1
        return found

    def _admit(self, fact: Recorded) -> bool | None:
        """Take in a fact: True if what was folded before has to be folded anew for it, None if it is a new one to fold."""
        before = self.known.get(fact.identity)
        if before is not None:
            return self._again(before, fact)
        self.known[fact.identity] = fact
        if fact.data is None:
            return False
        if corrects(fact):
            return self._correct(fact)
        return None

    def _correct(self, fact: Recorded) -> bool:
        if isinstance(fact.data, FactVoided):
            return self._void(fact, fact.data)
        if isinstance(fact.data, PatientErased):
            until = fact.occurred_at
            self.erased_until = until if self.erased_until is None else max(until, self.erased_until)
            return True
        return False  # a merge is judged with all of its tenant's

    def _again(self, before: Recorded, fact: Recorded) -> bool:
        """The same identity once more: one fact; with other content the earliest recorded counts, and it is an error."""
        if before.raw == fact.raw:
            return False
        old, new = contents(before.raw, fact.raw)
        if old != new:
            self.conflicts = grown(self.conflicts, fact.identity)
        if (fact.recorded_at, new) < (before.recorded_at, old):
            self.known[fact.identity] = fact
            self._reread()
            return True
        if old == new and fact.recorded_at == before.recorded_at and fact.raw < before.raw:
            self.known[fact.identity] = (
                fact  # the same in other words: which of them is kept must not depend on who came first
            )
        return False

    def _reread(self) -> None:
        """A copy that counts has replaced another: what voids and erasures say may have changed."""
        self.voids, self.erased_until = NO_FACTS, self.buried_until
        for fact in self.known.values():
            if isinstance(fact.data, FactVoided):
                self._void(fact, fact.data)
            elif isinstance(fact.data, PatientErased):
                self.erased_until = max(fact.occurred_at, self.erased_until or fact.occurred_at)

    def _void(self, fact: Recorded, said: FactVoided) -> bool:
        target = (fact.subject, said.of_source or fact.source, said.fact)
        self.voids = grown(self.voids, target)
        return target in self.known

    def _counts(self, fact: Recorded) -> bool:
        """Whether a fact is part of the fold: known, not void, not erased, and no correction of the file itself."""
        return fact.data is not None and not corrects(fact) and not self._is_gone(fact)

    def is_erased(self, fact: Recorded) -> bool:
        """Whether nothing of a fact may be kept: it occurred up to the erasure, and is no merge, void or erasure."""
        return self.erased_until is not None and fact.occurred_at <= self.erased_until and not corrects(fact)

    def is_bared(self, fact: Recorded) -> bool:
        """Whether no more of a correction is kept than what makes it one: it occurred up to the erasure."""
        return self.erased_until is not None and fact.occurred_at <= self.erased_until and corrects(fact)

    def _is_gone(self, fact: Recorded) -> bool:
        """Void or erased."""
        if self.erased_until is not None and fact.occurred_at <= self.erased_until:
            return True
        return bool(self.voids) and fact.identity in self.voids
