"""When the clock of a claim may stand still, and until when. DOMAIN section 4, pause."""

from dataclasses import dataclass, field
from datetime import datetime

from projections.policy import Policy
from projections.working_days import Calendar

CREDITED_REASONS = frozenset({"waiting_claimant", "consent_missing", "legal_hold"})


@dataclass(slots=True)
class Pause:
    """One `claim.paused`. `end` is where its credit ends if nothing ends it sooner; None when it was not credited."""

    fact: str
    reason: str
    start: datetime
    end: datetime | None
    is_over: bool = False

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The credited stretch [start, end); while it is on, it is taken to run to its limit."""
        return (self.start, self.end or self.start)


@dataclass(slots=True)
class PauseBook:
    """All pauses of a claim; a new clock keeps earlier ones."""

    all: list[Pause] = field(default_factory=list)

    @property
    def current(self) -> Pause | None:
        """The pause that is on, credited or not."""
        return self.all[-1] if self.all and not self.all[-1].is_over else None

    @property
    def credited(self) -> Pause | None:
        """The credited pause that is on."""
        found = self.current
        return found if found is not None and found.end is not None else None

    @property
    def refused(self) -> list[Pause]:
        """Pauses that were not credited: the finding `illegitimate_pause`."""
        return [pause for pause in self.all if pause.end is None]

    def after(self, at: datetime) -> list[Pause]:
        """What stops a clock that starts at an instant, which may lie before now: the credited pause that is on, and those since."""
        now = self.credited
        return [pause for pause in self.all if pause is now or (pause.end is not None and pause.end > at)]

    def open(
        self, fact: str, reason: str, at: datetime, until: datetime | None, calendar: Calendar, policy: Policy, *,
        late: bool,
    ) -> Pause | None:  # fmt: skip
        """Judge a `claim.paused`; None when it falls in a credited pause and is ignored."""
        if self.credited is not None:
            return None
        self.finish()
        credited = reason in CREDITED_REASONS and not late and len(self.all) < policy.pauses
        end = None
        if credited:
            limit = calendar.end_of_working_days(at, policy.pause_working_days)
            end = limit if until is None else max(at, min(limit, until))
        self.all.append(Pause(fact, reason, at, end))
        return self.all[-1]

    def end(self, at: datetime) -> None:
        """The credited pause that is on ends now, if not sooner."""
        pause = self.credited
        if pause is not None and pause.end is not None:
            pause.end = min(pause.end, at)
            pause.is_over = True

    def finish(self) -> None:
        """A pause that was not credited is over: resumed, followed by another, or the claim has ended."""
        if self.current is not None and self.credited is None:
            self.all[-1].is_over = True
