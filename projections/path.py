"""The path of a case across departments. DOMAIN section 3."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from projections.known import NOTHING, grown
from projections.policy import Policy

LEVELS = (None, "B1", "B2", "B3", "B4")
MOVED, BOUNCED, PING_PONG, TRAPPED = 1, 2, 3, 4


class Visit(NamedTuple):
    """A stay in one department, from the fact that brought the case there."""

    department: str
    since: datetime
    planned: bool
    fact: str


@dataclass(slots=True, init=False)
class Path:
    """One path of a case and its measures, kept up to date visit by visit. DOMAIN section 3, table 1."""

    number: int
    visits: list[Visit]
    hops: int
    returns: int
    direct_returns: int
    alternation: int
    sterile: int
    carried: int
    level: int
    trapped_due: datetime | None
    is_open: bool
    opened_at: datetime | None
    answered_at: datetime | None
    redirects: tuple[str, ...]
    sterile_visits: tuple[str, ...]
    seen: set[str]
    stretch: int

    def __init__(self, number: int) -> None:
        self.number = number
        self.visits = []
        self.hops = 0
        self.returns = 0
        self.direct_returns = 0
        self.alternation = 0
        self.sterile = 0
        self.carried = 0
        self.level = 0
        self.trapped_due = None
        self.is_open = False
        self.opened_at = None
        self.answered_at = None
        self.redirects = ()
        self.sterile_visits = ()
        self.seen = set()
        self.stretch = 0

    @property
    def departments(self) -> tuple[str, ...]:
        return tuple(visit.department for visit in self.visits)

    @property
    def handoffs(self) -> int:
        return max(0, len(self.visits) - 1)

    @property
    def here(self) -> str | None:
        """The department the case is in."""
        return self.visits[-1].department if self.visits else None

    @property
    def is_bounced(self) -> bool:
        """A bounced case's path: at least B2."""
        return self.level >= BOUNCED

    def enter(self, visit: Visit) -> None:
        """Begin a visit; planned moves never count as hops, returns or alternation."""
        self.visits.append(visit)
        n = len(self.visits)
        if n == 1 or visit.planned:
            self.stretch = 1
        else:
            back = n > 2 and self.visits[-3].department == visit.department
            self.stretch = self.stretch + 1 if back and self.stretch > 1 else 2
            self.hops += 1
            self.returns += visit.department in self.seen
            self.direct_returns += back
        self.alternation = max(self.alternation, self.stretch)
        self.seen.add(visit.department)

    def reached(self, policy: Policy) -> int:
        """The level the measures alone give, 0 to 4. DOMAIN section 3, levels."""
        if self.returns >= policy.b4_returns or self.hops >= policy.b4_hops:
            return TRAPPED
        if self.alternation >= policy.b3_alternation or self.returns >= policy.b3_returns:
            return PING_PONG
        if (
            self.returns >= policy.b2_returns
            or self.hops >= policy.b2_hops
            or self.sterile >= policy.b2_sterile
            or self.carried >= policy.b2_carried
        ):
            return BOUNCED
        return MOVED if self.hops >= policy.b1_hops else 0


@dataclass(slots=True, init=False)
class Case:
    """A case as its facts, taken in history order, have left it."""

    id: str
    path: Path
    earlier: tuple[Path, ...]
    topic: str | None
    closed: bool
    last_answer: datetime | None
    new_path: bool
    last_sign: datetime | None
    first_sign: datetime | None
    consulted: AbstractSet[str]
    announced: AbstractSet[str]
    achieved: bool
    nothing_done: bool

    def __init__(self, name: str) -> None:
        self.id = name
        self.path = Path(1)
        self.earlier = ()
        self.topic = None
        self.closed = False
        self.last_answer = None
        self.new_path = False
        self.last_sign = None
        self.first_sign = None
        self.consulted = NOTHING
        self.announced = NOTHING
        self.achieved = False
        self.nothing_done = False

    @property
    def paths(self) -> list[Path]:
        return [*self.earlier, self.path]

    @property
    def is_bounced(self) -> bool:
        """Whether any of its paths is, or was, at the level of a finding."""
        return self.path.is_bounced or bool(self.earlier)

    def stays(self, department: str) -> bool:
        """Whether a moving fact of a department moves nothing: the case is there."""
        return not self.new_path and self.path.here == department

    def ask(self, department: str) -> None:
        """A department's opinion is asked: what it does from now on moves nothing."""
        self.consulted = grown(self.consulted, department)

    def given(self, department: str) -> None:
        """Taken by, or transferred to, a department: what it does from now on moves the case, also if it was asked."""
        if department in self.consulted:
            self.consulted = self.consulted - {department}

    def move(self, visit: Visit, policy: Policy) -> bool:
        """A moving fact of a department; True if a visit begins with it.

        `visit.planned` says what the fact itself says; an announcement since the last visit began counts as well.
        """
        if self.new_path:
            self.earlier = (*self.earlier, self.path)
            self.path, self.new_path = Path(self.path.number + 1), False
        elif self.path.here == visit.department:
            return False
        if visit.department in self.announced and not visit.planned:
            visit = Visit(visit.department, visit.since, True, visit.fact)  # noqa: FBT003
        if self.path.visits and not visit.planned and self.nothing_done and not self.achieved:
            self.path.sterile += 1
            self.path.sterile_visits = (*self.path.sterile_visits, self.path.visits[-1].fact)
        self.path.enter(visit)
        self.consulted = self.announced = NOTHING
        self.achieved = self.nothing_done = False
        if len(self.path.visits) > 1 and not visit.planned:
            self._trigger(visit.since)
        self._rise(visit.since, policy)
        return True

    def carry(self, at: datetime, fact: str, policy: Policy) -> None:
        """A cold redirect: the patient was told to carry the case elsewhere alone."""
        self.path.carried += 1
        self.path.redirects = (*self.path.redirects, fact)
        self._trigger(at)
        self._rise(at, policy)

    def act(self, department: str, substantive: bool | None) -> None:  # noqa: FBT001
        """What a fact of the department in charge says it achieved; absent is held against nobody."""
        if department == self.path.here and substantive is not None:
            self.achieved |= substantive
            self.nothing_done |= not substantive

    def answer(self, at: datetime) -> None:
        """A substantive answer: it closes every open finding of the case, the level stays."""
        self.last_answer = self.path.answered_at = at
        self._mend()

    def close(self, *, ending: bool) -> None:
        """Closed; only an ending close (answered, withdrawn, duplicate, answered in another) closes findings."""
        self.closed = True
        if ending:
            self._mend()

    def reopen(self, at: datetime, policy: Policy) -> None:
        """Reopened; long after the last answer, a new path starts at the next moving fact."""
        self.closed = False
        if self.last_answer is not None and at - self.last_answer > timedelta(days=policy.reopen_days):
            self.new_path = True

    def fire(self, to: datetime) -> datetime | None:
        """Let the deadlines up to an instant pass: ping-pong without an answer traps. The last one fired, if any."""
        fired = None
        for path in self.paths:
            if path.trapped_due is not None and path.trapped_due <= to:
                fired, path.trapped_due = path.trapped_due, None
                if path.level < TRAPPED:
                    path.level = TRAPPED
                    path.is_open = True
        return fired

    @property
    def next_due(self) -> datetime | None:
        if not self.earlier:
            return self.path.trapped_due
        return min(
            (path.trapped_due for path in self.paths if path.trapped_due is not None),
            default=None,
        )

    def _trigger(self, at: datetime) -> None:
        """An unplanned move or a cold redirect at or above bounced opens the finding (again)."""
        if self.path.level >= BOUNCED:
            self.path.is_open = True
            self.path.opened_at = self.path.opened_at or at

    def _rise(self, at: datetime, policy: Policy) -> None:
        path = self.path
        level = path.reached(policy)
        if level <= path.level:
            return
        if level >= PING_PONG > path.level:
            home = policy.home
            path.trapped_due = home.calendar.end_of_working_days(at, policy.b4_working_days)
        path.level = level
        self._trigger(at)

    def _mend(self) -> None:
        for path in self.paths:
            path.is_open = False
            path.trapped_due = None
