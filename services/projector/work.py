"""What one batch is busy with: facts into files, files into what changed and what is to be said. Without a server. DESIGN section 4."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from events.catalogue import TICK
from events.envelope import Recorded
from events.identity import bare, unreadable
from events.patients import PatientErased, PatientMerged
from projections.announcing import ToSay
from projections.known import corrects, grown
from projections.standing import Touched
from services.projector.changed_rows import person_rows, replaced_row, timeline_row
from services.projector.changes import Changes, Person, Row
from services.projector.held import Held
from services.projector.records import Parked, parked_row
from services.projector.spilled import Raw

Say = Callable[["Work", Held, ToSay, datetime, Recorded | None], None]
Failed = Callable[[Held, Exception], None]
NOTHING: frozenset[str] = frozenset()
MOMENT = timedelta(microseconds=1)


@dataclass(slots=True)
class Work:
    """One batch's work in memory. `say` is called for each alert that is due, with the fact that caused it;
    `failed` for each person whose fold raised: they are set aside, and the others go on. `is_lived`: what falls due between two facts
    of a person fires between them, as if it had been waited for. `unwritten`: facts (tenant, patient, subject, source, id) that came
    and were erased within the work, with the row of each that is known: it is written if nothing erases it after all.
    """

    say: Say | None
    failed: Failed
    is_lived: bool = False
    changes: Changes = field(default_factory=Changes)
    theirs: dict[Person, list[tuple[Recorded, datetime]]] = field(default_factory=dict)
    ours: dict[Person, int] = field(default_factory=dict)
    facts: int = 0
    held: dict[Person, Held] = field(default_factory=dict)
    touched: dict[Person, Touched] = field(default_factory=dict)
    changed: dict[Person, set[str]] = field(default_factory=dict)
    erased: dict[Person, list[Recorded]] = field(default_factory=dict)
    unwritten: dict[Row, Row | None] = field(default_factory=dict)
    remerged: set[str] = field(default_factory=set)

    def share_out(
        self, number: int, read: Sequence[tuple[Any, Recorded | Parked]], watermark: datetime | None,
        renamed: Mapping[Person, str], home: Callable[[Person], int],
    ) -> datetime | None:  # fmt: skip
        """What a partition's records are to whom, in their order; the watermark after them."""
        changes, theirs = self.changes, self.theirs
        for _, one in read:
            if isinstance(one, Parked):
                changes.parked.append(parked_row(one))
                continue
            if watermark is None or one.recorded_at > watermark:
                watermark = one.recorded_at
            if one.type == TICK:
                continue
            self.facts += 1
            self.note_correction(one)
            person = (one.tenant, one.subject)
            if renamed:
                person = (one.tenant, renamed.get(person, one.subject))
                if person[1] != one.subject and home(person) != number:
                    changes.inbox.append((home(person), *person, one.raw, False))
                    continue
            listed = theirs.get(person)
            if listed is None:
                theirs[person] = [(one, watermark)]
                self.ours[person] = number
            else:
                listed.append((one, watermark))
        return watermark

    def take(
        self, number: int, person: Person, read: Sequence[tuple[Raw, Recorded | Parked]], renamed: Mapping[Person, str],
        home: Callable[[Person], int],
    ) -> list[Raw]:  # fmt: skip
        """All that a partition holds of one person, in its order; back come the records that are about somebody else."""
        changes, mine, others = self.changes, list[tuple[Recorded, datetime]](), list[Raw]()
        is_elsewhere = bool(renamed) and home(person) != number
        watermark: datetime | None = None
        for raw, one in read:
            if isinstance(one, Parked):
                changes.parked.append(parked_row(one))
                continue
            if one.type == TICK:
                continue
            subject = renamed.get((one.tenant, one.subject), one.subject) if renamed else one.subject
            if subject != person[1] or one.tenant != person[0]:
                others.append(raw)
                continue
            self.facts += 1
            self.note_correction(one)
            if is_elsewhere:
                changes.inbox.append((home(person), *person, one.raw, False))
                continue
            if watermark is None or one.recorded_at > watermark:
                watermark = one.recorded_at
            mine.append((one, watermark))
        if mine:
            self.theirs[person] = mine
            self.ours[person] = number
        return others

    def fold(self, person: Person, until: datetime | None) -> None:
        """A person's facts of the batch, one after another, then time up to the batch's last watermark."""
        held = self.held[person]
        for fact, watermark in self.theirs[person]:
            if self.is_lived:
                self._fire_before(held, fact)
            self.apply(held, fact, watermark)
        if until is not None:
            self.advance(held, until)

    def apply(self, held: Held, fact: Recorded, watermark: datetime) -> None:
        """One fact of one person, and what is found of them after it."""
        file = held.file
        if held.erased and self._is_known_erased(held, fact):
            return
        identity = fact.identity
        before = file.known.get(identity)
        conflicted = identity in file.conflicts
        held.note(fact)
        try:
            file.apply(fact)
        except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
            self._set_aside(held, wrong)
        self._note_fact(held, before, fact, is_conflict=not conflicted and identity in file.conflicts)
        if held.is_quarantined or not held.is_quiet(watermark):
            self.compare(held, watermark, fact)

    def _fire_before(self, held: Held, fact: Recorded) -> None:
        """What fell due before a person's next fact is found before it."""
        file = held.file
        due, again = file.next_due, held.look_again
        if again is not None and self.say is not None and (due is None or again < due):
            due = again
        if due is None or due >= fact.occurred_at or file.is_stale or held.is_quarantined:
            return
        now = fact.occurred_at - MOMENT
        self._pass(held, now)
        if held.is_quarantined or not held.is_quiet(now):
            self.compare(held, now, None)

    def advance(self, held: Held, watermark: datetime) -> None:
        """Let a person's deadlines fire up to the batch's last watermark, once all of their facts in it are in.

        Those between two of their facts have fired in order already; firing the rest after every fact would fold an
        imported history anew for each of its rows.
        """
        if held.is_quarantined:
            return
        self._pass(held, watermark)
        if held.is_quarantined or not held.is_quiet(watermark):
            self.compare(held, watermark, None)
        else:
            self._touch(held.person, held.file.take_touched())

    def compare(self, held: Held, watermark: datetime, cause: Recorded | None) -> None:
        """What is found of a person now, against what was found before."""
        person = held.person
        if held.is_quarantined:
            self.touched.setdefault(person, Touched())
            return
        touched, changed, alerts = held.compare(watermark)
        self._touch(person, touched)
        if changed:
            self.changed.setdefault(person, set()).update(changed)
        if self.say is not None:
            for said in alerts:
                self.say(self, held, said, watermark, cause)

    def _touch(self, person: Person, touched: Touched) -> None:
        before = self.touched.get(person)
        if before is None:
            self.touched[person] = touched
        else:
            before.add(touched)

    def note_correction(self, fact: Recorded) -> None:
        """Merges and voids are kept: all of a tenant's are judged together."""
        if corrects(fact) and not isinstance(fact.data, PatientErased):
            digest = hashlib.sha256(fact.raw).digest()
            is_merge = isinstance(fact.data, PatientMerged)
            self.changes.corrections.append((fact.tenant, fact.subject, digest, is_merge, bare(fact.raw)))
            self.remerged.add(fact.tenant)

    def leave(self, held: Held, leaving: list[Recorded]) -> None:
        """Some facts have become another person's: what the batch would have written of them goes with them."""
        gone = {fact.identity for fact in leaving}
        for rows in (self.changes.facts, self.changes.restored):
            rows[:] = [row for row in rows if not (row[:2] == held.person and tuple(row[2:5]) in gone)]
        held.file.leave(gone)
        if held.file.watermark is not None:
            self.compare(held, held.file.watermark, None)

    @property
    def is_rare(self) -> bool:
        """Whether it does more than fold facts into files: what comes next has to find it in the tables."""
        return bool(
            self.erased
            or self.remerged
            or self.changes.inbox
            or self.changes.returned
            or any(held.is_quarantined for held in self.held.values())
        )

    def rows_of(self, person: Person) -> None:
        """The rows of somebody the batch touched."""
        person_rows(self.changes, self.held[person], self.touched[person], self.changed.get(person, NOTHING))

    def refresh(self, held: Held) -> None:
        """Fold what came late, where no watermark does it."""
        if held.is_quarantined:
            return
        try:
            held.file.refresh()
        except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
            self._set_aside(held, wrong)

    def _pass(self, held: Held, watermark: datetime) -> None:
        try:
            held.file.advance(watermark)
        except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
            self._set_aside(held, wrong)

    def _set_aside(self, held: Held, wrong: Exception) -> None:
        held.is_quarantined = True
        self.failed(held, wrong)

    def _is_known_erased(self, held: Held, fact: Recorded) -> bool:
        """Whether the copy of a fact that counts is erased; this one may contradict it, and is counted, no more."""
        name = unreadable(fact.tenant, fact.subject, fact.source, fact.id)
        kept = held.erased.get(name)
        if kept is None:
            return False
        if (
            kept > fact.recorded_at
        ):  # this one counts; it has another content, if it did not occur up to the erasure too
            if held.file.erased_until is not None and not held.file.is_erased(fact):
                del held.erased[name]
                held.file.conflicts = grown(held.file.conflicts, fact.identity)
                self.changes.returned.append((fact.tenant, name))
            return False
        self.erased.setdefault(held.person, []).append(fact)
        self.unwritten.setdefault((*held.person, *fact.identity), None)
        self.touched.setdefault(held.person, Touched())
        return True

    def _note_fact(self, held: Held, before: Recorded | None, fact: Recorded, *, is_conflict: bool) -> None:
        """What the timeline has to learn of a fact: new, the same again, or another content for the same identity."""
        changes, file = self.changes, held.file
        key = (file.tenant, file.patient, *fact.identity)
        if before is not None and file.known[fact.identity] is not fact:
            pass  # nothing is kept of a copy that does not count
        elif file.is_erased(fact):
            self.erased.setdefault(held.person, []).append(fact)
            if before is None:
                self.unwritten[key] = timeline_row(held, fact)
        elif before is None:
            changes.facts.append(timeline_row(held, fact))
        elif file.is_erased(before):  # of this batch: the timeline may have it, or not
            changes.replaced = [row for row in changes.replaced if row[:5] != key]
            changes.restored.append(timeline_row(held, fact))
        else:
            changes.replaced.append(replaced_row(held, fact))
        if is_conflict:
            changes.conflicting.append(key)
        until = file.erased_until
        if until is not None and isinstance(fact.data, PatientErased):  # else another copy of it counts
            gone = [one for one in file.known.values() if file.is_erased(one)]
            self.erased.setdefault(held.person, []).extend(gone)
            corrections = [one for one in file.known.values() if one is not fact and file.is_bared(one)]
            changes.replaced += [replaced_row(held, one) for one in corrections]
            changes.tombstones.append((file.tenant, file.patient, until))
            changes.outbox = [row for row in changes.outbox if row[1:3] != held.person]  # nor is it said any more

    def gone(self, person: Person) -> list[Recorded]:
        """What is to be erased of somebody: not where another copy, that came later, counts and is none of it."""
        file = self.held[person].file
        counting = ((fact, file.known.get(fact.identity)) for fact in self.erased[person])
        return [fact for fact, one in counting if one is None or file.is_erased(one)]

    def spare_erased(self) -> None:
        """What came and was erased within the work is not written first: nothing of it has to be looked for in the tables."""
        gone = {(*person, *fact.identity) for person in self.erased for fact in self.gone(person)}
        restored = {row[:5] for row in self.changes.restored}
        for key in [key for key in self.unwritten if key not in gone or key in restored]:
            row = self.unwritten.pop(key)
            if row is not None and key not in restored:
                self.changes.facts.append(row)
        gone -= restored
        if gone:
            self.unwritten |= {row[:5]: row for row in self.changes.facts if row[:5] in gone}
            self.changes.facts = [row for row in self.changes.facts if row[:5] not in gone]

    def written(self, person: Person) -> list[Recorded]:
        """What is to be erased of somebody and may be in the tables."""
        return [fact for fact in self.gone(person) if (*person, *fact.identity) not in self.unwritten]
