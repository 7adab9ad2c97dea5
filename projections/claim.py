"""A claim as its facts have left it. DOMAIN section 4."""

from collections.abc import Iterable
from datetime import date, datetime

from events.claims import ClaimAnswered
from projections.clocks import OUTLIVING, PAUSABLE, ClockName
from projections.owed import MEDIATION_DAYS, ClaimState, Contribution, Owed
from projections.working_days import Allowance


class Claim(Owed):
    """A claim from its registration on. Methods take facts in history order; `advance` lets deadlines pass."""

    __slots__ = ()

    # -- beginning -----------------------------------------------------------------------------------------------------

    def begin(self, department: str | None) -> None:
        """The first time it was said: t0. Clocks start there."""
        self.has_begun = True
        self.now = self.t0
        self.rules = rules = self.jurisdiction.rules_at(self.t0)
        if rules.acknowledge is not None:
            self._start(
                "acknowledge",
                self.t0,
                rules.acknowledge.end(self.calendar, self.t0),
                self.fact,
            )
        if rules.final is not None:
            self._start("final", self.t0, rules.final.end(self.calendar, self.t0), self.fact)
        self._start_answer(self.t0, self.fact)
        self._start_update(self.t0, self.fact)
        self.enter(self.t0, department, self.fact)
        self._settle(self.t0)

    # -- what comes in -------------------------------------------------------------------------------------------------

    def receive(
        self,
        at: datetime,
        contact: str,
        fact: str,
        *,
        courtesy: bool,
        invited: bool,
        ends_pause: bool,
    ) -> None:
        """An inbound that names the claim: it may end a pause, be a chase, and start `next`."""
        self.inbounds.add(contact)
        listed = contact in self.said.contacts
        pause = self.pauses.credited
        if not (
            self.is_over or listed or courtesy or invited or (pause is not None and pause.reason == "waiting_claimant")
        ):
            self.chases.append(fact)
            self.chases_since_outbound += 1
            self._tell(at, fact, "chased")
        if pause is not None and ends_pause:
            self._end_pause(at, fact, "pause_ended_by_message")
        if not (listed or courtesy or self.is_over):
            self._wait(at, contact, fact)
        self._settle(at)

    def _wait(self, at: datetime, contact: str | None, fact: str) -> None:
        if self.is_out:
            return
        self.waiting.append((at, contact, fact))
        if len(self.waiting) == 1:
            self._start_next()

    def _start_next(self) -> None:
        at, contact, fact = self.waiting[0]
        self._start("next", at, None, fact, contact)

    # -- what goes out -------------------------------------------------------------------------------------------------

    def send(self, at: datetime, fact: str, unit: str, kind: str, in_reply_to: Iterable[str]) -> None:
        """A delivered `contact.sent` to the claimant that names the claim."""
        named = frozenset(in_reply_to)
        self.outbound(at, fact, unit)
        if kind in ("answer", "information", "callback"):
            self._reply(at, fact, named or None)
        self._settle(at)

    def handle(self, at: datetime, contact: str, fact: str) -> None:
        """One of its inbounds was dealt with, as answered or partial: a patient answered on the telephone was answered."""
        self.outbound(at, fact, fact)
        self._reply(at, fact, frozenset({contact}))
        self._settle(at)

    def outbound(self, at: datetime, fact: str, unit: str, *, renew: bool = True) -> None:
        """Anything delivered to the claimant: `update` is met and starts anew. One unit is one outbound."""
        self.chases_since_outbound = 0
        if self.is_over or self.is_out or self.last_unit == (at, unit):
            return
        self.last_unit = (at, unit)
        self._meet(self.current["update"], at, fact)
        if renew:
            self._start_update(at, fact)

    def _reply(self, at: datetime, fact: str, named: frozenset[str] | None) -> None:
        """The inbounds answered: those named, or all. The oldest one left runs on in a clock of its own."""
        head = self.waiting[0] if self.waiting else None
        self.waiting = [w for w in self.waiting if named is not None and w[1] not in named]
        if head is None or head in self.waiting:
            return
        self._meet(self.current["next"], at, fact)
        if self.waiting:
            self._start_next()

    def acknowledge(
        self,
        at: datetime,
        fact: str,
        unit: str,
        expected_at: datetime | date | None,
        *,
        full: bool,
        automatic: bool,
    ) -> None:
        """A valid `claim.acknowledged`: full when it has a reference, a contact name and an expected date."""
        if full or not automatic:
            self.outbound(at, fact, unit)
        if full and not self.is_over and not self.is_out:
            clock = self.current.get("acknowledge")
            first = clock is not None and clock.is_awaited
            if clock is not None:
                self._meet(clock, at, fact)
            if first and self.rules.agreed_date and expected_at is not None and self.current["answer"].instance == 1:
                self._shift(at, self._end_of(expected_at), None, fact, is_hold=False)
        elif not full and automatic:
            self._tell(at, fact, "bare_acknowledgement")
        self._settle(at)

    def hold(self, at: datetime, fact: str, unit: str, promised_at: datetime | date | None) -> None:
        """A holding reply: an outbound, never an answer; its promise may move `answer`, within limits."""
        self.outbound(at, fact, unit)
        self._tell(
            at,
            fact,
            "held",
            None,
            None if promised_at is None else self._end_of(promised_at),
        )
        if promised_at is not None and not self.is_over:
            limit = self.calendar.end_of_working_days(at, self.policy.hold_working_days)
            self._shift(at, self._end_of(promised_at), limit, fact, is_hold=True)
        self._settle(at)

    def answer(self, at: datetime, fact: str, unit: str, said: ClaimAnswered) -> bool:
        """A valid `claim.answered` (validated and delivered); True if the claim is completely answered with it."""
        self._meet_all("commission", at, fact)
        issues = frozenset(self.said.issues)
        self.answered_issues |= issues & frozenset(said.issues) if said.issues else issues
        complete = self.answered_issues >= issues
        self.outbound(at, fact, unit, renew=not complete)
        self._reply(at, fact, None)
        if not self.is_over:
            self._tell(at, fact, "answered" if complete else "partly_answered")
            if complete:
                self._complete(at, fact)
        self._settle(at)
        return complete

    def _complete(self, at: datetime, fact: str) -> None:
        for name in ("acknowledge", "answer", "final"):
            if (clock := self.current.get(name)) is not None:
                self._meet(clock, at, fact)
        self.answered_at = at
        self._end(at, "answered", fact)

    # -- pauses --------------------------------------------------------------------------------------------------------

    def pause(self, at: datetime, fact: str, reason: str, until: datetime | date | None) -> None:
        if self.is_over:
            return
        end = None if until is None else self._due_moment(until)
        late = not self.current["answer"].is_running
        judged = self.pauses.open(fact, reason, at, end, self.calendar, self.policy, late=late)
        if judged is None:
            self._tell(at, fact, "pause_ignored")
        elif judged.end is None:
            self._tell(at, fact, "pause_refused", word=reason)
        else:
            for clock in self.clocks:
                if clock.is_running and clock.name in PAUSABLE:
                    clock.pauses.append(judged)
                    clock.due_at = self._due(clock)
            self._tell(at, fact, "paused", self.current["answer"], self.current["answer"].due_at, reason)
        self._settle(at)

    def resume(self, at: datetime, fact: str) -> None:
        if self.pauses.credited is not None:
            self._end_pause(at, fact, "resumed")
        else:
            self.pauses.finish()
        self._settle(at)

    # -- its course ----------------------------------------------------------------------------------------------------

    def withdraw(self, at: datetime, fact: str, state: ClaimState) -> None:
        """Withdrawn by the claimant or with its case, or ended with a case that was a duplicate."""
        if not self.is_over:
            self._tell(at, fact, state)
            self._end(at, state, fact)
        self._settle(at)

    def reopen(self, at: datetime, fact: str) -> None:
        """On a claim that is over, answers before it no longer complete. Reopening does not forgive."""
        if not self.is_over:
            self._tell(at, fact, "reopened_nothing")
            return
        self.is_over = self.is_out = False
        self.state, self.answered_at = "open", None
        self.answered_issues = set()
        self._tell(at, fact, "reopened")
        final = self.current.get("final")
        if final is not None and final.state in ("cancelled", "breached"):
            final.stopped, final.since = False, at
            final.state = "running" if final.state == "cancelled" else final.state
            self.awaited = [*(clock for clock in self.awaited if clock is not final), final]
        self._start_answer(at, fact)
        self._start_update(at, fact)
        self._wait(at, None, fact)
        self._settle(at)

    def conclude(self, at: datetime, fact: str) -> None:
        """The file is closed; without a complete answer only the state changes."""
        self.state = "concluded"
        self._tell(at, fact, "concluded")

    def transfer_out(self, at: datetime, fact: str) -> None:
        """Sent to another organisation: `answer` and `final` run on, the patient is still waiting."""
        if self.is_over:
            return
        self.state, self.is_out = "transferred", True
        self.waiting = []
        for clock in self.clocks:
            if clock.name in ("acknowledge", "update", "next", "visit"):
                clock.stop()
        self._tell(at, fact, "transferred_out")
        self._settle(at)

    def _end(self, at: datetime, state: ClaimState, fact: str) -> None:
        self.is_over, self.state = True, state
        for clock in self.clocks:
            if clock.name not in OUTLIVING:
                clock.stop()
        self.waiting = []
        self.pauses.finish()
        for part in self.contributions:
            part.is_over = True
        self._tell(at, fact, "over")

    # -- departments ---------------------------------------------------------------------------------------------------

    def enter(self, at: datetime, department: str | None, fact: str) -> None:
        """The claim's case enters a department: the old department's `visit` clock is gone, a new one starts."""
        old = self.current.get("visit")
        if old is not None and old.about != department:
            old.stop()
        if department is None or self.is_over or self.is_out:
            return
        self._start("visit", at, None, fact, department)
        self._settle(at)

    def act(self, at: datetime, department: str, fact: str) -> None:
        """A person of a department acted on the case, not without substance: its `visit` clock is met."""
        clock = self.current.get("visit")
        if clock is not None and clock.about == department:
            self._meet(clock, at, fact)
            self._settle(at)

    def ask(self, at: datetime, fact: str, department: str, due_at: datetime | date | None) -> None:
        """A department is asked for its part of a joint answer."""
        if self.is_over:
            return
        allowance = Allowance(self.policy.contribution_working_days)
        due = allowance.end(self.calendar, at) if due_at is None else self._due_moment(due_at)
        self.contributions.append(Contribution(fact, department, at, due))
        self._tell(at, fact, "contribution_asked", None, due, department)
        self._settle(at)

    def provide(self, at: datetime, fact: str, department: str) -> None:
        """A department gave its part."""
        for part in self.contributions:
            if part.department == department:
                part.is_over = True
        self._tell(at, fact, "contribution_given", word=department)
        self._settle(at)

    # -- mediation and commission --------------------------------------------------------------------------------------

    def mediate(self, at: datetime, fact: str, starts: ClockName | None, meets: ClockName | None) -> None:
        """A step of the mediation: it meets the clock it answers and starts the one that follows, over or not."""
        if meets is not None:
            self._meet_all(meets, at, fact)
        if starts is not None:
            self._start(starts, at, Allowance(days=MEDIATION_DAYS).end(self.calendar, at), fact)
        self._settle(at)
