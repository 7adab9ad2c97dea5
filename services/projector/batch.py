"""One batch: records in, one transaction out. DESIGN section 4."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

import orjson
import structlog
from prometheus_client import CollectorRegistry

from events.catalogue import TICK, decoded
from events.envelope import Recorded, partition_key
from projections.announcing import ToSay
from projections.patient import PatientFile
from projections.people import people
from projections.rows import effective_merges
from projections.saying import alert
from services import tables_people
from services import tables_projector as tables
from services.log import Record, partition_of
from services.projector.changed_rows import erased_row
from services.projector.changes import Person
from services.projector.held import Held, Memory
from services.projector.measures import Measures, Spent
from services.projector.records import REFUSED_BY_TABLES, Parked, Reader, digest_of, parked, parked_row
from services.projector.work import Work
from services.tables import REFUSED, Connection, Generation, Pool
from services.tables_projector import Position
from services.tracing import span

DUE_AT_ONCE = 2_000
FAILURES_A_MINUTE = 20
INBOX_AT_ONCE = 5_000
log = structlog.get_logger("parcours.projector")


class BreakerOpened(RuntimeError):
    """The folds of many people fail: this partition stops until somebody has looked. Nothing of the batch is kept."""

    def __init__(self, partition: int, error: str) -> None:
        super().__init__(
            f"{FAILURES_A_MINUTE} patients of partition {partition} could not be folded within a minute ({error})"
        )
        self.partition, self.error = partition, error


Fold = Callable[[Connection, Work], Awaitable[None]]
Seen = tuple[Recorded, datetime]
"""A fact, and its partition's watermark once it was read."""


class Projecting:
    """Folds records into the read tables of one generation; the caller owns the partitions."""

    def __init__(
        self,
        pool: Pool,
        generation: Generation,
        topic: str,
        reader: Reader,
        memory: Memory,
        owner: str,
        *,
        speaks: bool = True,
    ) -> None:
        self._pool = pool
        self._generation = generation
        self._speaks = speaks
        self._schema = generation.schema
        self._policy = generation.policy
        self._topic = topic
        self._reader = reader
        self._memory = memory
        self._owner = owner
        self.positions: dict[int, Position] = {}
        self.failures: dict[int, dict[Person, float]] = {}
        self.spent = Spent()
        self.registry = CollectorRegistry()
        self.measures = Measures(self.registry)

    @property
    def memory(self) -> Memory:
        return self._memory

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn where partitions stand that have become ours."""
        async with self._pool.acquire() as connection:
            self.positions = await tables.positions(connection, self._schema, self._topic, partitions)

    async def project(self, records: Mapping[int, Sequence[Record]]) -> None:
        """Fold the records of some partitions and move their checkpoints with the rows, then whatever has fallen due.

        Raises `FenceLost` when somebody else has moved a checkpoint; nothing of the batch is kept then. A record of which
        Postgres keeps no row is looked for by halves and parked; all others are kept.
        """
        try:
            await self._project(records)
        except REFUSED as wrong:
            listed = [(number, record) for number, some in records.items() for record in some]
            log.warning("rows refused", records=len(listed), error=type(wrong).__name__)
            if len(listed) == 1:
                await self._project(records, refused=wrong)
                return
            for half in (listed[: len(listed) // 2], listed[len(listed) // 2 :]):
                some_of: dict[int, list[Record]] = {}
                for number, record in half:
                    some_of.setdefault(number, []).append(record)
                await self.project(some_of)

    async def _project(self, records: Mapping[int, Sequence[Record]], refused: Exception | None = None) -> None:
        started = time.perf_counter()
        read = {number: [(record, self._read(record, refused)) for record in some] for number, some in records.items()}
        self.spent.decode += time.perf_counter() - started
        to = {number: self._moved(number, some) for number, some in read.items()}
        await self._transact(to, lambda connection, work: self._fold_records(connection, work, read))
        self.spent.records += sum(map(len, records.values()))
        for step in ("fetch", "decode", "fold", "load", "write"):
            self.measures.seconds.labels(step).set(getattr(self.spent, step))
        self.measures.batch(records, read, self.positions)
        self.spent.facts += sum(
            isinstance(one, Recorded) and one.type != TICK for some in read.values() for _, one in some
        )

    def _read(self, record: Record, refused: Exception | None) -> Recorded | Parked:
        if refused is None:
            return self._reader.read(record)
        return parked(record, REFUSED_BY_TABLES, "(record)", f"the tables keep no such row ({type(refused).__name__})")

    async def settle(self) -> None:
        """Take what other partitions left for ours, and fire what has fallen due, until nothing is left of either."""
        while await self._take_inbox() or await self._fire_due():
            pass

    # -- the transaction -------------------------------------------------------------------------------------------------

    async def _transact(self, to: Mapping[int, Position], fold: Fold) -> None:
        """One transaction: the compare-and-set first, then what `fold` finds and its rows; nothing is kept unless it commits."""
        work, batch = Work(None, self._quarantine), uuid4()
        if self._speaks:
            work.say = lambda *said: self._say(work, *said)
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    expected = {number: self.positions[number] for number in to}
                    await tables.move(connection, self._generation, self._topic, expected, to, self._owner, batch)
                    await fold(connection, work)
                    await self._finish(connection, work)
            except Exception as wrong:
                self._memory.drop(work.held)
                if not await self._happened(to, batch, wrong):
                    raise
                work.held.clear()
        self._keep(work, {number: replace(position, batch=batch) for number, position in to.items()})

    async def _happened(self, to: Mapping[int, Position], batch: UUID, wrong: Exception) -> bool:
        """A commit whose answer was lost did happen: the checkpoint bears our batch."""
        if isinstance(wrong, tables.FenceLost):
            return False
        try:
            async with self._pool.acquire() as connection:
                return await tables.was_committed(connection, self._schema, self._topic, to, batch)
        except OSError:
            return False

    def _keep(self, work: Work, to: Mapping[int, Position]) -> None:
        """After COMMIT returned, and only then, the files in memory are the state."""
        self.positions |= to
        gone = {person for person in work.held if work.held[person].is_quarantined}
        gone |= set(work.erased)
        self._memory.put(held for person, held in work.held.items() if person not in gone)
        self._memory.drop(gone)

    def _moved(self, number: int, some: Sequence[tuple[Record, Recorded | Parked]]) -> Position:
        watermark = self.positions[number].watermark
        for _, one in some:
            if isinstance(one, Recorded) and (watermark is None or one.recorded_at > watermark):
                watermark = one.recorded_at
        last = some[-1][0]
        return Position(last.offset + 1, watermark, digest_of(last))

    # -- folding ---------------------------------------------------------------------------------------------------------

    async def _fold_records(
        self, connection: Connection, work: Work, read: Mapping[int, Sequence[tuple[Record, Recorded | Parked]]]
    ) -> None:
        started = time.perf_counter()
        subjects = {
            (one.tenant, one.subject)
            for some in read.values() for _, one in some if isinstance(one, Recorded) and one.type != TICK
        }  # fmt: skip
        renamed = await tables_people.aliases(connection, self._schema, list(subjects)) if subjects else {}
        theirs: dict[Person, list[Seen]] = {}
        ours: dict[Person, int] = {}
        until: dict[int, datetime | None] = {}
        for number, some in read.items():
            watermark = self.positions[number].watermark
            for _, one in some:
                if isinstance(one, Parked):
                    work.changes.parked.append(parked_row(one))
                    continue
                if watermark is None or one.recorded_at > watermark:
                    watermark = one.recorded_at
                if one.type == TICK:
                    continue
                work.note_correction(one)
                person = (one.tenant, one.subject)
                if renamed:
                    person = (one.tenant, renamed.get(person, one.subject))
                    if person[1] != one.subject and self._home(person) != number:
                        work.changes.inbox.append((self._home(person), *person, one.raw, False))
                        continue
                if person in ours:
                    theirs[person].append((one, watermark))
                else:
                    ours[person], theirs[person] = number, [(one, watermark)]
            until[number] = watermark
        self.spent.fold += time.perf_counter() - started
        await self._load(connection, work, ours)
        if merged := sorted({(tenant, person) for (tenant, _), person in renamed.items()} & ours.keys()):
            await self._recall_erased(connection, work, merged)
        started = time.perf_counter()
        for person, number in ours.items():
            held = work.held[person]
            for fact, watermark in theirs[person]:
                work.apply(held, fact, watermark)
            if (last := until[number]) is not None:
                work.advance(held, last)
        self.spent.fold += time.perf_counter() - started

    def _home(self, person: Person) -> int:
        """The partition whose owner keeps a person's rows."""
        return partition_of(partition_key(*person).encode(), self._reader.partitions)

    async def _load(self, connection: Connection, work: Work, persons: Mapping[Person, int]) -> None:
        """Have the files of a batch's persons at hand: from memory, else folded from the timeline."""
        started = time.perf_counter()
        missing = []
        for person in persons:
            held = self._memory.get(person)
            if held is None:
                missing.append(person)
            else:
                work.held[person] = held
        if missing:
            stored = await tables.timelines(connection, self._schema, missing)
            buried = await tables_people.tombstones(connection, self._schema, missing)
            known = list(stored)
            digests = await tables_people.erased(connection, self._schema, missing)
            seen = await tables.shown(connection, self._schema, known) if known else {}
            stale = await tables.overdue(connection, self._schema, known) if known else set()
            said = await tables.said(connection, missing)
            for person in missing:
                held = self._loaded(person, persons[person], stored.get(person, ()), buried.get(person))
                held.seen, held.said = seen.get(person, {}), said.get(person, {})
                held.erased = digests.get(person, {})
                if person not in stale:
                    held.settle()
                work.held[person] = held
        self.spent.load += time.perf_counter() - started

    async def _recall_erased(self, connection: Connection, work: Work, persons: Sequence[Person]) -> None:
        """What those who have become these persons were erased of: a copy that comes late must not bring it back."""
        digests = await tables_people.erased(connection, self._schema, persons)
        for person, found in digests.items():
            work.held[person].erased |= found

    def _loaded(self, person: Person, number: int, rows: Iterable[tuple[bytes, bool]], erased: datetime | None) -> Held:
        file = PatientFile(
            *person, self._policy, watermark=self.positions[number].watermark, erased_until=erased, buried_until=erased
        )
        held = Held(file, number)
        facts = []
        for raw, conflicting in rows:
            fact = decoded(raw)
            facts.append(fact)
            held.note(fact)
            if conflicting:
                file.conflicts.add(fact.identity)
        if facts:
            try:
                file.fill(facts)
            except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
                held.is_quarantined = True
                self._quarantine(held, wrong)
        return held

    def _quarantine(self, held: Held, wrong: Exception) -> None:
        """A person's fold raised. Many within a minute are a bad deployment: `BreakerOpened`."""
        log.error("fold failed", partition=held.partition, error=type(wrong).__name__, exc_info=wrong)
        now = time.monotonic()
        lately = self.failures.setdefault(held.partition, {})
        lately[held.person] = now
        for person in [person for person, at in lately.items() if now - at > 60]:
            del lately[person]
        if len(lately) >= FAILURES_A_MINUTE:
            lately.clear()
            raise BreakerOpened(held.partition, type(wrong).__name__)

    def _say(self, work: Work, held: Held, said: ToSay, at: datetime, cause: Recorded | None) -> None:
        envelope = alert(held.file, said, at, cause)
        with span("project", envelope.get("traceparent"), rule=said.id.partition(":")[0], act=said.act) as parent:
            if parent is not None:
                envelope["traceparent"] = parent
        key = partition_key(*held.person)
        work.changes.outbox.append((held.partition, *held.person, key, orjson.dumps(envelope), said.id, said.act))
        now = held.said[said.id]
        raised_at = at if said.act == "raised" else None
        row = (held.file.tenant, said.id, held.file.patient, now.n, now.level, now.is_raised, at, said.cause, raised_at)
        work.changes.announced.append(row)

    # -- other partitions, and time ----------------------------------------------------------------------------------------

    async def _take_inbox(self) -> bool:
        """Facts that other partitions took for persons of ours, and persons to regroup, in our own transaction."""
        async with self._pool.acquire() as connection:
            waiting = await tables.inbox(connection, self._schema, self.positions, INBOX_AT_ONCE)
        if not waiting:
            return False
        await self._transact_own(sorted({number for _, number, *_ in waiting}), waiting, ())
        return True

    async def _fire_due(self) -> bool:
        """Persons whose next deadline the watermark has reached."""
        marks = {n: position.watermark for n, position in self.positions.items() if position.watermark is not None}
        if not marks:
            return False
        async with self._pool.acquire() as connection:
            due = await tables.due(connection, self._schema, marks, DUE_AT_ONCE)
        if not due:
            return False
        await self._transact_own(sorted({self._home(person) for person in due}), (), due)
        return True

    async def _transact_own(
        self, numbers: Sequence[int], waiting: Sequence[tables.Waiting], due: Sequence[Person]
    ) -> None:
        """A transaction that moves no offset: the checkpoint is compared and kept."""
        to = {number: self.positions[number] for number in numbers}
        await self._transact(to, lambda connection, work: self._fold_own(connection, work, waiting, due))

    async def _fold_own(
        self, connection: Connection, work: Work, waiting: Sequence[tables.Waiting], due: Sequence[Person]
    ) -> None:
        persons = {(tenant, person): number for _, number, tenant, person, *_ in waiting}
        persons |= {person: self._home(person) for person in due}
        facts = {number: decoded(raw) for number, *_, raw, _ in waiting if raw is not None}
        subjects = {(fact.tenant, fact.subject) for fact in facts.values()}
        renamed = await tables_people.aliases(connection, self._schema, sorted(subjects))
        await self._load(connection, work, persons)
        if waiting:
            await self._recall_erased(connection, work, list(persons))
        for number, _, tenant, person, raw, conflicting in waiting:
            work.changes.taken.append(number)
            if raw is None:
                await self._regroup(connection, work, work.held[tenant, person])
                continue
            fact = facts[number]
            # whose it is now: on the way, the person it was sent to may have become another's, and its own subject not
            now = (tenant, renamed.get((tenant, fact.subject), fact.subject))
            if now in work.held:
                held = work.held[now]
                watermark = self.positions[held.partition].watermark
                work.apply(held, fact, watermark or fact.recorded_at)
                if conflicting and fact.identity not in held.file.conflicts:
                    held.file.conflicts.add(fact.identity)
                    work.changes.conflicting.append((*now, *fact.identity))
            else:
                work.changes.inbox.append((self._home(now), *now, raw, conflicting))
        for held in work.held.values():
            watermark = self.positions[held.partition].watermark
            if watermark is not None:
                work.advance(held, watermark)
            elif held.newest is not None:  # time has not begun in this partition: nothing can fall due yet
                work.compare(held, held.newest, None)

    async def _regroup(self, connection: Connection, work: Work, held: Held) -> None:
        """Some facts of this person have become somebody else's: hand them over, and fold the rest anew."""
        file, person = held.file, held.person
        subjects = sorted({fact.subject for fact in file.known.values()} | {file.patient})
        renamed = await tables_people.aliases(
            connection, self._schema, [(file.tenant, subject) for subject in subjects]
        )
        leaving = [f for f in file.known.values() if renamed.get((file.tenant, f.subject), f.subject) != file.patient]
        if leaving:
            await tables_people.leave(connection, self._schema, person, leaving)
        for fact in leaving:
            now = (file.tenant, renamed.get((file.tenant, fact.subject), fact.subject))
            work.changes.inbox.append((self._home(now), *now, fact.raw, fact.identity in file.conflicts))
        work.leave(held, leaving)

    async def _merge_people(self, connection: Connection, work: Work) -> None:
        """Judge all merges of a tenant in history order, and have those persons regrouped whose facts have moved."""
        for tenant in sorted(work.remerged):
            await tables_people.lock_merges(connection, tenant)
            raws = await tables_people.corrections(connection, self._schema, tenant)
            who = people(effective_merges(tenant, [decoded(raw) for raw in raws], self._policy))
            now = {subject: who.person(subject) for subject in who.into}
            before = await tables_people.persons(connection, self._schema, tenant)
            await tables_people.set_merge_cycles(connection, self._schema, tenant, who.cycles)
            moved = {subject for subject in now.keys() | before.keys() if now.get(subject) != before.get(subject)}
            if moved:
                await tables_people.set_persons(connection, self._schema, tenant, moved, now)
            for person in sorted({before.get(subject, subject) for subject in moved}):
                work.changes.inbox.append((self._home((tenant, person)), tenant, person, None, False))

    # -- rows --------------------------------------------------------------------------------------------------------------

    async def _finish(self, connection: Connection, work: Work) -> None:
        started = time.perf_counter()
        if work.remerged:
            await tables_people.write_corrections(connection, self._schema, work.changes)
            await self._merge_people(connection, work)
        work.rows()
        for person in work.erased if self._speaks else ():
            await tables_people.erase_unsaid(connection, person)
        await tables.write(connection, self._schema, work.changes)
        for person, facts in work.erased.items():
            rows = [erased_row(fact, is_conflict=fact.identity in work.held[person].file.conflicts) for fact in facts]
            await tables_people.erase_facts(connection, self._schema, person, facts, rows)
            until = work.held[person].file.erased_until
            await tables_people.erase_elsewhere(connection, self._schema, person, facts, rows, until)
        self.spent.write += time.perf_counter() - started
