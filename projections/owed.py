"""What is owed on a claim, since when, until when: its clocks, what moves them, and what time makes of them. DOMAIN section 4."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from events.claims import ClaimRegistered
from projections.clocks import Clock, ClockName
from projections.jurisdictions import Jurisdiction, Rules
from projections.pauses import Pause, PauseBook
from projections.policy import Policy
from projections.working_days import Allowance, Calendar, put_off, put_off_moment

ClaimState = Literal["open", "answered", "withdrawn", "concluded", "transferred", "ended"]
DAY = timedelta(days=1)
MEDIATION_DAYS = 8
CHASES = 2
LADDER = ("U0", "U1", "U2", "U3", "U4", "U5")


class Step(NamedTuple):
    """One line of the explanation: which fact (none for a deadline) did what to which clock, by which rule."""

    at: datetime
    fact: str
    code: str
    clock: str | None = None
    instance: int | None = None
    when: datetime | None = None
    word: str | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """What may move the due moment of an instance of `answer`: a holding reply's promise, or the date agreed.

    `pauses` is how many had been opened by then.
    """

    at: datetime
    target: datetime
    limit: datetime | None
    is_hold: bool
    pauses: int
    instance: int


@dataclass(slots=True)
class Contribution:
    """One department's part of a joint answer."""

    fact: str
    department: str
    asked_at: datetime
    due_at: datetime
    is_late: bool = False
    is_over: bool = False

    @property
    def opened_at(self) -> datetime:
        return max(self.asked_at, self.due_at)


@dataclass(slots=True)
class Missed:
    """Since when a finding about this claim has been so, and whether it still is."""

    opened_at: datetime
    level: str | None = None
    is_open: bool = True


@dataclass(slots=True)
class Owed:
    """A claim's state, and its clocks. `advance` lets deadlines pass; `_settle` brings what is found up to an instant."""

    id: str
    fact: str
    said: ClaimRegistered
    t0: datetime
    jurisdiction: Jurisdiction
    policy: Policy
    rules: Rules
    has_begun: bool = False
    is_over: bool = False
    is_out: bool = False
    state: ClaimState = "open"
    answered_at: datetime | None = None
    answered_issues: set[str] = field(default_factory=set)
    last_unit: tuple[datetime, str] | None = None
    clocks: list[Clock] = field(default_factory=list)
    awaited: list[Clock] = field(default_factory=list)
    current: dict[str, Clock] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    pauses: PauseBook = field(default_factory=PauseBook)
    shifts: list[Shift] = field(default_factory=list)
    waiting: list[tuple[datetime, str | None, str]] = field(default_factory=list)
    contributions: list[Contribution] = field(default_factory=list)
    chases: list[str] = field(default_factory=list)
    chases_since_outbound: int = 0
    inbounds: set[str] = field(default_factory=set)
    unanswered: Missed | None = None
    deemed: Missed | None = None
    missed: dict[str, Missed] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    next_due: datetime | None = None
    now: datetime | None = None
    fired_at: datetime | None = None

    @property
    def calendar(self) -> Calendar:
        return self.jurisdiction.calendar

    @property
    def is_awaited(self) -> bool:
        """Begun and not over: an open claim."""
        return self.has_begun and not self.is_over

    @property
    def has_missed(self) -> bool:
        """Whether there is, or was, anything to find about it."""
        if (
            self.unanswered is not None
            or self.missed
            or self.deemed is not None
            or (self.pauses.all and self.pauses.refused)
        ):
            return True
        return any(part.is_late for part in self.contributions)

    # -- clocks start --------------------------------------------------------------------------------------------------

    def _start(self, name: ClockName, at: datetime, due: datetime | None, fact: str, about: str | None = None) -> Clock:
        """Start an instance; a clock that pauses stop has its due moment worked out, the others are given theirs."""
        self.instances[name] = instance = self.instances.get(name, 0) + 1
        clock = Clock(name, instance, at, due or at, fact, about)
        self.clocks.append(clock)
        self.awaited.append(clock)
        self.current[name] = clock
        if due is None:
            clock.pauses += self.pauses.after(at)
            clock.due_at = self._due(clock)
        self._tell(at, fact, "started", clock, clock.due_at)
        return clock

    def _start_answer(self, at: datetime, fact: str) -> None:
        self._start("answer", at, None, fact)

    def _start_update(self, at: datetime, fact: str) -> None:
        self._start(
            "update",
            at,
            Allowance(self.policy.update_working_days).end(self.calendar, at),
            fact,
        )

    # -- due moments ---------------------------------------------------------------------------------------------------

    def _due(self, clock: Clock) -> datetime:
        """The due moment of a clock that pauses stop, from its start and the pauses that stopped it."""
        if clock.name == "answer":
            return self._answer_due(clock)
        n = self.policy.next_working_days if clock.name == "next" else self.policy.visit_working_days
        return self._last_day_end(clock, Allowance(n), clock.pauses)

    def _answer_due(self, clock: Clock) -> datetime:
        """The due moment of an instance of `answer`: its start, the pauses, and what moved it in their order."""
        final, holds = self.current.get("final"), 0
        moved: Shift | None = None
        for shift in self.shifts:
            if shift.instance != clock.instance:
                continue
            then = self._answer_due_then(clock, moved, shift.pauses)
            if not shift.at < then or (shift.is_hold and holds >= self.policy.holds):
                continue
            ends = (shift.target, shift.limit, None if final is None else final.due_at)
            reached = min(at for at in ends if at is not None)
            if reached > then:
                moved, holds = replace(shift, target=reached), holds + shift.is_hold
        return self._answer_due_then(clock, moved, None)

    def _answer_due_then(self, clock: Clock, moved: Shift | None, n: int | None) -> datetime:
        """The due moment as it was after the first n pauses (None: all), each with its actual end.

        A date that was promised is absolute: the pauses opened before the promise do not move it.
        """
        calendar, allowance = self.calendar, self.rules.answer
        pauses = clock.pauses[:n]
        if moved is not None:
            later = pauses[moved.pauses :]
            zero = calendar.day_of(clock.started_at)
            return self._put_off(zero, calendar.day_of(moved.target) - DAY, later)
        promised = self.said.due_at if clock.instance == 1 else None
        if promised is None:
            return self._last_day_end(clock, allowance, pauses)
        first, spans = calendar.day_of(clock.started_at) + DAY, [pause.span for pause in pauses]
        if isinstance(promised, datetime):
            return put_off_moment(calendar, first, promised, spans, working=allowance.counts_working_days)
        return self._put_off(first - DAY, promised, pauses)

    def _last_day_end(self, clock: Clock, allowance: Allowance, pauses: list[Pause]) -> datetime:
        last = allowance.last_day(self.calendar, clock.started_at)
        working = allowance.counts_working_days
        return self._put_off(self.calendar.day_of(clock.started_at), last, pauses, working=working)

    def _put_off(self, zero: date, last: date, pauses: list[Pause], *, working: bool | None = None) -> datetime:
        """The end of a last day, later by the countable days after day 0 that the pauses took."""
        if not pauses:
            return self.calendar.end_of(last)
        working = self.rules.answer.counts_working_days if working is None else working
        spans = [pause.span for pause in pauses]
        return self.calendar.end_of(put_off(self.calendar, zero + DAY, last, spans, working=working))

    def _shift(
        self,
        at: datetime,
        target: datetime,
        limit: datetime | None,
        fact: str,
        *,
        is_hold: bool,
    ) -> None:
        clock = self.current["answer"]
        if not clock.is_running:
            return
        before = clock.due_at
        self.shifts.append(Shift(at, target, limit, is_hold, len(clock.pauses), clock.instance))
        clock.due_at = self._answer_due(clock)
        code = "moved" if clock.due_at > before else "not_moved"
        self._tell(at, fact, f"{'hold' if is_hold else 'agreed'}_{code}", clock, clock.due_at)

    def _end_of(self, when: datetime | date) -> datetime:
        """The end of a local day, given as a date or by an instant in it."""
        return self.calendar.end_of(self.calendar.day_of(when) if isinstance(when, datetime) else when)

    def _due_moment(self, when: datetime | date) -> datetime:
        """A due moment given in data: an instant is itself, a date ends at its end."""
        return when if isinstance(when, datetime) else self.calendar.end_of(when)

    def _end_pause(self, at: datetime, fact: str, code: str) -> None:
        pause = self.pauses.credited
        self.pauses.end(at)
        for clock in self.clocks:
            if pause in clock.pauses:
                clock.due_at = self._due(clock)
                if clock.was_late_after_all() and clock.name == "answer":
                    self._was_unanswered(clock.due_at)
        self._tell(at, fact, code, self.current["answer"], self.current["answer"].due_at)

    def _was_unanswered(self, since: datetime) -> None:
        """The pause ended sooner than it might have: what was answered in it was late, as is seen now."""
        if self.unanswered is None:
            self.unanswered = Missed(since, "U3", is_open=False)
        elif since < self.unanswered.opened_at:
            self.unanswered.opened_at = since

    # -- time ----------------------------------------------------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        """Let every deadline up to an instant fire, in order; `fired_at` is the last moment at which one did."""
        while (due := self._next_event()) is not None and due <= to:
            self._fire(due)
        self._settle(to)

    def _note_fired(self, due: datetime) -> None:
        self.fired_at = due if self.fired_at is None else max(due, self.fired_at)

    def _next_event(self) -> datetime | None:
        moments = [clock.due_at for clock in self.awaited if clock.state == "running"]
        moments += [part.due_at for part in self.contributions if not part.is_over and not part.is_late]
        pause = self.pauses.credited
        if pause is not None and pause.end is not None:
            moments.append(pause.end)
        if (worse := self._worsens_at()) is not None:
            moments.append(worse)
        return min(moments, default=None)

    def _worsens_at(self) -> datetime | None:
        """When an unanswered claim has taken twice its allowance, if that still raises its step."""
        clock = self.current["answer"]
        if self.is_over or clock.state != "breached" or self.unanswered is None or self.unanswered.level != "U3":
            return None
        return clock.started_at + 2 * max(timedelta(), clock.due_at - clock.started_at)

    def _fire(self, due: datetime) -> None:
        self._note_fired(due)
        pause = self.pauses.credited
        if pause is not None and pause.end is not None and pause.end <= due:
            self._end_pause(pause.end, "", "pause_ran_out")
        for clock in sorted(self.awaited, key=lambda c: (c.due_at, c.name, c.instance)):
            if clock.is_running and clock.due_at <= due:
                self._breach(clock)
        for part in self.contributions:
            if part.due_at <= due and not part.is_over and not part.is_late:
                part.is_late = True
                self._tell(
                    part.due_at,
                    "",
                    "contribution_late",
                    None,
                    part.due_at,
                    part.department,
                )
        self._settle(due)

    def _breach(self, clock: Clock) -> None:
        clock.breach()
        self._note_fired(clock.due_at)
        at = max(clock.due_at, clock.since or clock.started_at)
        self._tell(at, "", "breached", clock, clock.due_at)
        if clock.name not in ("answer", "final"):
            self.missed.setdefault(clock.name, Missed(at, clock.name))
        elif self.unanswered is None:
            self.unanswered = Missed(at, "U5" if clock.name == "final" else "U3")
        if clock.name == "final" and self.rules.deemed and self.deemed is None:
            self.deemed = Missed(at)
            self._tell(at, "", "deemed", clock, clock.due_at, self.rules.deemed)

    def _settle(self, now: datetime) -> None:
        """Bring what is found about the claim up to an instant, and note when it has to be looked at again.

        The watermark may have passed that instant before: nothing fell due in between, or the fact would have the file folded anew.
        """
        self.now = now
        self.awaited = [clock for clock in self.awaited if clock.state == "running" or clock.is_missed]
        for clock in self.awaited:  # a pause that ended early, or a clock that began late, may be past due already
            if clock.state == "running" and clock.due_at <= now:
                self._breach(clock)
        step = self.ladder(now)
        if step >= "U3":
            self.unanswered = self.unanswered or Missed(now)
            self.unanswered.level, self.unanswered.is_open = step, True
        elif self.unanswered is not None:
            self.unanswered.is_open = False
        if self.deemed is not None:
            self.deemed.is_open = not self.is_over and self.current["final"].is_missed
        if self.missed:
            owed = {clock.name for clock in self.awaited if clock.is_missed}
            for name, missed in self.missed.items():
                missed.is_open = name in owed
        wakes = [at for at in (self._next_event(), self._warns_at(now)) if at is not None]
        self.next_due = min(wakes, default=None)

    def _warns_at(self, now: datetime) -> datetime | None:
        """When three quarters of the time for the answer are used, if that is still to come."""
        clock = self.current["answer"]
        if self.is_over or not clock.is_running:
            return None
        at = clock.started_at + (3 * (clock.due_at - clock.started_at) + timedelta(microseconds=3)) / 4
        return at if at > now else None

    def is_unanswered(self, now: datetime) -> bool:
        """The claim is not over, and `answer` is past due or `final` is breached."""
        if not self.is_awaited:
            return False
        final = self.current.get("final")
        clock = self.current["answer"]
        return clock.state == "breached" or clock.due_at <= now or (final is not None and final.state == "breached")

    def ladder(self, now: datetime) -> str:
        """How far the waiting has gone: the highest step that holds. DOMAIN section 4, ladder."""
        if not self.is_awaited:
            return LADDER[0]
        final, answer = self.current.get("final"), self.current["answer"]
        if final is not None and final.is_missed:
            return LADDER[5]
        elapsed, allowed = now - answer.started_at, answer.due_at - answer.started_at
        if self.is_unanswered(now):
            return LADDER[4 if elapsed >= 2 * allowed or self.chases_since_outbound >= CHASES else 3]
        if any(self.current[name].is_missed for name in ("acknowledge", "update") if name in self.current):
            return LADDER[2]
        return LADDER[1 if 4 * elapsed >= 3 * allowed else 0]

    # -- telling -------------------------------------------------------------------------------------------------------

    def _meet(self, clock: Clock, at: datetime, fact: str) -> None:
        if clock.is_awaited:
            clock.meet(at)
            self._tell(at, fact, clock.state, clock, clock.due_at)

    def _meet_all(self, name: ClockName, at: datetime, fact: str) -> None:
        for clock in self.awaited:
            if clock.name == name:
                self._meet(clock, at, fact)

    def _tell(
        self, at: datetime, fact: str, code: str, clock: Clock | None = None,
        when: datetime | None = None, word: str | None = None,
    ) -> None:  # fmt: skip
        name, instance = (clock.name, clock.instance) if clock else (None, None)
        self.steps.append(Step(at, fact, code, name, instance, when, word))
