"""One running of one clock of a claim. DOMAIN section 4, table of clocks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from projections.pauses import Pause

ClockName = Literal[
    "acknowledge",
    "answer",
    "update",
    "next",
    "visit",
    "final",
    "mediator_meeting",
    "mediator_report",
    "commission",
]
ClockState = Literal["running", "paused", "met", "met_late", "breached", "cancelled"]
PAUSABLE = frozenset({"answer", "next", "visit"})
OUTLIVING = frozenset({"mediator_meeting", "mediator_report", "commission"})


@dataclass(slots=True, init=False)
class Clock:
    """An instance of a clock.

    `stopped` marks a breach that nobody can mend any more; `about` is the contact or department it waits for; `fact` is
    what started it; `since` is when a stopped one went on; `pauses` are the credited ones that stopped it.
    """

    name: ClockName
    instance: int
    started_at: datetime
    due_at: datetime
    fact: str
    about: str | None
    state: ClockState
    met_at: datetime | None
    stopped: bool
    since: datetime | None
    pauses: list[Pause]

    def __init__(
        self,
        name: ClockName,
        instance: int,
        started_at: datetime,
        due_at: datetime,
        fact: str = "",
        about: str | None = None,
    ) -> None:
        self.name = name
        self.instance = instance
        self.started_at = started_at
        self.due_at = due_at
        self.fact = fact
        self.about = about
        self.state = "running"
        self.met_at = None
        self.stopped = False
        self.since = None
        self.pauses = []

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def is_awaited(self) -> bool:
        """Whether what it waits for is still owed: running, or breached and neither met nor stopped."""
        return self.state == "running" or self.is_missed

    @property
    def is_missed(self) -> bool:
        """Breached, neither met nor stopped."""
        return self.state == "breached" and not self.stopped

    def shown(self, *, paused: bool) -> ClockState:
        """Its state as people see it: a credited pause stops `answer`, `next` and `visit`."""
        return "paused" if paused and self.state == "running" and self.name in PAUSABLE else self.state

    def meet(self, at: datetime) -> None:
        """In time means before the due moment; exactly at it is late."""
        if self.is_awaited:
            self.state = "met" if self.state == "running" and at < self.due_at else "met_late"
            self.met_at = at

    def was_late_after_all(self) -> bool:
        """Whether what was met in time was not, now that its due moment is known to have come sooner."""
        if self.state != "met" or self.met_at is None or self.met_at < self.due_at:
            return False
        self.state = "met_late"
        return True

    def stop(self) -> None:
        """What it waits for is no longer owed: cancelled if running; breached stays breached, but stopped."""
        if self.state == "running":
            self.state = "cancelled"
        elif self.state == "breached":
            self.stopped = True

    def breach(self) -> None:
        self.state = "breached"
