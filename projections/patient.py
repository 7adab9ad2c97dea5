"""A patient's file and its one fold: everything Parcours knows of a person, from facts in history order. DOMAIN."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from events.claims import (
    ClaimRegistered,
)
from events.envelope import Recorded
from projections.jurisdictions import UnknownJurisdiction
from projections.known import Identity
from projections.moving import Moving
from projections.policy import Policy
from projections.standing import Touched

PLACE = attrgetter("place")


def check(fact: Recorded, policy: Policy) -> None:
    """Raise `UnknownJurisdiction` for a registration under a law this policy does not hold."""
    data = fact.data
    if isinstance(data, ClaimRegistered) and (data.jurisdiction or policy.jurisdiction) not in policy.known:
        raise UnknownJurisdiction(data.jurisdiction)


@dataclass(slots=True)
class PatientFile(Moving):
    """One person of one tenant. `apply` takes facts in any order, `advance` moves time; both keep the law:
    the state is the fold of the facts in history order, evaluated at the watermark.
    """

    is_stale: bool = False

    def apply(self, fact: Recorded) -> bool:
        """Take in one fact, whatever its place in history. True if the file has to be folded anew for it.

        That is done once, by `refresh` or `advance`, however many such facts come before.
        """
        if self.is_stale:
            self._admit(fact)
        elif self._take(fact):
            self.is_stale = True
        return self.is_stale

    def refresh(self) -> None:
        """Fold the file anew if facts have come that need it."""
        if self.is_stale:
            self.refold()

    def fill(self, facts: Iterable[Recorded]) -> None:
        """Take in many facts at once, and fold once."""
        self.note(facts)
        self.refold()

    def refold(self) -> None:
        """Fold all facts anew, up to the watermark."""
        self.touched, self.is_stale = Touched(anew=True), False
        self.facts = sorted(filter(self._counts, self.known.values()), key=PLACE)
        self._clear()
        for fact in self.facts:
            self._learn(fact)
        for fact in self.facts:
            self._step(fact)
        if self.watermark is not None:
            self._pass(self.watermark)

    def advance(self, to: datetime) -> bool:
        """Move time on to a watermark, firing what falls due; True if anything did."""
        if self.watermark is None or to > self.watermark:
            self.watermark = to
        if self.is_stale:
            self.refold()
            return True
        return self._pass(to)

    def leave(self, gone: set[Identity]) -> None:
        """Some facts have become another person's."""
        self.known = {identity: fact for identity, fact in self.known.items() if identity not in gone}
        self.conflicts = self.conflicts - gone
        self._reread()
        self.refold()

    def _take(self, fact: Recorded) -> bool:
        """Fold one fact behind those that are folded, if that is its place; True if all have to be folded anew."""
        before = self._admit(fact)
        if before is not None:
            return before
        if not self._counts(fact):
            return False
        last = self.facts[-1] if self.facts else None
        if last is not None and (
            _is_before(fact, last) or (self.fired_at is not None and self.fired_at > fact.occurred_at)
        ):
            return True
        if not self._learn(fact):
            return True
        self.facts.append(fact)
        self._step(fact)
        return False


def _is_before(one: Recorded, other: Recorded) -> bool:
    """Whether a fact's place in history is before another's."""
    if one.occurred_at != other.occurred_at:
        return one.occurred_at < other.occurred_at
    return one.place < other.place
