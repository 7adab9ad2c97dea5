"""How a person stands: their contacts, cases, claims and topics as the facts so far have left them, and what time brings."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from events.cases import (
    CaseOpened,
    CaseWorked,
)
from events.claims import (
    ClaimAcknowledged,
    ClaimAnswered,
    ClaimHeld,
    ClaimRegistered,
)
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
from events.fields import Actor
from projections.acts import Act
from projections.claim import Claim
from projections.contact import Contact
from projections.known import NOTHING, Known, grown, joined
from projections.path import Case
from projections.topic import Topic

NOBODY = Actor()
MACHINES = frozenset({"system", "bot"})


@dataclass(slots=True)
class Ending:
    """A case closed as a duplicate of, or answered in, another: its claims end once that one is answered."""

    case: str
    other: str
    claims: tuple[str, ...]


@dataclass(slots=True, init=False)
class Touched:
    """What changed in a file since somebody last looked; `anew` when it was folded anew and all of it may have, `again` when
    what changed was folded again and may hold less than before.
    """

    cases: AbstractSet[str]
    claims: AbstractSet[str]
    topics: AbstractSet[str]
    contacts: AbstractSet[str]
    acts: bool
    anew: bool
    again: bool

    def __init__(
        self,
        cases: AbstractSet[str] = NOTHING,
        claims: AbstractSet[str] = NOTHING,
        topics: AbstractSet[str] = NOTHING,
        contacts: AbstractSet[str] = NOTHING,
        *,
        acts: bool = False,
        anew: bool = False,
        again: bool = False,
    ) -> None:
        self.cases = cases
        self.claims = claims
        self.topics = topics
        self.contacts = contacts
        self.acts = acts
        self.anew = anew
        self.again = again

    def __bool__(self) -> bool:
        return bool(self.anew or self.cases or self.claims or self.topics or self.contacts or self.acts)

    def case(self, name: str) -> None:
        self.cases = grown(self.cases, name)

    def claim(self, name: str) -> None:
        self.claims = grown(self.claims, name)

    def topic(self, name: str) -> None:
        self.topics = grown(self.topics, name)

    def contact(self, name: str) -> None:
        self.contacts = grown(self.contacts, name)

    def add(self, other: "Touched") -> None:
        """What changed before and after; `other` is used up."""
        self.cases = joined(self.cases, other.cases)
        self.claims = joined(self.claims, other.claims)
        self.topics = joined(self.topics, other.topics)
        self.contacts = joined(self.contacts, other.contacts)
        self.acts |= other.acts
        self.anew |= other.anew
        self.again |= other.again


@dataclass(slots=True)
class Standing(Known):
    """The state of a fold, what of it has changed, and when somebody has to look again."""

    facts: list[Recorded] = field(default_factory=list)
    watermark: datetime | None = None
    fired_at: datetime | None = None
    contacts: dict[str, Contact] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    claims_of: dict[str, list[Claim]] = field(default_factory=dict)
    named: dict[str, datetime] = field(default_factory=dict)
    received: dict[str, datetime] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    topics: dict[str, Topic] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    next_due: datetime | None = None
    touched: Touched = field(default_factory=Touched)

    def _clear(self) -> None:
        """As before the first fact."""
        self.contacts, self.cases, self.claims, self.claims_of, self.topics = {}, {}, {}, {}, {}
        self.named, self.received, self.endings, self.acts = {}, {}, [], []
        self.fired_at = self.next_due = None

    def take_touched(self) -> Touched:
        """What changed since this was last asked."""
        found, self.touched = self.touched, Touched()
        return found

    # -- what holds of contacts and claims whenever one looks ----------------------------------------------------------

    def _learn(self, fact: Recorded) -> bool:
        """Note what a fact says of contacts and claims; False if that changes the meaning of what came before it."""
        data = fact.data
        match data:
            case CaseWorked():
                return True
            case (
                ContactReceived() | ContactHandled() | ContactRedirected()
                | ContactSent() | ContactUndelivered() | ContactLinked()
                | ContactUnlinked() | ContactReclassified()
            ):  # fmt: skip
                return self._learn_contact(fact, data.contact)
            case CaseOpened():
                return all([self._change(name, lambda c: c.attach(data.case)) for name in data.contacts])
            case ClaimAcknowledged() | ClaimHeld() | ClaimAnswered():
                return data.contact is None or self._change(data.contact, lambda c: c.go_with(fact))
            case ClaimRegistered():
                return data.claim in self.claims or self._register(fact, data)
            case _:
                return True

    def _contact(self, name: str) -> Contact:
        found = self.contacts.get(name)
        if found is None:
            found = self.contacts[name] = Contact(name)
        return found

    def _learn_contact(self, fact: Recorded, name: str) -> bool:
        contact = self._contact(name)
        before = contact.meaning() if contact.is_used else None
        contact.learn(fact)
        if isinstance(fact.data, ContactReceived | ContactReclassified):
            self.touched.contact(name)
        if isinstance(fact.data, ContactReceived):
            self.received.setdefault(name, fact.occurred_at)
            if fact.data.claim is not None:
                self.named.setdefault(fact.data.claim, fact.occurred_at)
        return before is None or before == contact.meaning()

    def _change(self, name: str, change: Callable[[Contact], None]) -> bool:
        contact = self._contact(name)
        before = contact.meaning() if contact.is_used else None
        change(contact)
        return before is None or before == contact.meaning()

    def _register(self, fact: Recorded, said: ClaimRegistered) -> bool:
        """The first registration of a claim: its start is the first time it was said."""
        law = self.policy.known[said.jurisdiction or self.policy.jurisdiction]
        t0 = fact.occurred_at
        if said.received_at is not None:
            said_at = said.received_at
            t0 = min(
                t0,
                said_at if isinstance(said_at, datetime) else law.calendar.start_of(said_at),
            )
        kept = all([self._change(name, lambda c: c.list_by(said.claim)) for name in said.contacts])
        t0 = min([t0, self.named.get(said.claim, t0), *(self.received.get(name, t0) for name in said.contacts)])
        claim = Claim(said.claim, fact.name, said, t0, law, self.policy, law.rules_at(t0))
        self.claims[said.claim] = claim
        if said.case is not None:
            self.claims_of.setdefault(said.case, []).append(claim)
        self._wake(t0)
        last = self.facts[-1].occurred_at if self.facts else None
        return kept and t0 == fact.occurred_at and (last is None or last < t0)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _wake(self, at: datetime | None) -> None:
        if at is not None and (self.next_due is None or at < self.next_due):
            self.next_due = at

    def _changed(self, claim: Claim) -> None:
        self.touched.claim(claim.id)
        self._note_fired(claim.fired_at)
        self._wake(claim.next_due)

    def _note_fired(self, at: datetime | None) -> None:
        if at is not None and (self.fired_at is None or at > self.fired_at):
            self.fired_at = at

    def _pass(self, to: datetime) -> bool:
        """Let claims begin and deadlines fire up to an instant."""
        if self.next_due is None or self.next_due > to:
            return False
        for case in self.cases.values():
            if (found := case.fire(to)) is not None:
                self._note_fired(found)
                self.touched.case(case.id)
        for claim in self.claims.values():
            if not claim.has_begun and claim.t0 <= to:
                self._begin(claim)
            if claim.has_begun and claim.next_due is not None and claim.next_due <= to:
                claim.advance(to)
                self._changed(claim)
        self._look_ahead()
        return True

    def _begin(self, claim: Claim) -> None:
        case = self.cases.get(claim.said.case) if claim.said.case is not None else None
        claim.begin(None if case is None else case.path.here)
        self.touched.claim(claim.id)

    def _look_ahead(self) -> None:
        dues = [case.next_due for case in self.cases.values()]
        dues += [claim.next_due if claim.has_begun else claim.t0 for claim in self.claims.values()]
        self.next_due = min((due for due in dues if due is not None), default=None)

    # -- what facts name -----------------------------------------------------------------------------------------------

    def _case(self, name: str, fact: Recorded) -> Case:
        found = self.cases.get(name)
        if found is None:
            found = self.cases[name] = Case(name)
            found.first_sign = fact.occurred_at
        found.last_sign = fact.occurred_at
        self.touched.case(name)
        return found

    def _name(self, name: str | None, fact: Recorded) -> None:
        if name is not None:
            self._case(name, fact)

    def _used(self, name: str) -> Contact:
        contact = self._contact(name)
        contact.is_used = True
        return contact

    def _touch_cases(self, contact: Contact, fact: Recorded) -> None:
        for name in contact.cases:
            self._case(name, fact)

    def _skips(self, fact: Recorded, department: str | None) -> bool:
        """DOMAIN section 3, skip: machines, no department, intake departments."""
        return department is None or department in self.policy.intake or actor(fact).kind in MACHINES

    def _claims_named(
        self, name: str | None, contact: Contact, at: datetime, joined: Iterable[str] = ()
    ) -> list[Claim]:
        """The claims a contact's fact names or was listed by; one that names none, the only open one of its case."""
        if not self.claims:
            return []
        names = {*contact.listed_by, *(claim for claim in joined if claim in self.claims)}
        if name is not None:
            names.add(name)
        elif names <= contact.listed_by:
            names |= {claim.id for case in contact.cases for claim in self._only_one(case)}
        found = (self.claims[claim] for claim in sorted(names) if claim in self.claims)
        return [claim for claim in found if claim.has_begun and claim.t0 <= at]

    def _only_one(self, case: str) -> list[Claim]:
        awaited = [claim for claim in self.claims_of.get(case, ()) if claim.is_awaited]
        return awaited if len(awaited) == 1 else []


def actor(fact: Recorded) -> Actor:
    return NOBODY if fact.data is None or fact.data.actor is None else fact.data.actor
