"""What goes out to a person, and the course of their cases and claims. DOMAIN sections 2 and 4."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeGuard

from events.cases import (
    CaseClosed,
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
    ClaimReopened,
    ClaimResumed,
    ClaimTransferredOut,
    ClaimWithdrawn,
)
from events.contacts import (
    ContactSent,
)
from events.envelope import Recorded
from projections.acts import ACTS, act
from projections.contact import Contact
from projections.path import Case
from projections.standing import MACHINES, Ending, Standing, actor

CLAIM_UNITS = (ClaimAcknowledged, ClaimHeld, ClaimAnswered)


class Answering(Standing):
    """Answers, holding replies, acknowledgements; closing, pausing, mediation; what people did with alerts."""

    __slots__ = ()

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
        if said.kind == "acknowledgement" and actor(fact).kind in MACHINES:
            return
        joined = [part.data.claim for part in contact.claim_facts if isinstance(part.data, CLAIM_UNITS)]
        for claim in self._claims_named(said.claim, contact, at, joined):
            claim.send(at, fact.name, contact.id, said.kind, said.in_reply_to)
            self._changed(claim)
        if said.kind == "answer" and said.substantive is not False:
            topics = [self._contact(name).about for name in said.in_reply_to]
            self._substantive(at, contact.cases, topics)

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
            self.touched.case(name)
            for ending in [e for e in self.endings if e.other == name]:
                self._end_claims(ending, at)
                self.endings.remove(ending)
        for topic in topics:
            if topic is not None and (found := self.topics.get(topic)) is not None:
                found.answer()
                self.touched.topic(topic)

    # -- the course of cases and claims --------------------------------------------------------------------------------

    def _close(self, fact: Recorded, said: CaseClosed) -> None:
        case = self._case(said.case, fact)
        case.close(ending=said.reason in ("answered", "withdrawn", "duplicate", "answered_in"))
        begun = tuple(claim.id for claim in self.claims_of.get(said.case, ()) if claim.is_awaited)
        if said.reason == "withdrawn":
            for name in begun:
                self.claims[name].withdraw(fact.occurred_at, fact.name, "withdrawn")
                self.touched.claim(name)
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
            self.touched.claim(name)

    def _claim_course(self, fact: Recorded) -> None:
        """What happens to a claim apart from its answers; and what people did with alerts."""
        if isinstance(fact.data, ACTS):
            self.acts.append(act(fact, self.policy.home.calendar))
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
                    self.cases.setdefault(claim.said.case, Case(claim.said.case)).ask(data.department)
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


def _is_sent(data: object) -> TypeGuard[ContactSent]:
    return isinstance(data, ContactSent)


def _to_claimant(fact: Recorded) -> bool:
    return _is_sent(fact.data) and fact.data.to != "other"
