"""The persons a projector holds in memory: their file, what is found of them, what was said."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from events.envelope import Recorded
from projections.announcing import Announced, Shown, ToSay, shown, to_say
from projections.findings import Finding, concerns, findings
from projections.patient import PatientFile
from projections.standing import Touched
from services.projector.changes import Person, Stored


@dataclass(slots=True)
class Held:
    """One person: everything a batch needs to fold their next fact and to know what is to be said."""

    file: PatientFile
    partition: int
    found: dict[str, Finding] = field(default_factory=dict)
    seen: dict[str, Shown] = field(default_factory=dict)
    said: dict[str, Announced] = field(default_factory=dict)
    newest: datetime | None = None
    look_again: datetime | None = None
    is_quarantined: bool = False
    erased: dict[bytes, datetime] = field(default_factory=dict)
    stored: Stored = field(default_factory=Stored)

    @property
    def person(self) -> Person:
        return (self.file.tenant, self.file.patient)

    @property
    def next_due(self) -> datetime | None:
        """When somebody has to look at this person although nothing arrives."""
        dues = [due for due in (self.file.next_due, self.look_again) if due is not None]
        return min(dues, default=None)

    def is_quiet(self, watermark: datetime) -> bool:
        """Nothing that has happened since the last look can have changed what is found or is to be said: no need to compare."""
        file, touched = self.file, self.file.touched
        if self.look_again is not None and self.look_again <= watermark:
            return False
        if file.is_stale:
            return True
        if touched.anew or touched.again or touched.topics:
            return False
        for name in touched.cases:
            if file.cases[name].is_bounced:
                return False
        return all(not file.claims[name].has_missed for name in touched.claims)

    def compare(self, watermark: datetime) -> tuple[Touched, set[str], list[ToSay]]:
        """Bring the findings up to what changed: what was touched, which findings differ, what is to be said."""
        touched = self.file.take_touched()
        changed = self._changed(touched) if touched else set()
        due = self.look_again is not None and self.look_again <= watermark
        if not (changed or due or touched.anew or touched.again):
            return touched, changed, []
        alerts, self.look_again = to_say(self.found, self.said, self.seen, watermark)
        for alert in alerts:
            self.said[alert.id] = Announced(alert.n, alert.level, alert.act != "resolved")
        return touched, changed, alerts

    def _changed(self, touched: Touched) -> set[str]:
        changed = set()
        now = {found.id: found for found in findings(self.file, touched)}
        if touched.anew or touched.again:
            for gone in self.found.keys() - now.keys():
                if touched.anew or concerns(touched, self.found[gone]):
                    del self.found[gone]
                    self.seen.pop(gone, None)
                    changed.add(gone)
        for name, found in now.items():
            before = self.found.get(name)
            if self._comes_alive(found):
                changed.add(name)
            if before == found:
                if touched.again:  # the same finding, perhaps for other reasons
                    changed.add(name)
                continue
            appears = name not in self.seen if before is None else found.is_open and not before.is_open
            if appears:
                latest = self.newest or found.opened_at
                self.seen[name] = shown(found, latest, self._newest_of(found))
            self.found[name] = found
            changed.add(name)
        return changed

    def _comes_alive(self, found: Finding) -> bool:
        """Whether something happens to what was old history when it was first seen: it is taken as seen now then. Decision 0014."""
        seen = self.seen.get(found.id)
        if seen is None or not seen.is_old or not found.is_open:
            return False
        now = shown(found, self.newest or found.opened_at, self._newest_of(found))
        if now.is_old:
            return False
        self.seen[found.id] = now
        return True

    def _newest_of(self, found: Finding) -> datetime:
        """When the newest fact of the finding's case, claim or topic occurred."""
        case = self.file.cases.get(found.case) if found.case is not None else None
        newest = found.opened_at if case is None or case.last_sign is None else case.last_sign
        if found.claim is not None:
            last = next((fact for fact in reversed(self.file.facts) if self._is_about(fact, found.claim)), None)
            return newest if last is None else max(newest, last.occurred_at)
        if found.case is not None:
            return newest
        meetings = self.file.topics[found.topic or ""].shown
        return meetings[-1].at if meetings else found.opened_at

    def _is_about(self, fact: Recorded, claim: str) -> bool:
        """Whether a fact is one of a claim's: it names it, or its contact was listed with it."""
        if getattr(fact.data, "claim", None) == claim:
            return True
        contact = self.file.contacts.get(getattr(fact.data, "contact", None) or "")
        return contact is not None and claim in contact.listed_by

    def settle(self) -> None:
        """The rows say all this already: only what changes from now on is news. If they do not, all of it is news.

        What still waits to be said is waited for again.
        """
        found = {one.id: one for one in findings(self.file)}
        if found.keys() == self.seen.keys():
            self.file.take_touched()
            self.found = found
            now = self.file.watermark
            if now is not None and (found or self.said):
                alerts, again = to_say(found, self.said, self.seen, now)
                self.look_again = now if alerts else again

    def note(self, fact: Recorded) -> None:
        """The largest recorded_at of the person's facts."""
        if self.newest is None or fact.recorded_at > self.newest:
            self.newest = fact.recorded_at


class Memory:
    """Files held between batches, the least recently used let go first; bounded by the facts they hold."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[Person, Held] = OrderedDict()
        self._sizes: dict[Person, int] = {}
        self.facts = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, person: Person) -> Held | None:
        """The held person, if any; asking makes them the most recently used."""
        held = self._held.get(person)
        if held is not None:
            self._held.move_to_end(person)
        return held

    def put(self, held: Iterable[Held]) -> None:
        """Hold persons whose batch was committed."""
        for one in held:
            self.drop([one.person])
            self._held[one.person] = one
            self._sizes[one.person] = size = len(one.file.known) + 1
            self.facts += size
        while self.facts > self.limit and len(self._held) > 1:
            self.drop([next(iter(self._held))])

    def drop(self, persons: Iterable[Person]) -> None:
        """Let persons go: their rows changed under us, or their batch was not committed."""
        for person in persons:
            if self._held.pop(person, None) is not None:
                self.facts -= self._sizes.pop(person)

    def drop_partitions(self, partitions: Iterable[int]) -> None:
        """Let go of everybody of some partitions."""
        gone = set(partitions)
        self.drop([person for person, held in self._held.items() if held.partition in gone])

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())
