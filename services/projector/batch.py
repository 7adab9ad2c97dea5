"""Batches one after another: the next ones are folded while Postgres writes. DESIGN section 4."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import structlog

from services import tables_projector as tables
from services.collector import keep_all, tidy
from services.projector.changes import Person
from services.projector.held import Held, Memory
from services.projector.records import Batch, Reader
from services.projector.work import Work
from services.projector.writing import Records, Writing
from services.tables import NOT_KEPT, REFUSED, Generation, Pool
from services.tables_projector import Position

DUE_AT_ONCE = 2_000
INBOX_AT_ONCE = 5_000
SETTLE_EVERY = 5.0
AHEAD = 2
log = structlog.get_logger("parcours.projector")


class RowsRefused(RuntimeError):
    """Postgres will not keep a row of what was on its way: nothing of it is kept, and it has to be read again, `careful`."""


@dataclass(slots=True)
class Flight:
    """A folded batch on its way into the tables: its rows are made, and Postgres may be writing them.

    `is_rare`: what comes next has to find it in the tables. `spoiled`: people whose files were folded on by a batch that failed.
    """

    batch: Batch
    work: Work
    expected: dict[int, Position]
    to: dict[int, Position]
    id: UUID
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


class Projecting(Writing):
    """Folds records into the read tables of one generation; the caller owns the partitions."""

    def __init__(
        self, pool: Pool, generation: Generation, topic: str, reader: Reader, memory: Memory, owner: str, *, speaks: bool = True
    ) -> None:  # fmt: skip
        super().__init__(pool, generation, topic, reader, memory, owner, speaks=speaks)
        self._air = Air()
        self._careful_until: dict[int, int] = {}
        self._settled_at = time.monotonic()

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn where partitions stand that have become ours. If this raises, nothing has changed, and it can be called again."""
        async with self._pool.acquire() as connection:
            found = await tables.positions(connection, self._schema, self._topic, partitions)
        self.let_go()
        self.positions, self.ahead = found, dict(found)

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
        batch = await self._decoded(records)
        if batch.corrects:  # what a merge, a void or an erasure changes has to be in the tables, and seen, at once
            await self.landed()
            try:
                await self._transact_records(batch)
            except NOT_KEPT:
                await self._by_halves(records)
            return
        expected = {number: self.ahead[number] for number in batch.read}
        flight = Flight(batch, self._work(), expected, {}, uuid4())
        try:
            async with self._pool.acquire() as connection:
                await self._fold_records(connection, flight.work, batch)
            await self._make_rows(flight.work)
        except BaseException:
            self._memory.drop(flight.work.held)
            for other in self._air.flights:  # their files may have been folded on
                other.spoiled.update(flight.work.held)
            raise
        flight.to = {number: replace(self._moved(number, batch), batch=flight.id) for number in batch.read}
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
            self._careful_until |= until
            raise RowsRefused(str(wrong)) from wrong

    async def _write_all(self) -> None:
        """The batches that are folded, the oldest first; each leaves once it is in the tables."""
        air = self._air
        while air.flights:
            flight = air.flights[0]
            await self._write(flight)
            air.flights.popleft()
            self._note_batch(flight.batch)
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
                await self._move(connection, flight.expected, flight.to, flight.id)
                await self._finish(connection, flight.work)
        except Exception as wrong:
            if not await self._happened(flight.to, flight.id, wrong):
                raise
        self._keep(flight.work, flight.to, flight.spoiled)

    def _is_careful(self, number: int) -> bool:
        """Whether a record of this partition that Postgres refuses is still to be found."""
        return self.positions[number].next_offset < self._careful_until.get(number, 0)

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
        await self._own(waiting, ())
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
        await self._own((), due)
        return True

    async def _own(self, waiting: Sequence[tables.Waiting], due: Sequence[Person]) -> None:
        """A transaction that moves no offset: the checkpoint is compared and kept. What Postgres refuses is looked for by halves."""
        numbers = {number for _, number, *_ in waiting} | {self._home(person) for person in due}
        to = {number: self.positions[number] for number in sorted(numbers)}
        try:
            await self._transact(to, lambda connection, work: self._fold_own(connection, work, waiting, due))
        except REFUSED as refused:
            wrong = refused
        else:
            return
        log.warning("rows refused", waiting=len(waiting), due=len(due), error=type(wrong).__name__)
        if len(waiting) + len(due) == 1:
            await self._transact(to, lambda connection, work: self._leave_out(connection, work, waiting, due, wrong))
            return
        for half in (slice(len(waiting) // 2), slice(len(waiting) // 2, None)):
            if waiting[half]:
                await self._own(waiting[half], ())
        for half in (slice(len(due) // 2), slice(len(due) // 2, None)):
            if due[half]:
                await self._own((), due[half])
