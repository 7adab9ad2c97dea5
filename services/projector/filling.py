"""A partition into tables that nobody reads yet: one person after another, each from their first fact to their last. DESIGN section 5."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from uuid import UUID, uuid4

import structlog

from services import tables_people
from services.log import Record
from services.projector.batch import Projecting
from services.projector.changes import Person
from services.projector.collector import keep_all, tidy
from services.projector.gathered import Gathered, in_parts, named
from services.projector.records import digest_of, parked_row
from services.projector.spilled import Raw
from services.projector.work import Work
from services.tables import NOT_KEPT, Connection
from services.tables_generations import has_timeline_index, partitions_with_people
from services.tables_projector import Position

SEGMENT = 300_000
SEGMENT_BYTES = 256_000_000
PART = 4_000
Batches = AsyncIterator[Sequence[Record]]
Step = Callable[[int], None]
log = structlog.get_logger("parcours.projector")


class Filling(Projecting):
    """Folds a partition from where it stands, in one transaction. Its records are put together by person before they are read, on
    disk where they are more than `SEGMENT`: one person's facts, their file and their rows are in use at a time, and then no more.
    """

    _has_strays = False
    _is_indexed = False

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn where partitions stand, and of which there are people in the tables already."""
        await super().take(partitions)
        async with self._pool.acquire() as connection:
            self._peopled = await partitions_with_people(connection, self._generation)
            self._is_indexed = await has_timeline_index(connection, self._generation)

    async def fill(self, number: int, batches_from: Callable[[int], Batches], step: Step) -> None:
        """Take in what `batches_from` an offset gives of a partition; `step` is told how many records were folded.

        Without the timeline's index nobody is read back from it: a partition that was begun (`_carefully`) then waits for the index.
        """
        while self.positions[number].next_offset == 0 or self._is_indexed:
            some = await self._gathered(batches_from(self.positions[number].next_offset))
            if some is None:
                return
            try:
                await self._take_in(number, some, step)
            except NOT_KEPT as wrong:
                log.warning("rows refused", error=type(wrong).__name__, partition=number)
                await self._carefully(number, batches_from(self.positions[number].next_offset), some.end, step)
            finally:
                some.close()

    async def _carefully(self, number: int, batches: Batches, until: int, step: Step) -> None:
        try:
            async for batch in batches:
                await self._by_halves({number: batch})
                step(len(batch))
                if self.positions[number].next_offset >= until:
                    return
        finally:
            self._memory.drop_partitions([number])

    async def _gathered(self, batches: Batches) -> Gathered | None:
        """All there is next; None when there is no more."""
        tidy()
        found = Gathered(SEGMENT, SEGMENT_BYTES)
        try:
            async for batch in batches:
                started = time.perf_counter()
                found.add(batch)
                if found.is_full:
                    found.put_aside(self._reader)
                self.spent.fetch += time.perf_counter() - started
        except BaseException:
            found.close()
            raise
        found.complete(self._reader)
        keep_all()
        return found if found.records else None

    async def _take_in(self, number: int, some: Gathered, step: Step) -> None:
        """The transaction of what was gathered."""
        told, to = 0, {number: self._position(number, some, uuid4())}

        def count(n: int) -> None:
            nonlocal told
            told += n
            step(n)

        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "set local idle_in_transaction_session_timeout = 0"
                )  # a long file takes its time
                await self._fill_in(connection, number, some, to, count)
        except BaseException:
            step(-told)
            self.ahead = dict(self.positions)
            raise
        finally:
            self._has_strays = False
        step(some.records - told)
        self.spent.records += some.records
        self.positions |= to
        self._peopled |= to.keys()
        self.ahead = dict(self.positions)

    async def _fill_in(
        self, connection: Connection, number: int, some: Gathered, to: dict[int, Position], step: Step
    ) -> None:
        last, strays, until = self._work(), list[Raw](), to[number].watermark
        batch = to[number].batch
        assert batch is not None  # noqa: S101 - it was made with one
        await self._move(connection, self.positions, to, batch)
        last.changes.parked += [parked_row(one) for one in some.parked]
        renamed = await tables_people.aliases(connection, self._schema, [named(key) for key in some.keys])
        for part in in_parts(some.shared_out(renamed), PART):
            work = self._work()
            strays += self._read_part(work, number, part, renamed)
            await self._fold_theirs(connection, work, renamed, {number: until})
            await self._make_rows(work)
            self._pass_on(work, last)
            await self._finish(connection, work)
            self.spent.facts += work.facts
            step(sum([len(listed) for _, listed in part]))
        if strays:  # their keys named others, who may be in the tables by now
            self._has_strays = True
            self.ahead |= to
            await self._fold_records(connection, last, {number: [(raw, self._reader.read(raw)) for raw in strays]})
        if last.remerged:
            await tables_people.write_corrections(connection, self._schema, last.changes)
            await self._merge_people(connection, last)
        await self._make_rows(last)
        await self._finish(connection, last)
        self.spent.facts += last.facts

    def _position(self, number: int, some: Gathered, batch: UUID) -> Position:
        """Where the partition stands after it."""
        assert some.last is not None  # noqa: S101 - nothing is taken in where nothing was gathered
        watermark = some.watermark(self._reader, self.positions[number].watermark)
        return Position(some.end, watermark, digest_of(some.last), batch)

    def _read_part(
        self, work: Work, number: int, part: Sequence[tuple[Person, list[Raw]]], renamed: Mapping[Person, str]
    ) -> list[Raw]:
        started = time.perf_counter()
        strays = list[Raw]()
        for person, listed in part:
            read = [(raw, self._reader.read(raw)) for raw in listed]
            strays += work.take(number, person, read, renamed, self._home)
        self.spent.decode += time.perf_counter() - started
        return strays

    def _is_fresh(self, numbers: Iterable[int]) -> bool:
        return not self._has_strays and super()._is_fresh(numbers) and self._peopled.isdisjoint(numbers)

    @staticmethod
    def _pass_on(work: Work, last: Work) -> None:
        """All merges and voids are judged together, and what is erased is erased, once everybody is in."""
        last.changes.corrections += work.changes.corrections
        last.remerged |= work.remerged
        last.changes.tombstones += work.changes.tombstones
        last.erased |= work.erased
        last.held |= {person: work.held[person] for person in work.erased}
        work.changes.corrections, work.changes.tombstones, work.erased = [], [], {}
