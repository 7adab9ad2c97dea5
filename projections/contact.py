"""A contact as all its facts together say it is: whose it is, about what, and whether it arrived. DOMAIN section 2."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Final

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

PLACE: Final = attrgetter("place")
NONE: Final[frozenset[str]] = frozenset()
ALONE: Final[dict[str, frozenset[str]]] = {}
MOST_ALONE: Final = 10_000


def alone(name: str) -> frozenset[str]:
    """A set of one: nearly every contact is of one case, and the contacts of a case share theirs."""
    found = ALONE.get(name)
    if found is None:
        if len(ALONE) >= MOST_ALONE:
            ALONE.clear()
        found = ALONE[name] = frozenset((name,))
    return found


@dataclass(slots=True, init=False)
class Contact:
    """What holds of a contact whenever one looks: corrections reach back to its first fact."""

    id: str
    named_in: frozenset[str]
    attached: dict[str, bool] | None
    listed_by: frozenset[str]
    topic: str | None
    reclassified_topic: str | None
    courtesy: bool
    reclassified_courtesy: bool | None
    planned: bool
    invited: bool
    is_received: bool
    received: Recorded | None
    returned: tuple[object, ...] | None
    sent: Recorded | None
    sendings: tuple[Recorded, ...]
    claim_facts: tuple[Recorded, ...]
    is_used: bool
    cases: frozenset[str]

    def __init__(self, name: str) -> None:
        self.id = name
        self.named_in = NONE
        self.attached = None
        self.listed_by = NONE
        self.topic = None
        self.reclassified_topic = None
        self.courtesy = False
        self.reclassified_courtesy = None
        self.planned = False
        self.invited = False
        self.is_received = False
        self.received = None
        self.returned = None
        self.sent = None
        self.sendings = ()
        self.claim_facts = ()
        self.is_used = False
        self.cases = NONE

    """Every case one of its facts names or it was linked to, less those it was last unlinked from."""

    @property
    def about(self) -> str | None:
        """Its topic, as last reclassified."""
        return self.topic if self.reclassified_topic is None else self.reclassified_topic

    @property
    def is_courtesy(self) -> bool:
        return self.courtesy if self.reclassified_courtesy is None else self.reclassified_courtesy

    @property
    def is_expected(self) -> bool:
        """Planned or invited: what comes of it is no unplanned move."""
        return self.planned or self.invited

    def meaning(self) -> tuple[object, ...]:
        """All that other facts may depend on: if it changes once it was used, the patient's file is folded anew."""
        return (
            self.cases, self.about, self.is_courtesy, self.planned, self.invited, self.is_received, self.returned,
            self.listed_by, self.sent and self.sent.place,
            tuple(fact.place for fact in self.claim_facts),
        )  # fmt: skip

    def learn(self, fact: Recorded) -> None:
        """Take in one of its own facts, in history order."""
        data = fact.data
        match data:
            case ContactReceived():
                self._name(data.case)
                self.is_received = True
                self.received = self.received or fact
                self.planned |= data.planned
                self.invited |= data.invited
                self.courtesy |= data.courtesy
                self.topic = self.topic if data.topic is None else data.topic
            case ContactHandled() | ContactRedirected():
                self._name(data.case)
                self.topic = data.topic if self.topic is None else self.topic
            case ContactSent():
                self._name(data.case)
                self.sendings = (*self.sendings, fact)
                self._choose()
            case ContactUndelivered():
                self.returned = fact.place
                self._choose()
            case ContactLinked() | ContactUnlinked():
                self.attach(data.case, on=isinstance(data, ContactLinked))
            case ContactReclassified():
                self.reclassified_topic = self.reclassified_topic if data.topic is None else data.topic
                if data.courtesy is not None:
                    self.reclassified_courtesy = data.courtesy
            case _:
                pass

    def arrived(self, fact: Recorded) -> bool:
        """Whether something that went out with this contact was delivered: an undelivered one is void."""
        parts = [fact] if self._stands_alone(fact) else [*self._together(), fact]
        refused = any(getattr(part.data, "delivered", None) is False for part in parts)
        return not refused and not self._came_back(parts[0])

    def moment_of(self, fact: Recorded) -> Recorded:
        """The fact at whose place another counts: a `contact.sent` and the claim fact that names it are one."""
        if self._stands_alone(fact):
            return fact
        parts = self._together()
        return min(
            parts if fact is self.sent else [part for part in parts if part is self.sent or part is fact], key=PLACE
        )

    def _stands_alone(self, fact: Recorded) -> bool:
        """Whether nothing goes with it: nothing was sent, or it is a sending that is not the one that counts."""
        return self.sent is None or (isinstance(fact.data, ContactSent) and fact is not self.sent)

    def _together(self) -> list[Recorded]:
        """The sending that counts, first, and the claim facts that are one with it. What was said with a sending that came back, before it
        did, or before this one went out again, counts where this one does.
        """
        sent = self.sent
        if sent is None:
            return []
        after: tuple[object, ...] | None = sent.place if sent is not self.sendings[0] else None
        if after is None and self.returned is not None and self.returned < sent.place:
            after = self.returned
        return [sent, *(part for part in self.claim_facts if after is None or part.place > after)]

    def _choose(self) -> None:
        """What went out with it: the first sending that did not come back, for an undelivered one is as if it had never been."""
        kept = [one for one in self.sendings if not self._came_back(one)]
        self.sent = kept[0] if kept else self.sendings[0] if self.sendings else None

    def _came_back(self, fact: Recorded) -> bool:
        refused = getattr(fact.data, "delivered", None) is False
        return refused or (self.returned is not None and self.returned >= fact.place)

    def attach(self, case: str, *, on: bool = True) -> None:
        """Linked, or in the list of a `case.opened`; or unlinked."""
        self.attached = (self.attached or {}) | {case: on}
        self._sum_up()

    def list_by(self, claim: str) -> None:
        """Named in the list of contacts a claim was registered with."""
        self.listed_by |= {claim}

    def go_with(self, fact: Recorded) -> None:
        """A claim fact says that it went out with this contact."""
        self.claim_facts = (*self.claim_facts, fact)

    def _name(self, case: str | None) -> None:
        if case is not None and case not in self.named_in:
            self.named_in = self.named_in | {case} if self.named_in else alone(case)
            self._sum_up()

    def _sum_up(self) -> None:
        if self.attached is None:
            self.cases = self.named_in
            return
        named = {*self.named_in, *self.attached}
        self.cases = frozenset([case for case in named if self.attached.get(case, True)])
