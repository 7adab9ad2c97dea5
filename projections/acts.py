"""What people did with alerts: taken on, silenced, dismissed. They change nothing of what is found. DOMAIN section 4."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from events.alerts import AlertAcknowledged, AlertDismissed, AlertSilenced
from events.envelope import Recorded
from projections.working_days import Calendar

ActKind = Literal["acknowledged", "silenced", "dismissed"]
ACTS = (AlertAcknowledged, AlertSilenced, AlertDismissed)
KINDS: dict[type, ActKind] = {
    AlertAcknowledged: "acknowledged",
    AlertSilenced: "silenced",
    AlertDismissed: "dismissed",
}


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a person on an alert."""

    alert: str
    kind: ActKind
    at: datetime
    by: str
    until: datetime | None
    reason: str | None
    fact: str


def act(fact: Recorded, calendar: Calendar) -> Act:
    """The act a fact states; a day lasts to its end in the policy's own jurisdiction. Raises TypeError for a fact that is none."""
    said = fact.data
    match said:
        case AlertAcknowledged() | AlertSilenced():
            until = said.until
            if until is not None and not isinstance(until, datetime):
                until = calendar.end_of(until)
            return Act(said.alert, KINDS[type(said)], fact.occurred_at, said.by, until, said.reason, fact.name)
        case AlertDismissed():
            return Act(said.alert, "dismissed", fact.occurred_at, said.by, None, said.reason, fact.name)
        case _:
            raise TypeError(f"{fact.type} is no act on an alert")
