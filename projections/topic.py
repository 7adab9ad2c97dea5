"""The bounced patient without a case: contacts of one topic, met here and there. DOMAIN section 3."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from projections.policy import Policy


class Meeting(NamedTuple):
    """A contact of no case met in a department; `sent_on` when it was a cold redirect."""

    at: datetime
    department: str
    fact: str
    sent_on: bool


@dataclass(slots=True)
class Topic:
    """What happened on one topic since the last substantive answer on it."""

    id: str
    meetings: list[Meeting] = field(default_factory=list)
    shown: tuple[Meeting, ...] = ()
    is_open: bool = False
    opened_at: datetime | None = None

    def meet(self, meeting: Meeting, policy: Policy) -> None:
        """One more meeting; enough of them within the window is a bounced patient."""
        since = meeting.at - timedelta(days=policy.patient_days)
        self.meetings = [*(m for m in self.meetings if m.at >= since), meeting]
        departments = {m.department for m in self.meetings}
        redirects = sum(m.sent_on for m in self.meetings)
        if len(departments) >= policy.patient_departments or redirects >= policy.patient_redirects:
            self.is_open, self.shown = True, tuple(self.meetings)
            self.opened_at = self.opened_at or meeting.at

    def answer(self) -> None:
        """A substantive answer on the topic: what came before counts no more."""
        self.meetings, self.is_open = [], False
