"""One fact at its place in history: contacts come in, cases move from department to department. DOMAIN section 3."""

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
    ClaimHeld,
    ClaimRegistered,
    RecourseOpened,
)
from events.contacts import (
    ContactHandled,
    ContactLinked,
    ContactReceived,
    ContactRedirected,
    ContactSent,
    ContactUnlinked,
)
from events.envelope import Recorded
from projections.answering import Answering
from projections.contact import Contact
from projections.known import grown
from projections.path import Case, Visit
from projections.standing import MACHINES, actor
from projections.topic import Meeting, Topic

NO_ONE_WAITING = frozenset({"professional", "system", "bot"})


class Moving(Answering):
    """What each type of fact does."""

    __slots__ = ()

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
                    case.announced = grown(case.announced, data.to_department)
                self._move(fact, case, data.to_department, planned=data.planned)
            case CaseConsulted():
                self._case(data.case, fact).ask(data.department)
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
        if department is None or actor(fact).kind in MACHINES:
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

    # -- contacts ------------------------------------------------------------------------------------------------------

    def _receive(self, fact: Recorded, said: ContactReceived) -> None:
        self._name(said.case, fact)
        contact = self._used(said.contact)
        self._touch_cases(contact, fact)
        self._meet(fact, contact, said.department, sent_on=False)
        ends_pause = actor(fact).kind not in NO_ONE_WAITING
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
        if said.outcome in ("answered", "partial"):
            for claim in list(self.claims.values()):
                if claim.has_begun and contact.id in claim.inbounds:
                    claim.handle(fact.occurred_at, contact.id, fact.name)
                    self._changed(claim)
        if said.outcome == "answered" and said.substantive is not False:
            self._substantive(fact.occurred_at, contact.cases, [contact.about])

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
        self.touched.topic(topic)
        found.meet(Meeting(fact.occurred_at, department, fact.name, sent_on), self.policy)
