"""A patient's file and its one fold: everything Parcours knows of a person, from facts in history order. DOMAIN."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import TypeGuard

from events.cases import (
    CaseAdvised,
    CaseClosed,
    CaseConsulted,
    CaseDeclined,
    CaseEscalated,
    CaseOpened,
    CaseReopened,
    CaseTaken,
    CaseTransferred,
    CaseWorked,
)
from events.claims import (
    ClaimAcknowledged,
    ClaimAnswered,
    ClaimCommissionAdvised,
    ClaimConcluded,
    ClaimContributionProvided,
    ClaimContributionRequested,
    ClaimHeld,
    ClaimMediationRequested,
    ClaimMediatorMet,
    ClaimMediatorReported,
    ClaimPaused,
    ClaimRegistered,
    ClaimReopened,
    ClaimResumed,
    ClaimTransferredOut,
    ClaimWithdrawn,
    RecourseOpened,
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
from events.envelope import Recorded, parsed
from events.fields import Actor
from events.identity import canonical
from events.patients import FactVoided, PatientErased, PatientMerged
from projections.acts import ACTS, Act, act
from projections.claim import Claim
from projections.contact import Contact
from projections.jurisdictions import UnknownJurisdiction
from projections.path import Case, Visit
from projections.policy import Policy
from projections.topic import Meeting, Topic

Identity = tuple[str, str, str]
NOBODY = Actor()
MACHINES = frozenset({"system", "bot"})
NO_ONE_WAITING = frozenset({"professional", "system", "bot"})
CLAIM_UNITS = (ClaimAcknowledged, ClaimHeld, ClaimAnswered)
CORRECTIONS = (FactVoided, PatientErased, PatientMerged)
PLACE = attrgetter("place")


def check(fact: Recorded, policy: Policy) -> None:
    """Raise `UnknownJurisdiction` for a registration under a law this policy does not hold."""
    data = fact.data
    if isinstance(data, ClaimRegistered) and (data.jurisdiction or policy.jurisdiction) not in policy.known:
        raise UnknownJurisdiction(data.jurisdiction)


@dataclass(slots=True)
class Ending:
    """A case closed as a duplicate of, or answered in, another: its claims end once that one is answered."""

    case: str
    other: str
    claims: tuple[str, ...]


@dataclass(slots=True)
class Touched:
    """What changed in a file since somebody last looked; `anew` when it was folded anew and all of it may have."""

    cases: set[str] = field(default_factory=set)
    claims: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    contacts: set[str] = field(default_factory=set)
    acts: bool = False
    anew: bool = False

    def __bool__(self) -> bool:
        return bool(self.anew or self.cases or self.claims or self.topics or self.contacts or self.acts)

    def add(self, other: "Touched") -> None:
        self.cases |= other.cases
        self.claims |= other.claims
        self.topics |= other.topics
        self.contacts |= other.contacts
        self.acts |= other.acts
        self.anew |= other.anew


@dataclass(slots=True)
class PatientFile:
    """One person of one tenant. `apply` takes facts in any order, `advance` moves time; both keep the law:
    the state is the fold of the facts in history order, evaluated at the watermark.
    """

    tenant: str
    patient: str
    policy: Policy
    known: dict[Identity, Recorded] = field(default_factory=dict)
    conflicts: set[Identity] = field(default_factory=set)
    voids: set[Identity] = field(default_factory=set)
    erased_until: datetime | None = None
    buried_until: datetime | None = None
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
    is_stale: bool = False

    # -- the law ---------------------------------------------------------------------------------------------------

    def apply(self, fact: Recorded) -> bool:
        """Take in one fact, whatever its place in history. True if the file has to be folded anew for it.

        That is done once, by `refresh` or `advance`, however many such facts come before.
        """
        if self.is_stale or self._take(fact):
            if self.is_stale:
                self._take(fact, one_by_one=False)
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

    def note(self, facts: Iterable[Recorded]) -> None:
        """Take in facts without folding them: enough to know which of them count."""
        for fact in facts:
            self._take(fact, one_by_one=False)

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

    def refold(self) -> None:
        """Fold all facts anew, up to the watermark."""
        self.touched, self.is_stale = Touched(anew=True), False
        self.facts = sorted(filter(self._counts, self.known.values()), key=PLACE)
        self.contacts, self.cases, self.claims, self.claims_of, self.topics = (
            {},
            {},
            {},
            {},
            {},
        )
        self.named, self.received, self.endings, self.fired_at, self.next_due = (
            {},
            {},
            [],
            None,
            None,
        )
        self.acts = []
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
        self.conflicts -= gone
        self._reread()
        self.refold()

    def take_touched(self) -> Touched:
        """What changed since this was last asked."""
        found, self.touched = self.touched, Touched()
        return found

    def _take(self, fact: Recorded, *, one_by_one: bool = True) -> bool:
        identity = fact.identity
        if (before := self.known.get(identity)) is not None:
            return self._again(before, fact)
        self.known[identity] = fact
        if fact.data is None:
            return False
        if isinstance(fact.data, CORRECTIONS):
            return self._correct(fact)
        if not one_by_one or not self._counts(fact):
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
        old, new = canonical(parsed(before.raw)), canonical(parsed(fact.raw))
        if old != new:
            self.conflicts.add(fact.identity)
        if (fact.recorded_at, new) < (before.recorded_at, old):
            self.known[fact.identity] = fact
            self._reread()
            return True
        return False

    def _reread(self) -> None:
        """A copy that counts has replaced another: what voids and erasures say may have changed."""
        self.voids, self.erased_until = set(), self.buried_until
        for fact in self.known.values():
            if isinstance(fact.data, FactVoided):
                self._void(fact, fact.data)
            elif isinstance(fact.data, PatientErased):
                self.erased_until = max(fact.occurred_at, self.erased_until or fact.occurred_at)

    def _void(self, fact: Recorded, said: FactVoided) -> bool:
        target = (fact.subject, said.of_source or fact.source, said.fact)
        self.voids.add(target)
        return target in self.known

    def _counts(self, fact: Recorded) -> bool:
        """Whether a fact is part of the fold: known, not void, not erased, and no correction of the file itself."""
        return fact.data is not None and not isinstance(fact.data, CORRECTIONS) and not self._is_gone(fact)

    def is_erased(self, fact: Recorded) -> bool:
        """Whether nothing of a fact may be kept: it occurred up to the erasure, and is no merge, void or erasure."""
        return (
            self.erased_until is not None
            and fact.occurred_at <= self.erased_until
            and not isinstance(fact.data, CORRECTIONS)
        )

    def _is_gone(self, fact: Recorded) -> bool:
        """Void or erased."""
        if self.erased_until is not None and fact.occurred_at <= self.erased_until:
            return True
        return bool(self.voids) and fact.identity in self.voids

    # -- what holds of contacts and claims whenever one looks --------------------------------------------------------

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
            self.touched.contacts.add(name)
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

    # -- time --------------------------------------------------------------------------------------------------------

    def _wake(self, at: datetime | None) -> None:
        if at is not None and (self.next_due is None or at < self.next_due):
            self.next_due = at

    def _changed(self, claim: Claim) -> None:
        self.touched.claims.add(claim.id)
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
                self.touched.cases.add(case.id)
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
        self.touched.claims.add(claim.id)

    def _look_ahead(self) -> None:
        dues = [case.next_due for case in self.cases.values()]
        dues += [claim.next_due if claim.has_begun else claim.t0 for claim in self.claims.values()]
        self.next_due = min((due for due in dues if due is not None), default=None)

    # -- the fold ----------------------------------------------------------------------------------------------------

    def _step(self, fact: Recorded) -> None:
        """One fact, at its place in history."""
        self._pass(fact.occurred_at)
        data = fact.data
        match data:
            case CaseWorked():
                self._work(fact, self._case(data.case, fact), data.department, data.substantive)
            case ContactReceived():
                self._receive(fact, data)
            case ContactHandled():
                self._handle(fact, data)
            case ContactRedirected():
                self._redirect(fact, data)
            case ContactSent():
                self._name(data.case, fact)
                self._go_out(fact, data.contact)
            case ContactLinked() | ContactUnlinked():
                self._name(data.case, fact)
            case CaseOpened():
                case = self._case(data.case, fact)
                case.topic = case.topic or data.topic
                self._move(fact, case, data.department, planned=False)
            case CaseTaken():
                case = self._case(data.case, fact)
                case.given(data.department)
                self._move(fact, case, data.department, planned=False)
            case CaseTransferred():
                case = self._case(data.case, fact)
                case.given(data.to_department)
                if data.planned:
                    case.announced.add(data.to_department)
                self._move(fact, case, data.to_department, planned=data.planned)
            case CaseConsulted():
                self._case(data.case, fact).consulted.add(data.department)
            case CaseAdvised() | CaseDeclined() | CaseEscalated():
                self._case(data.case, fact)
            case CaseClosed():
                self._close(fact, data)
            case CaseReopened():
                self._case(data.case, fact).reopen(fact.occurred_at, self.policy)
            case RecourseOpened():
                self._name(data.case, fact)
            case ClaimRegistered():
                self._name(data.case, fact)
            case ClaimAcknowledged() | ClaimHeld() | ClaimAnswered():
                if data.contact is None:
                    self._claim_fact(fact, fact.occurred_at, None)
                else:
                    self._go_out(fact, data.contact)
            case _:
                self._claim_course(fact)

    def _case(self, name: str, fact: Recorded) -> Case:
        found = self.cases.get(name)
        if found is None:
            found = self.cases[name] = Case(name)
            found.first_sign = fact.occurred_at
        found.last_sign = fact.occurred_at
        self.touched.cases.add(name)
        return found

    def _name(self, name: str | None, fact: Recorded) -> None:
        if name is not None:
            self._case(name, fact)

    def _skips(self, fact: Recorded, department: str | None) -> bool:
        """DOMAIN section 3, skip: machines, no department, intake departments."""
        return department is None or department in self.policy.intake or _actor(fact).kind in MACHINES

    # moves

    def _move(self, fact: Recorded, case: Case, department: str | None, *, planned: bool) -> None:
        if department is None or case.stays(department) or self._skips(fact, department):
            return
        here = case.path.here
        if case.move(Visit(department, fact.occurred_at, planned, fact.name), self.policy) and department != here:
            for claim in self.claims_of.get(case.id, ()):
                if claim.has_begun:
                    claim.enter(fact.occurred_at, department, fact.name)
                    self._changed(claim)
        self._wake(case.next_due)

    def _work(
        self,
        fact: Recorded,
        case: Case,
        department: str | None,
        substantive: bool | None,  # noqa: FBT001 - read beside its two callers
        *,
        planned: bool = False,
    ) -> None:
        """An act of a department on a case: it may move it, and says what it achieved."""
        if department is None or _actor(fact).kind in MACHINES:
            return
        if department not in self.policy.intake:
            if department not in case.consulted:
                self._move(fact, case, department, planned=planned)
            case.act(department, substantive)
        if substantive is not False:
            for claim in self.claims_of.get(case.id, ()):
                if claim.has_begun:
                    claim.act(fact.occurred_at, department, fact.name)
                    self._changed(claim)

    # contacts

    def _receive(self, fact: Recorded, said: ContactReceived) -> None:
        self._name(said.case, fact)
        contact = self._used(said.contact)
        self._touch_cases(contact, fact)
        self._meet(fact, contact, said.department, sent_on=False)
        ends_pause = _actor(fact).kind not in NO_ONE_WAITING
        for claim in self._claims_named(said.claim, contact, fact.occurred_at):
            claim.receive(
                fact.occurred_at, contact.id, fact.name,
                courtesy=contact.is_courtesy, invited=contact.invited, ends_pause=ends_pause,
            )  # fmt: skip
            self._changed(claim)

    def _handle(self, fact: Recorded, said: ContactHandled) -> None:
        self._name(said.case, fact)
        contact = self._used(said.contact)
        self._touch_cases(contact, fact)
        for name in contact.cases:
            self._work(
                fact,
                self._case(name, fact),
                said.department,
                said.substantive,
                planned=contact.is_expected,
            )
        self._meet(fact, contact, said.department, sent_on=False)
        if said.outcome == "answered" and said.substantive is not False:
            self._substantive(fact.occurred_at, contact.cases, [contact.about])
        if said.outcome in ("answered", "partial"):
            for claim in list(self.claims.values()):
                if claim.has_begun and contact.id in claim.inbounds:
                    claim.handle(fact.occurred_at, contact.id, fact.name)
                    self._changed(claim)

    def _redirect(self, fact: Recorded, said: ContactRedirected) -> None:
        self._name(said.case, fact)
        contact = self._used(said.contact)
        self._touch_cases(contact, fact)
        if not said.warm and not self._skips(fact, said.from_department):
            for name in contact.cases:
                case = self._case(name, fact)
                case.carry(fact.occurred_at, fact.name, self.policy)
                self._wake(case.next_due)
        self._meet(fact, contact, said.from_department, sent_on=not said.warm)

    def _used(self, name: str) -> Contact:
        contact = self._contact(name)
        contact.is_used = True
        return contact

    def _touch_cases(self, contact: Contact, fact: Recorded) -> None:
        for name in contact.cases:
            self._case(name, fact)

    def _meet(self, fact: Recorded, contact: Contact, department: str | None, *, sent_on: bool) -> None:
        """A contact of no case, met in a department about a topic."""
        topic = contact.about
        if (
            department is None or topic is None or contact.cases or contact.is_courtesy or contact.is_expected
            or self._skips(fact, department)
        ):  # fmt: skip
            return
        found = self.topics.get(topic)
        if found is None:
            found = self.topics[topic] = Topic(topic)
        self.touched.topics.add(topic)
        found.meet(Meeting(fact.occurred_at, department, fact.name, sent_on), self.policy)

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

    # what goes out

    def _go_out(self, fact: Recorded, name: str) -> None:
        """A `contact.sent` and the claim facts that name it are one, at the earliest moment of them."""
        contact = self._used(name)
        self._touch_cases(contact, fact)
        parts = [part for part in (contact.sent, *contact.claim_facts) if part and contact.moment_of(part) is fact]
        if isinstance(fact.data, ContactSent) and fact is not contact.sent:
            parts = [fact]
        for part in sorted(parts, key=lambda part: not isinstance(part.data, ClaimAnswered)):
            if not contact.arrived(part):
                continue
            if isinstance(part.data, ContactSent):
                self._send(part, part.data, contact, fact.occurred_at)
            elif contact.sent is None or _to_claimant(contact.sent):
                self._claim_fact(part, fact.occurred_at, contact)

    def _send(self, fact: Recorded, said: ContactSent, contact: Contact, at: datetime) -> None:
        for name in said.in_reply_to:
            self._used(name)
        if said.to == "other":
            return
        if said.kind == "answer" and said.substantive is not False:
            topics = [self._contact(name).about for name in said.in_reply_to]
            self._substantive(at, contact.cases, topics)
        if said.kind == "acknowledgement" and _actor(fact).kind in MACHINES:
            return
        joined = [part.data.claim for part in contact.claim_facts if isinstance(part.data, CLAIM_UNITS)]
        for claim in self._claims_named(said.claim, contact, at, joined):
            claim.send(at, fact.name, contact.id, said.kind, said.in_reply_to)
            self._changed(claim)

    def _claim_fact(self, fact: Recorded, at: datetime, contact: Contact | None) -> None:
        """An acknowledgement, a holding reply or an answer, delivered."""
        data = fact.data
        if not isinstance(data, CLAIM_UNITS):
            return
        claim = self.claims.get(data.claim)
        if claim is None or not claim.has_begun or at < claim.t0:
            return
        unit = fact.name if contact is None else contact.id
        match data:
            case ClaimAcknowledged():
                full = bool(data.reference and data.contact_name and data.expected_at)
                claim.acknowledge(
                    at,
                    fact.name,
                    unit,
                    data.expected_at,
                    full=full,
                    automatic=data.automatic,
                )
            case ClaimHeld():
                claim.hold(at, fact.name, unit, data.promised_at)
            case ClaimAnswered() if data.human_validated and data.delivered is not False:
                if claim.answer(at, fact.name, unit, data):
                    self._substantive(at, [claim.said.case], self._topics_of(contact))
        self._changed(claim)

    def _topics_of(self, contact: Contact | None) -> list[str | None]:
        """The topics an answer that went out with a contact is on."""
        if contact is None:
            return []
        replied = contact.sent.data.in_reply_to if contact.sent and _is_sent(contact.sent.data) else ()
        return [contact.about, *(self._contact(name).about for name in replied)]

    def _substantive(self, at: datetime, answered: Iterable[str | None], topics: Iterable[str | None]) -> None:
        """A substantive answer: on cases, on topics, and for the claims of cases that were answered in them."""
        for name in answered:
            if name is None:
                continue
            self.cases.setdefault(name, Case(name)).answer(at)
            self.touched.cases.add(name)
            for ending in [e for e in self.endings if e.other == name]:
                self._end_claims(ending, at)
                self.endings.remove(ending)
        for topic in topics:
            if topic is not None and (found := self.topics.get(topic)) is not None:
                found.answer()
                self.touched.topics.add(topic)

    # the course of cases and claims

    def _close(self, fact: Recorded, said: CaseClosed) -> None:
        case = self._case(said.case, fact)
        case.close(ending=said.reason in ("answered", "withdrawn", "duplicate", "answered_in"))
        begun = tuple(claim.id for claim in self.claims_of.get(said.case, ()) if claim.is_awaited)
        if said.reason == "withdrawn":
            for name in begun:
                self.claims[name].withdraw(fact.occurred_at, fact.name, "withdrawn")
                self.touched.claims.add(name)
        elif said.other_case is not None and said.reason in (
            "duplicate",
            "answered_in",
        ):
            ending = Ending(said.case, said.other_case, begun)
            other = self.cases.get(said.other_case)
            if other is not None and other.last_answer is not None:
                self._end_claims(ending, fact.occurred_at)
            else:
                self.endings.append(ending)

    def _end_claims(self, ending: Ending, at: datetime) -> None:
        for name in ending.claims:
            self.claims[name].withdraw(at, "", "ended")
            self.touched.claims.add(name)

    def _claim_course(self, fact: Recorded) -> None:
        """What happens to a claim apart from its answers; and what people did with alerts."""
        if isinstance(fact.data, ACTS):
            self.acts.append(act(fact))
            self.touched.acts = True
            return
        data, at, name = fact.data, fact.occurred_at, fact.name
        claim = self.claims.get(getattr(data, "claim", ""))
        if claim is None or not claim.has_begun:
            return
        match data:
            case ClaimPaused():
                claim.pause(at, name, data.reason, data.until)
            case ClaimResumed():
                claim.resume(at, name)
            case ClaimContributionRequested():
                claim.ask(at, name, data.department, data.due_at)
                if claim.said.case is not None:
                    self.cases.setdefault(claim.said.case, Case(claim.said.case)).consulted.add(data.department)
            case ClaimContributionProvided():
                claim.provide(at, name, data.department)
            case ClaimWithdrawn():
                claim.withdraw(at, name, "withdrawn")
            case ClaimReopened():
                claim.reopen(at, name)
            case ClaimTransferredOut():
                claim.transfer_out(at, name)
            case ClaimMediationRequested():
                claim.mediate(at, name, "mediator_meeting", None)
            case ClaimMediatorMet():
                claim.mediate(at, name, "mediator_report", "mediator_meeting")
            case ClaimMediatorReported():
                claim.mediate(at, name, None, "mediator_report")
            case ClaimCommissionAdvised():
                claim.mediate(at, name, "commission", None)
            case ClaimConcluded():
                claim.conclude(at, name)
            case _:
                return
        self._changed(claim)


def _is_before(one: Recorded, other: Recorded) -> bool:
    """Whether a fact's place in history is before another's."""
    if one.occurred_at != other.occurred_at:
        return one.occurred_at < other.occurred_at
    return one.place < other.place


def _actor(fact: Recorded) -> Actor:
    return NOBODY if fact.data is None or fact.data.actor is None else fact.data.actor


def _is_sent(data: object) -> TypeGuard[ContactSent]:
    return isinstance(data, ContactSent)


def _to_claimant(fact: Recorded) -> bool:
    return _is_sent(fact.data) and fact.data.to != "other"
