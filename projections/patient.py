"""A patient's file and its one fold: everything Parcours knows of a person, from facts in history order. DOMAIN."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from events.cases import CaseOpened
from events.claims import ClaimAcknowledged, ClaimAnswered, ClaimHeld, ClaimRegistered
from events.contacts import (
    ContactHandled,
    ContactLinked,
    ContactReceived,
    ContactReclassified,
    ContactRedirected,
    ContactSent,
    ContactUndelivered,
    ContactUnlinked,
)
from events.envelope import Recorded
from projections.jurisdictions import UnknownJurisdiction
from projections.known import Identity
from projections.marks import EVERY, SHARE, Mark, marked, restore, thinned
from projections.moving import Moving
from projections.policy import Policy
from projections.standing import Touched

PLACE = attrgetter("place")


def check(fact: Recorded, policy: Policy) -> None:
    """Raise `UnknownJurisdiction` for a registration under a law this policy does not hold."""
    data = fact.data
    if type(data) is ClaimRegistered and (data.jurisdiction or policy.jurisdiction) not in policy.known:
        raise UnknownJurisdiction(data.jurisdiction)


@dataclass(slots=True)
class PatientFile(Moving):
    """One person of one tenant. `apply` takes facts in any order, `advance` moves time; both keep the law:
    the state is the fold of the facts in history order, evaluated at the watermark.
    """

    is_stale: bool = False
    is_whole: bool = False
    late: list[Recorded] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    mark_every: int = EVERY

    def apply(self, fact: Recorded) -> bool:
        """Take in one fact, whatever its place in history. True if the file has to be folded anew for it.

        That is done once, by `refresh` or `advance`, however many such facts come before.
        """
        if not self.is_stale:
            self.is_stale = self._take(fact)
        else:
            before = self._admit(fact)
            if before is None:
                self.late.append(fact)
            elif before:
                self.is_whole = True
        return self.is_stale

    def refresh(self) -> None:
        """Fold the file anew if facts have come that need it: from where they belong, if they change nothing before."""
        if self.is_stale and (self.is_whole or not self._fold_in()):
            self.refold()

    def fill(self, facts: Iterable[Recorded]) -> None:
        """Take in many facts at once, and fold once."""
        self.note(facts)
        self.refold()

    def refold(self) -> None:
        """Fold all facts anew, up to the watermark."""
        self.touched = Touched(anew=True)
        self._is_fresh()
        self.facts = sorted(filter(self._counts, self.known.values()), key=PLACE)
        self.marks = []
        self._clear()
        for fact in self.facts:
            self._learn(fact)
        self._step_from(0)

    def advance(self, to: datetime) -> bool:
        """Move time on to a watermark, firing what falls due; True if anything did."""
        if self.watermark is None or to > self.watermark:
            self.watermark = to
        if self.is_stale:
            self.refresh()
            return True
        return self._pass(to)

    def leave(self, gone: set[Identity]) -> None:
        """Some facts have become another person's."""
        self.known = {identity: fact for identity, fact in self.known.items() if identity not in gone}
        self.conflicts = self.conflicts - gone
        self._reread()
        self.refold()

    def _take(self, fact: Recorded) -> bool:
        """Fold one fact behind those that are folded, if that is its place; True if some have to be folded anew."""
        before = self._admit(fact)
        if before is not None:
            self.is_whole = before
            return before
        if not self._counts(fact):
            return False
        last = self.facts[-1] if self.facts else None
        if last is not None and (
            _is_before(fact, last) or (self.fired_at is not None and self.fired_at > fact.occurred_at)
        ):
            self.late.append(fact)
            return True
        if not self._learn(fact):
            self.is_whole = True
            return True
        self.facts.append(fact)
        self._step(fact)
        self._mark(len(self.facts))
        return False

    def _is_fresh(self) -> None:
        self.is_stale = self.is_whole = False
        self.late = []

    # -- long files --------------------------------------------------------------------------------------------------------

    def _fold_in(self) -> bool:
        """Fold the late facts in from the last mark before them; False if all has to be folded anew."""
        if not self.marks:
            return False
        first = len(self.facts)
        for fact in sorted(filter(self._counts, self.late), key=PLACE):
            place = bisect_right(self.facts, fact.place, key=PLACE)
            if (place < len(self.facts) and not self._is_apart(fact)) or not self._learn(fact):
                return False
            self.facts.insert(place, fact)
            first = min(first, place)
        while self.marks and self.marks[-1].count > first:
            self.marks.pop()
        if not self.marks:
            return False
        self._is_fresh()
        self._go_back(self.marks[-1])
        return True

    def _go_back(self, mark: Mark) -> None:
        """Fold from a mark on, and note what may be otherwise than before."""
        cases, topics = self.cases, self.topics
        restore(self, mark)
        self._look_ahead()
        self._step_from(mark.count)
        self.touched.again = True
        self.touched.anew |= cases.keys() != self.cases.keys() or topics.keys() != self.topics.keys()
        for name in self.claims:
            self.touched.claim(name)
        for name in self.topics:
            self.touched.topic(name)
        for name, case in self.cases.items():
            if cases.get(name) != case:
                self.touched.case(name)

    def _step_from(self, count: int) -> None:
        for n in range(count, len(self.facts)):
            self._step(self.facts[n])
            self._mark(n + 1)
        if self.watermark is not None:
            self._pass(self.watermark)

    def _mark(self, count: int) -> None:
        """Note how a long file stands, now and then."""
        since = count - self.marks[-1].count if self.marks else count
        if since >= self.mark_every and since >= count // SHARE and self._stands_at(self.facts[count - 1].occurred_at):
            self.marks = thinned([*self.marks, marked(self, count)])

    def _stands_at(self, at: datetime) -> bool:
        """Whether nothing of the file has been looked at beyond an instant: a claim is, by the watermark, also where nothing fires."""
        if self.fired_at is not None and self.fired_at > at:
            return False
        return all([claim.now is None or claim.now <= at for claim in self.claims.values()])

    def _is_apart(self, fact: Recorded) -> bool:
        """Whether what a late fact says of contacts and claims could as well be said last: nothing else speaks of them."""
        data = fact.data
        match data:
            case ClaimRegistered():
                return False
            case ContactReceived():
                return data.claim is None and data.contact not in self.contacts
            case (
                ContactHandled() | ContactRedirected() | ContactSent() | ContactUndelivered()
                | ContactLinked() | ContactUnlinked() | ContactReclassified()
            ):  # fmt: skip
                return data.contact not in self.contacts
            case CaseOpened():
                return not data.contacts
            case ClaimAcknowledged() | ClaimHeld() | ClaimAnswered():
                return data.contact is None
            case _:
                return True


def _is_before(one: Recorded, other: Recorded) -> bool:
    """Whether a fact's place in history is before another's."""
    if one.occurred_at != other.occurred_at:
        return one.occurred_at < other.occurred_at
    return one.place < other.place
