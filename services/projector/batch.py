"""One batch: records in, one transaction out. DESIGN section 4."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from events.catalogue import TICK, decoded
from events.envelope import Recorded, parsed, partition_key
from events.identity import canonical
from events.patients import FactVoided, PatientErased, PatientMerged
from projections.announcing import ToSay
from projections.findings import department_of
from projections.patient import PatientFile, Touched
from projections.people import people
from projections.rows import case_row, claim_row, effective_merges, patient_row
from projections.saying import alert, reason_rows
from services import tables_projector as tables
from services.log import Record, partition_of
from services.projector.held import Held, Memory, Person
from services.projector.records import Parked, Reader, appended_at, digest_of
from services.tables import Connection, Generation, Pool
from services.tables_projector import Changes, Position

DUE_AT_ONCE = 2_000
INBOX_AT_ONCE = 5_000
log = structlog.get_logger("parcours.projector")


@dataclass(slots=True)
class Spent:
    """Seconds spent by step since the start, and facts taken: what `status` and `/metrics` show."""

    facts: int = 0
    records: int = 0
    decode: float = 0.0
    fold: float = 0.0
    load: float = 0.0
    write: float = 0.0


@dataclass(slots=True)
class Work:
    """What one batch is busy with."""

    changes: Changes = field(default_factory=Changes)
    held: dict[Person, Held] = field(default_factory=dict)
    touched: dict[Person, Touched] = field(default_factory=dict)
    changed: dict[Person, set[str]] = field(default_factory=dict)
    alerts: dict[Person, list[dict[str, Any]]] = field(default_factory=dict)
    erased: dict[Person, list[Recorded]] = field(default_factory=dict)
    regrouped: set[Person] = field(default_factory=set)
    remerged: set[str] = field(default_factory=set)


Fold = Callable[[Connection, Work], Awaitable[None]]


class Measures:
    """What /metrics tells of a projector: no name of a patient is in it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.size = Histogram(
            "parcours_batch_records", "Records a batch", buckets=(1, 10, 100, 1_000, 4_000), registry=registry
        )
        self.latency = Histogram(
            "parcours_fact_to_commit_seconds", "From the log's append to the committed row", registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60),
        )  # fmt: skip
        self.parked = Counter("parcours_parked_total", "Records parked, by reason", ["reason"], registry=registry)
        self.facts = Counter("parcours_facts_total", "Facts folded", registry=registry)
        self.offset = Gauge("parcours_next_offset", "Where each partition stands", ["partition"], registry=registry)
        self.watermark = Gauge(
            "parcours_watermark_seconds", "Each partition's watermark", ["partition"], registry=registry
        )

    def batch(
        self, records: Mapping[int, Sequence[Record]], read: Mapping[int, Sequence[tuple[Record, Recorded | Parked]]],
        positions: Mapping[int, Position],
    ) -> None:  # fmt: skip
        """One committed batch."""
        now = time.time()
        self.size.observe(sum(map(len, records.values())))
        for number, some in read.items():
            self.latency.observe(max(0.0, now - some[0][0].timestamp / 1000))
            self.facts.inc(sum(isinstance(one, Recorded) for _, one in some))
            for _, one in some:
                if isinstance(one, Parked):
                    self.parked.labels(one.code).inc()
            position = positions[number]
            self.offset.labels(str(number)).set(position.next_offset)
            if position.watermark is not None:
                self.watermark.labels(str(number)).set(position.watermark.timestamp())


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
        self.spent = Spent()
        self.registry = CollectorRegistry()
        self._measures = Measures(self.registry)

    @property
    def memory(self) -> Memory:
        return self._memory

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn where partitions stand that have become ours."""
        async with self._pool.acquire() as connection:
            self.positions = await tables.positions(connection, self._schema, self._topic, partitions)

    async def project(self, records: Mapping[int, Sequence[Record]]) -> None:
        """Fold the records of some partitions and move their checkpoints with the rows, then whatever has fallen due.

        Raises `FenceLost` when somebody else has moved a checkpoint; nothing of the batch is kept then.
        """
        started = time.perf_counter()
        read = {number: [(record, self._reader.read(record)) for record in some] for number, some in records.items()}
        self.spent.decode += time.perf_counter() - started
        to = {number: self._moved(number, some) for number, some in read.items()}
        await self._transact(to, lambda connection, work: self._fold_records(connection, work, read))
        self.spent.records += sum(map(len, records.values()))
        self._measures.batch(records, read, self.positions)
        self.spent.facts += sum(
            isinstance(one, Recorded) and one.type != TICK for some in read.values() for _, one in some
        )

    async def announce(self, persons: Sequence[Person]) -> None:
        """Look at persons whose findings differ from what was said, after another generation has taken over."""
        for start in range(0, len(persons), DUE_AT_ONCE):
            some = persons[start : start + DUE_AT_ONCE]
            self._memory.drop(some)
            await self._transact_own(sorted({self._home(person) for person in some}), (), some, anew=True)

    async def settle(self) -> None:
        """Take what other partitions left for ours, and fire what has fallen due, until nothing is left of either."""
        while await self._take_inbox() or await self._fire_due():
            pass

    # -- the transaction -------------------------------------------------------------------------------------------------

    async def _transact(self, to: Mapping[int, Position], fold: Fold) -> None:
        """One transaction: the compare-and-set first, then what `fold` finds and its rows; nothing is kept unless it commits."""
        work, batch = Work(), uuid4()
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    await tables.move(
                        connection, self._generation, self._topic, self._expected(to), to, self._owner, batch
                    )
                    await fold(connection, work)
                    await self._finish(connection, work)
            except Exception as wrong:
                self._memory.drop(work.held)
                if not await self._happened(to, batch, wrong):
                    raise
                work.held.clear()
        self._keep(work, to)

    def _expected(self, to: Mapping[int, Position]) -> dict[int, int]:
        return {number: self.positions[number].next_offset for number in to}

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
        gone = {person for person in work.held if person in work.regrouped or work.held[person].is_quarantined}
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
        facts = [one for some in read.values() for _, one in some if isinstance(one, Recorded) and one.type != TICK]
        subjects = list({(fact.tenant, fact.subject) for fact in facts})
        renamed = await tables.aliases(connection, self._schema, subjects) if subjects else {}
        ours = {}
        for number, some in read.items():
            for _, one in some:
                if isinstance(one, Recorded) and one.type != TICK:
                    subject = (one.tenant, one.subject)
                    person = (one.tenant, renamed.get(subject, one.subject))
                    if person[1] == one.subject or self._home(person) == number:
                        ours[person] = number
        await self._load(connection, work, ours)
        started = time.perf_counter()
        for number, some in read.items():
            watermark = self.positions[number].watermark
            for _, one in some:
                if isinstance(one, Parked):
                    work.changes.parked.append(_parked_row(one))
                    continue
                watermark = one.recorded_at if watermark is None else max(watermark, one.recorded_at)
                if one.type == TICK:
                    continue
                person = (one.tenant, renamed.get((one.tenant, one.subject), one.subject))
                self._note_correction(work, one)
                if person in ours and ours[person] == number:
                    self._apply(work, work.held[person], one, watermark)
                else:
                    work.changes.inbox.append((self._home(person), *person, one.raw, False))
            for person, home in ours.items():
                if home == number and watermark is not None:
                    self._pass(work, work.held[person], watermark)
        self.spent.fold += time.perf_counter() - started

    def _pass(self, work: Work, held: Held, watermark: datetime) -> None:
        """Let a person's deadlines fire up to the batch's last watermark, once all of their facts in it are in.

        Those between two of their facts have fired in order already; firing the rest after every fact would fold an
        imported history anew for each of its rows.
        """
        if held.is_quarantined:
            return
        try:
            held.file.advance(watermark)
        except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
            self._quarantine(held, wrong)
        self._compare(work, held, watermark, None)

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
            buried = await tables.tombstones(connection, self._schema, missing)
            known = list(stored)
            digests = await tables.erased(connection, self._schema, list(buried)) if buried else {}
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
                self._quarantine(held, wrong)
        return held

    def _apply(self, work: Work, held: Held, fact: Recorded, watermark: datetime) -> None:
        """One fact of one person, and what is found of them after it."""
        file = held.file
        if (
            held.erased
            and (kept := held.erased.get(tables.identity_digest(fact))) is not None
            and kept <= fact.recorded_at
        ):
            work.erased.setdefault(held.person, []).append(
                fact
            )  # the copy that counts is erased; this one may contradict it
            work.touched.setdefault(held.person, Touched())
            return
        before = file.known.get(fact.identity)
        conflicted = fact.identity in file.conflicts
        held.note(fact)
        try:
            file.apply(fact)
        except Exception as wrong:  # noqa: BLE001 - one person's fold must not stop the others
            self._quarantine(held, wrong)
        self._note_fact(work, held, before, fact, is_conflict=not conflicted and fact.identity in file.conflicts)
        self._compare(work, held, watermark, fact)

    def _quarantine(self, held: Held, wrong: Exception) -> None:
        held.is_quarantined = True
        log.error("fold failed", partition=held.partition, error=type(wrong).__name__, exc_info=wrong)

    def _compare(self, work: Work, held: Held, watermark: datetime, cause: Recorded | None) -> None:
        work.touched.setdefault(held.person, Touched())
        if held.is_quarantined:
            return
        touched, changed, alerts = held.compare(watermark)
        work.touched[held.person].add(touched)
        work.changed.setdefault(held.person, set()).update(changed)
        for said in alerts if self._speaks else ():
            self._say(work, held, said, watermark, cause)

    def _say(self, work: Work, held: Held, said: ToSay, at: datetime, cause: Recorded | None) -> None:
        envelope = alert(held.file, said, at, cause)
        key = partition_key(*held.person)
        work.changes.outbox.append((held.partition, *held.person, key, orjson.dumps(envelope)))
        now = held.said[said.id]
        row = (held.file.tenant, said.id, held.file.patient, now.n, now.level, now.is_raised, at)
        work.changes.announced.append(row)

    def _note_fact(self, work: Work, held: Held, before: Recorded | None, fact: Recorded, *, is_conflict: bool) -> None:
        """What the timeline has to learn of a fact: new, the same again, or another content for the same identity."""
        changes, person = work.changes, held.person
        key = (held.file.tenant, held.file.patient, *fact.identity)
        if held.file.is_erased(fact):
            work.erased.setdefault(person, []).append(fact)
        elif before is None:
            changes.facts.append(
                (
                    *key,
                    fact.type,
                    fact.occurred_at,
                    fact.recorded_at,
                    held.partition,
                    fact.data is not None,
                    False,
                    fact.raw,
                )
            )
        elif held.file.known[fact.identity] is fact:
            changes.replaced.append(
                (*key, fact.type, fact.occurred_at, fact.recorded_at, fact.data is not None, fact.raw)
            )
        if is_conflict:
            changes.conflicting.append(key)
        if isinstance(fact.data, PatientErased):
            work.erased.setdefault(person, []).extend(
                one for one in held.file.known.values() if held.file.is_erased(one)
            )
            changes.tombstones.append((held.file.tenant, held.file.patient, held.file.erased_until))

    def _note_correction(self, work: Work, fact: Recorded) -> None:
        if isinstance(fact.data, PatientMerged | FactVoided):
            is_merge = isinstance(fact.data, PatientMerged)
            digest = hashlib.sha256(fact.raw).digest()
            work.changes.corrections.append((fact.tenant, fact.subject, digest, is_merge, fact.raw))
            work.remerged.add(fact.tenant)

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
        self, numbers: Sequence[int], waiting: Sequence[tables.Waiting], due: Sequence[Person], *,
        anew: bool = False,
    ) -> None:  # fmt: skip
        """A transaction that moves no offset: the checkpoint is compared and kept."""
        to = {number: self.positions[number] for number in numbers}
        await self._transact(to, lambda connection, work: self._fold_own(connection, work, waiting, due, anew=anew))

    async def _fold_own(
        self, connection: Connection, work: Work, waiting: Sequence[tables.Waiting],
        due: Sequence[Person], *, anew: bool,
    ) -> None:  # fmt: skip
        persons = {(tenant, person): number for _, number, tenant, person, *_ in waiting}
        persons |= {person: self._home(person) for person in due}
        subjects = list(persons)
        renamed = await tables.aliases(connection, self._schema, subjects)
        await self._load(connection, work, persons)
        for number, _, tenant, person, raw, conflicting in waiting:
            work.changes.taken.append(number)
            if raw is None:
                await self._regroup(connection, work, work.held[tenant, person])
                continue
            now = (tenant, renamed.get((tenant, person), person))
            if now in work.held:
                held = work.held[now]
                watermark = self.positions[held.partition].watermark
                fact = decoded(raw)
                self._apply(work, held, fact, watermark or fact.recorded_at)
                if conflicting and fact.identity not in held.file.conflicts:
                    held.file.conflicts.add(fact.identity)
                    work.changes.conflicting.append((*now, *fact.identity))
            else:  # moved on while it waited
                work.changes.inbox.append((self._home(now), *now, raw, conflicting))
        for held in work.held.values():
            watermark = self.positions[held.partition].watermark
            held.file.touched.anew |= anew
            if watermark is not None:
                self._pass(work, held, watermark)

    async def _regroup(self, connection: Connection, work: Work, held: Held) -> None:
        """Some facts of this person have become somebody else's: hand them over, and fold the rest anew."""
        file, person = held.file, held.person
        subjects = sorted({fact.subject for fact in file.known.values()} | {file.patient})
        renamed = await tables.aliases(connection, self._schema, [(file.tenant, subject) for subject in subjects])
        leaving = [f for f in file.known.values() if renamed.get((file.tenant, f.subject), f.subject) != file.patient]
        if leaving:
            await connection.executemany(
                f"delete from {self._schema}.timeline where tenant = $1 and patient = $2 and subject = $3 and source = $4 and id = $5",
                [(*person, *fact.identity) for fact in leaving],
            )
        for fact in leaving:
            now = (file.tenant, renamed.get((file.tenant, fact.subject), fact.subject))
            work.changes.inbox.append((self._home(now), *now, fact.raw, fact.identity in file.conflicts))
        gone = {fact.identity for fact in leaving}
        work.changes.facts = [row for row in work.changes.facts if not (row[:2] == person and tuple(row[2:5]) in gone)]
        file.leave(gone)
        if file.watermark is not None:
            self._compare(work, held, file.watermark, None)

    async def _merge_people(self, connection: Connection, work: Work) -> None:
        """Judge all merges of a tenant in history order, and have those persons regrouped whose facts have moved."""
        for tenant in sorted(work.remerged):
            await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 7202))", tenant)
            rows = await connection.fetch(
                f"select raw from {self._schema}.correction c where tenant = $1 and subject in"
                f" (select subject from {self._schema}.correction where tenant = $1 and is_merge)",
                tenant,
            )
            who = people(effective_merges(tenant, [decoded(row["raw"]) for row in rows], self._policy))
            now = {subject: who.person(subject) for subject in who.into}
            before = {
                row["subject"]: row["person"]
                for row in await connection.fetch(
                    f"select subject, person from {self._schema}.alias where tenant = $1", tenant
                )
            }
            await connection.execute(
                f"insert into {self._schema}.merge_cycles (tenant, cycles) values ($1, $2)"
                " on conflict (tenant) do update set cycles = excluded.cycles",
                tenant, who.cycles,
            )  # fmt: skip
            if now == before:
                continue
            moved = {subject for subject in now.keys() | before.keys() if now.get(subject) != before.get(subject)}
            await connection.execute(
                f"delete from {self._schema}.alias where tenant = $1 and subject = any($2)", tenant, list(moved)
            )
            await connection.executemany(
                f"insert into {self._schema}.alias (tenant, subject, person) values ($1, $2, $3)",
                [(tenant, subject, now[subject]) for subject in moved if subject in now],
            )
            for person in sorted({before.get(subject, subject) for subject in moved}):
                work.changes.inbox.append((self._home((tenant, person)), tenant, person, None, False))

    # -- rows --------------------------------------------------------------------------------------------------------------

    async def _finish(self, connection: Connection, work: Work) -> None:
        started = time.perf_counter()
        if work.remerged:
            await tables.write_corrections(connection, self._schema, work.changes)
            await self._merge_people(connection, work)
        for person, touched in work.touched.items():
            self._rows(work, work.held[person], touched, work.changed.get(person, set()))
        await tables.write(connection, self._schema, work.changes)
        for person, facts in work.erased.items():
            rows = [_erased_row(fact, is_conflict=fact.identity in work.held[person].file.conflicts) for fact in facts]
            await tables.erase_facts(connection, self._schema, facts, person[1], rows)
            await tables.erase_elsewhere(connection, self._schema, *person, facts)
            await connection.execute("delete from parcours.outbox where tenant = $1 and patient = $2", *person)
        self.spent.write += time.perf_counter() - started

    def _rows(self, work: Work, held: Held, touched: Touched, changed: set[str]) -> None:
        """The rows of a person that this batch changed."""
        file, changes = held.file, work.changes
        last = file.facts[-1].occurred_at if file.facts else None
        if not file.facts and not held.is_quarantined:
            changes.emptied.append(held.person)
            changes.gone.append(held.person)
            return
        row = patient_row(file)
        changes.patients.append(
            (*held.person, held.partition, row["bounced"], row["cases"], row["claims"], len(file.facts), held.next_due, last,
             held.is_quarantined)
        )  # fmt: skip
        if held.is_quarantined:
            return
        if touched.anew:
            changes.emptied.append(held.person)
            touched, changed = Touched(set(file.cases), set(file.claims)), set(held.found)
        changes.cases += [_case(file, name) for name in sorted(touched.cases)]
        changes.claims += [_claim(file, name, file.watermark) for name in sorted(touched.claims)]
        changes.findings += [self._finding(held, name) for name in sorted(changed) if name in held.found]
        changes.lost_findings += [(file.tenant, name) for name in sorted(changed) if name not in held.found]

    def _finding(self, held: Held, name: str) -> tuple[Any, ...]:
        found, seen = held.found[name], held.seen[name]
        return (
            held.file.tenant, found.id, found.kind, found.patient, found.case, found.claim, found.topic, found.department,
            found.level, found.is_open, found.opened_at, seen.at, seen.is_old, reason_rows(held.file, found),
        )  # fmt: skip


def _case(file: PatientFile, name: str) -> tuple[Any, ...]:
    case = file.cases[name]
    row = case_row(file, case)
    since = case.path.visits[-1].since if case.path.visits else None
    return (
        file.tenant, file.patient, name, row["topic"], row["path"], row["handoffs"], row["hops"], row["distinct"],
        row["returns"], row["direct_returns"], row["alternation"], row["sterile"], row["carried"], row["level"],
        row["bounced"], row["state"], row["department"], since, case.path.answered_at, case.first_sign, case.last_sign,
    )  # fmt: skip


def _claim(file: PatientFile, name: str, now: datetime | None) -> tuple[Any, ...]:
    claim = file.claims[name]
    row = claim_row(file, claim, now or claim.t0)
    answer = claim.current.get("answer")
    late = {"met": False, "met_late": True}.get(answer.state) if answer and claim.is_over else None
    return (
        file.tenant, file.patient, name, claim.said.case, claim.jurisdiction.id, claim.t0, claim.state, claim.is_over,
        row["unanswered"], row["ladder"], len(claim.chases), claim.answered_at, answer.due_at if answer else None,
        late, department_of(file, claim), row["clocks"],
    )  # fmt: skip


def _parked_row(one: Parked) -> tuple[Any, ...]:
    record = one.record
    headers = [[name, None if value is None else value.hex()] for name, value in record.headers]
    return (
        record.partition, record.offset, one.digest, one.code, one.field, one.rule, one.tenant, one.subject, record.key,
        record.value, headers, appended_at(record),
    )  # fmt: skip


def _erased_row(fact: Recorded, *, is_conflict: bool) -> tuple[Any, ...]:
    content = hashlib.sha256(canonical(parsed(fact.raw))).digest()
    unknown = None if fact.data is not None else fact.type
    return (fact.tenant, fact.subject, tables.identity_digest(fact), fact.recorded_at, content, unknown, is_conflict)
