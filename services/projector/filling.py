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
from services.projector.gathered import Gathered, Raw, in_parts, named
from services.projector.records import Parked, digest_of, parked_row
from services.projector.work import Work
from services.tables import NOT_KEPT
from services.tables_projector import Position

SEGMENT = 500_000
SEGMENT_BYTES = 256_000_000
PART = 4_000
Batches = AsyncIterator[Sequence[Record]]
Step = Callable[[int], None]
log = structlog.get_logger("parcours.projector")


class Filling(Projecting):
    """Folds a partition from where it stands, in one transaction for up to `SEGMENT` records. They are put together by person before
    they are read: one person's facts, their file and their rows are in use at a time, and then no more.
    """

    _has_strays = False

    async def fill(self, number: int, batches_from: Callable[[int], Batches], step: Step) -> None:
        """Take in what `batches_from` an offset gives of a partition; `step` is told how many records were folded."""
        while True:
            batches = batches_from(self.positions[number].next_offset)
            while (some := await self._gathered(batches)) is not None:
                try:
                    await self._take_in(number, some, step)
                except NOT_KEPT as wrong:
                    log.warning("rows refused", error=type(wrong).__name__, partition=number)
                    await self._carefully(number, batches_from(self.positions[number].next_offset), some.end)
                    break
            else:
                self._memory.drop_partitions([number])
                return

    async def _carefully(self, number: int, batches: Batches, until: int) -> None:
        async for batch in batches:
            await self._by_halves({number: batch})
            if self.positions[number].next_offset >= until:
                return

    async def _gathered(self, batches: Batches) -> Gathered | None:
        """As many of the next records as may be held; None when there are no more."""
        tidy()
        found = Gathered(SEGMENT, SEGMENT_BYTES)
        async for batch in batches:
            started = time.perf_counter()
            found.add(batch)
            self.spent.fetch += time.perf_counter() - started
            if found.is_full:
                break
        keep_all()
        return found if found.records else None

    async def _take_in(self, number: int, some: Gathered, step: Step) -> None:
        """The transaction of what was gathered."""
        batch, count = uuid4(), some.records
        last, strays = self._work(), list[Raw]()
        async with self._pool.acquire() as connection, connection.transaction():
            await self._move(connection, self.positions, to := {number: self._position(number, some, batch)}, batch)
            until = to[number].watermark
            last.changes.parked += [parked_row(one) for one in some.sort_out(self._reader) if isinstance(one, Parked)]
            renamed = await tables_people.aliases(connection, self._schema, [named(key) for key in some.theirs])
            for part in in_parts(some.shared_out(renamed), PART):
                work = self._work()
                strays += self._read_part(work, number, part, renamed)
                await self._fold_theirs(connection, work, renamed, {number: until})
                self._pass_on(work, last)
                await self._make_rows(work)
                await self._finish(connection, work)
                self.spent.facts += work.facts
                done = sum([len(listed) for _, listed in part])
                count -= done
                step(done)
            if strays:  # their keys named others, who may be in the tables by now
                self._has_strays = True
                await self._fold_records(connection, last, {number: [(raw, self._reader.read(raw)) for raw in strays]})
            if last.remerged:
                await tables_people.write_corrections(connection, self._schema, last.changes)
                await self._merge_people(connection, last)
            await self._make_rows(last)
            await self._finish(connection, last)
        step(count)
        self._has_strays = False
        self.spent.records += some.records
        self.positions |= to
        self.ahead = dict(self.positions)

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
        return not self._has_strays and super()._is_fresh(numbers)

    @staticmethod
    def _pass_on(work: Work, last: Work) -> None:
        """All merges and voids are judged together, once everybody is in."""
        last.changes.corrections += work.changes.corrections
        last.remerged |= work.remerged
        work.changes.corrections = []
