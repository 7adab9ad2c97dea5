"""One batch: records in, one transaction out; the next one is folded while Postgres writes. DESIGN section 4."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4

import orjson
import structlog

from events.catalogue import TICK
from events.envelope import Recorded, partition_key
from projections.announcing import ToSay
from projections.known import CORRECTIONS
from projections.saying import alert
from services import tables_people
from services import tables_projector as tables
from services.log import Record
from services.projector.changed_rows import erased_row
from services.projector.changes import Person
from services.projector.collector import keep_all, tidy
from services.projector.held import Held, Memory
from services.projector.loading import Breath
from services.projector.records import REFUSED_BY_TABLES, Parked, Reader, digest_of, parked
from services.projector.sharing import Sharing
from services.projector.work import Work
from services.tables import NOT_KEPT, REFUSED, Connection, Generation, Pool
from services.tables_projector import Position
from services.tracing import provider, span

DUE_AT_ONCE = 2_000
INBOX_AT_ONCE = 5_000
SETTLE_EVERY = 5.0
AHEAD = 2
AT_ONCE = 64
log = structlog.get_logger("parcours.projector")

Records = Mapping[int, Sequence[Record]]
Read = Mapping[int, Sequence[tuple[Record, Recorded | Parked]]]
Fold = Callable[[Connection, Work], Awaitable[None]]


class RowsRefused(RuntimeError):
    """Postgres will not keep a row of what was on its way: nothing of it is kept, and it has to be read again, `careful`."""


@dataclass(slots=True)
class Flight:
    """A folded batch on its way into the tables: its rows are made, and Postgres may be writing them.

    `is_rare`: what comes next has to find it in the tables. `spoiled`: people whose files were folded on by a batch that failed.
    """

    records: Records
    read: Read
    work: Work
    expected: dict[int, Position]
    to: dict[int, Position]
    batch: UUID
    is_rare: bool = False
    spoiled: set[Person] = field(default_factory=set)


@dataclass(slots=True)
class Air:
    """What was folded and is not in the tables yet, the oldest first, and whoever writes it."""

    flights: deque[Flight] = field(default_factory=deque)
    writer: asyncio.Task[None] | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def held(self, person: Person) -> Held | None:
        """The newest state of a person."""
        for flight in reversed(self.flights):
            if (found := flight.work.held.get(person)) is not None:
                return found
        return None


def corrects(read: Read) -> bool:
    """Whether a merge, a void or an erasure is among the facts: what they change has to be in the tables, and seen, at once."""
    return any(
        isinstance(one, Recorded) and isinstance(one.data, CORRECTIONS) for some in read.values() for _, one in some
    )


class Projecting(Sharing):
    """Folds records into the read tables of one generation; the caller owns the partitions."""

    def __init__(
        self, pool: Pool, generation: Generation, topic: str, reader: Reader, memory: Memory, owner: str, *, speaks: bool = True
    ) -> None:  # fmt: skip
        super().__init__(pool, generation, topic, reader, memory, owner, speaks=speaks)
        self._air = Air()
        self._careful_until: dict[int, int] = {}
        self._settled_at = 0.0

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn where partitions stand that have become ours."""
        self.let_go()
        async with self._pool.acquire() as connection:
            self.positions = await tables.positions(connection, self._schema, self._topic, partitions)
        self.ahead = dict(self.positions)

    def let_go(self) -> None:
        """No partition is ours; what is not in the tables is forgotten."""
        self._discard()
        self.positions, self.ahead = {}, {}

    async def project(self, records: Records) -> None:
        """Fold the records of some partitions and move their checkpoints with the rows.

        Raises `FenceLost` when somebody else has moved a checkpoint; nothing of the batch is kept then. A record of which
        Postgres keeps no row is looked for by halves and parked; all others are kept.
        """
        try:
            await self.take_in(records)
            await self.landed()
        except RowsRefused:
            await self._by_halves(records)

    async def follow(self, records: Records, *, more: bool) -> None:
        """Fold a batch and set it on its way. With `more` waiting in the log, what has fallen due is fired every five
        seconds, and the next batch is folded while this one is written; else all is in the tables when this returns.
        """
        await self.take_in(records)
        await self.go_on(more=more)

    async def go_on(self, *, more: bool) -> None:
        """What `follow` does once a batch is folded; what failed for a moment is done again by calling this again."""
        now = time.monotonic()
        if more and now - self._settled_at < SETTLE_EVERY:
            await self.advance()
        else:
            await self.settle()
            self._settled_at = now

    # -- on its way --------------------------------------------------------------------------------------------------------

    async def take_in(self, records: Records) -> None:
        """Fold records on top of what is on its way into the tables. Nothing is in them before `landed`.

        If this raises, it can be called again with the same records.
        """
        if any(flight.spoiled or flight.is_rare for flight in self._air.flights):
            await self.landed()
        if any(self._is_careful(number) for number in records):
            await self.landed()
            await self._by_halves(records)
            return
        tidy()
        read = await self._decoded(records)
        if corrects(read):
            await self.landed()
            await self._transact_records(records, read)
            return
        expected = {number: self.ahead[number] for number in read}
        flight = Flight(records, read, self._work(), expected, {}, uuid4())
        try:
            async with self._pool.acquire() as connection:
                await self._fold_records(connection, flight.work, read)
            await self._make_rows(flight.work)
        except BaseException:
            self._memory.drop(flight.work.held)
            for other in self._air.flights:  # their files may have been folded on
                other.spoiled.update(flight.work.held)
            raise
        flight.to = {number: replace(self._moved(number, some), batch=flight.batch) for number, some in read.items()}
        self.ahead |= flight.to
        flight.is_rare = flight.work.is_rare
        self._air.flights.append(flight)
        keep_all()

    async def advance(self) -> None:
        """Have what was folded written, one batch after another, and wait until no more than `AHEAD` are on their way.

        Raises `FenceLost` and `RowsRefused`, after which nothing is on its way any more; what passes can be tried again.
        """
        await self._down_to(AHEAD)

    async def landed(self) -> None:
        """Everything that was folded is in the tables."""
        await self._down_to(0)

    async def _down_to(self, most: int) -> None:
        air = self._air
        while air.flights:
            if air.writer is None:
                air.writer = asyncio.create_task(self._write_all())
            if len(air.flights) <= most and not air.writer.done():
                return
            air.moved.clear()
            if not air.writer.done():
                moved = asyncio.ensure_future(air.moved.wait())
                await asyncio.wait({air.writer, moved}, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
            if air.writer.done():
                writer, air.writer = air.writer, None
                self._look_at(writer)

    def _look_at(self, writer: asyncio.Task[None]) -> None:
        """How the writing ended; what passes leaves the batches where they are, to be written once more."""
        try:
            writer.result()
        except tables.FenceLost:
            self._discard()
            raise
        except NOT_KEPT as wrong:
            log.warning("rows refused", error=type(wrong).__name__)
            until = {n: at.next_offset for one in self._air.flights for n, at in one.to.items()}
            self._discard()
            self._careful_until = until
            raise RowsRefused(str(wrong)) from wrong

    async def _write_all(self) -> None:
        """The batches that are folded, the oldest first; each leaves once it is in the tables."""
        air = self._air
        while air.flights:
            flight = air.flights[0]
            await self._write(flight)
            air.flights.popleft()
            self._note_batch(flight.records, flight.read)
            air.moved.set()

    def _discard(self) -> None:
        """Forget what is on its way, and the files it was folded into."""
        if self._air.writer is not None:
            self._air.writer.cancel()
            self._air.writer = None
        for flight in self._air.flights:
            self._memory.drop(flight.work.held)
        self._air.flights.clear()
        self.ahead = dict(self.positions)

    def _flying(self, person: Person) -> Held | None:
        return self._air.held(person)

    async def _write(self, flight: Flight) -> None:
        """The transaction of a folded batch. Done again, it asks first whether it happened."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await self._move(connection, flight.expected, flight.to, flight.batch)
                await self._finish(connection, flight.work)
        except Exception as wrong:
            if not await self._happened(flight.to, flight.batch, wrong):
                raise
        self._keep(flight.work, flight.to, flight.spoiled)

    # -- careful -----------------------------------------------------------------------------------------------------------

    def _is_careful(self, number: int) -> bool:
        """Whether a record of this partition that Postgres refuses is still to be found."""
        return self.positions[number].next_offset < self._careful_until.get(number, 0)

    async def _by_halves(self, records: Records) -> None:
        """One transaction after another, nothing on its way; what is refused is looked for by halves."""
        listed = [
            (number, record)
            for number, some in records.items() for record in some if record.offset >= self.positions[number].next_offset
        ]  # fmt: skip
        if not listed:
            return
        try:
            await self._transact_records(records, await self._decoded(records))
        except REFUSED as wrong:
            log.warning("rows refused", records=len(listed), error=type(wrong).__name__)
            if len(listed) == 1:
                await self._transact_records(records, await self._decoded(records, refused=wrong))
                return
            for half in (listed[: len(listed) // 2], listed[len(listed) // 2 :]):
                some_of: dict[int, list[Record]] = {}
                for number, record in half:
                    some_of.setdefault(number, []).append(record)
                await self._by_halves(some_of)

    async def _transact_records(self, records: Records, read: Read) -> None:
        to = {number: self._moved(number, some) for number, some in read.items()}
        await self._transact(to, lambda connection, work: self._fold_records(connection, work, read))
        self._note_batch(records, read)

    async def _decoded(self, records: Records, refused: Exception | None = None) -> Read:
        started = time.perf_counter()
        breath, read = Breath(), dict[int, list[tuple[Record, Recorded | Parked]]]()
        for number, some in records.items():
            listed = read[number] = []
            for start in range(0, len(some), AT_ONCE):
                listed += [(record, self._read_record(record, refused)) for record in some[start : start + AT_ONCE]]
                await breath.taken()
        self.spent.decode += time.perf_counter() - started
        return read

    def _read_record(self, record: Record, refused: Exception | None) -> Recorded | Parked:
        if refused is None:
            return self._reader.read(record)
        return parked(record, REFUSED_BY_TABLES, "(record)", f"the tables keep no such row ({type(refused).__name__})")

    def _note_batch(self, records: Records, read: Read) -> None:
        for step in ("fetch", "decode", "fold", "load", "rows", "write"):
            self.measures.seconds.labels(step).set(getattr(self.spent, step))
        self.measures.batch(records, read, self.positions)
        self._note_facts(read)

    def _note_facts(self, read: Read) -> None:
        self.spent.records += sum(map(len, read.values()))
        self.spent.facts += sum(
            isinstance(one, Recorded) and one.type != TICK for some in read.values() for _, one in some
        )

    # -- the transaction -------------------------------------------------------------------------------------------------

    def _work(self) -> Work:
        return Work(self._say if self._speaks else None, self._quarantine)

    async def _transact(self, to: Mapping[int, Position], fold: Fold) -> None:
        """One transaction, with nothing else on its way: the compare-and-set first, then what `fold` finds and its rows;
        nothing is kept unless it commits.
        """
        work, batch = self._work(), uuid4()
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    await self._move(connection, self.positions, to, batch)
                    await fold(connection, work)
                    if work.remerged:
                        await tables_people.write_corrections(connection, self._schema, work.changes)
                        await self._merge_people(connection, work)
                    await self._make_rows(work)
                    await self._finish(connection, work, doubting=True)
            except BaseException as wrong:
                self._memory.drop(work.held)
                if not isinstance(wrong, Exception) or not await self._happened(to, batch, wrong):
                    raise
                work.held.clear()
        self._keep(work, {number: replace(position, batch=batch) for number, position in to.items()})
        self.ahead = dict(self.positions)

    async def _move(
        self, connection: Connection, expected: Mapping[int, Position], to: Mapping[int, Position], batch: UUID
    ) -> None:
        wanted = {number: expected[number] for number in to}
        await tables.move(connection, self._generation, self._topic, wanted, to, self._owner, batch)

    async def _happened(self, to: Mapping[int, Position], batch: UUID, wrong: Exception) -> bool:
        """A commit whose answer was lost did happen: the checkpoint bears our batch."""
        if isinstance(wrong, REFUSED):
            return False
        try:
            async with self._pool.acquire() as connection:
                return await tables.was_committed(connection, self._schema, self._topic, to, batch)
        except OSError:
            return False

    def _keep(self, work: Work, to: Mapping[int, Position], spoiled: Iterable[Person] = ()) -> None:
        """After COMMIT returned, and only then, the files in memory are the state."""
        self.positions |= to
        gone = set(spoiled) | {person for person in work.held if work.held[person].is_quarantined}
        gone |= set(work.erased)
        self._memory.put(held for person, held in work.held.items() if person not in gone)
        self._memory.drop(gone)

    def _moved(self, number: int, some: Sequence[tuple[Record, Recorded | Parked]]) -> Position:
        watermark = self.ahead[number].watermark
        for _, one in some:
            if isinstance(one, Recorded) and (watermark is None or one.recorded_at > watermark):
                watermark = one.recorded_at
        last = some[-1][0]
        return Position(last.offset + 1, watermark, digest_of(last))

    # -- folding ---------------------------------------------------------------------------------------------------------

    async def _fold_records(self, connection: Connection, work: Work, read: Read) -> None:
        started = time.perf_counter()
        work.theirs, work.ours = {}, {}
        subjects = {
            (one.tenant, one.subject)
            for some in read.values() for _, one in some if isinstance(one, Recorded) and one.type != TICK
        }  # fmt: skip
        renamed = await tables_people.aliases(connection, self._schema, list(subjects)) if subjects else {}
        breath = Breath()
        until: dict[int, datetime | None] = {}
        for number, some in read.items():
            until[number] = work.share_out(number, some, self.ahead[number].watermark, renamed, self._home)
            await breath.taken()
        self.spent.fold += time.perf_counter() - started
        await self._load(connection, work, work.ours)
        if merged := sorted({(tenant, person) for (tenant, _), person in renamed.items()} & work.ours.keys()):
            await self._recall_erased(connection, work, merged)
        started = time.perf_counter()
        for person, number in work.ours.items():
            work.fold(person, until[number])
            if breath.is_due:
                await breath.taken()
        self.spent.fold += time.perf_counter() - started

    def _say(self, work: Work, held: Held, said: ToSay, at: datetime, cause: Recorded | None) -> None:
        envelope = alert(held.file, said, at, cause)
        if provider() is not None:
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

    async def settle(self) -> None:
        """Have all in the tables, take what other partitions left for ours, and fire what has fallen due, until nothing is left."""
        await self.landed()
        while await self._take_inbox() or await self._fire_due():
            pass

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

    # -- rows --------------------------------------------------------------------------------------------------------------

    async def _make_rows(self, work: Work) -> None:
        """The rows of everybody the batch touched: from here on their files may be folded further."""
        started = time.perf_counter()
        breath = Breath()
        work.changes.amend()
        for person in work.touched:
            work.rows_of(person)
            if breath.is_due:
                await breath.taken()
        self.spent.rows += time.perf_counter() - started

    async def _finish(self, connection: Connection, work: Work, *, doubting: bool = False) -> None:
        started = time.perf_counter()
        for person in work.erased if self._speaks else ():
            await tables_people.erase_unsaid(connection, person)
        await tables.write(connection, self._schema, work.changes, doubting=doubting)
        for person, facts in work.erased.items():
            rows = [erased_row(fact, is_conflict=fact.identity in work.held[person].file.conflicts) for fact in facts]
            await tables_people.erase_facts(connection, self._schema, person, facts, rows)
            until = work.held[person].file.erased_until
            await tables_people.erase_elsewhere(connection, self._schema, person, facts, rows, until)
        self.spent.write += time.perf_counter() - started
