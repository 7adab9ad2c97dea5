"""A long stretch of one partition, one person after another, in one transaction: each file is complete before its rows are made.
DESIGN sections 4 and 5.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID, uuid4

import structlog

from services import tables_people, tables_writing
from services.collector import keep_all, tidy
from services.projector.batch import Projecting, RowsRefused
from services.projector.changes import Person
from services.projector.gathered import Gathered, in_parts, named
from services.projector.held import Memory
from services.projector.loading import BreakerOpened, Breath
from services.projector.records import Batch, Reader, digest_of, parked_row
from services.projector.spilled import Later, Raw
from services.projector.work import Work
from services.projector.writing import Records
from services.tables import NOT_KEPT, Connection, Generation, Pool
from services.tables_projector import FenceLost, Position

PART = 4_000
IN_MEMORY, MOST_BYTES = 100_000, 100_000_000
"""How many gathered records, or bytes of them, are in memory; the others wait on disk."""
SHORTEST = 16_000
READ_AHEAD = 40_000
"""How many records of a stretch are read before it begins, while the end of the one before it is written."""
LONGEST = 2
"""How many records a stretch has at most, as a multiple of the facts that may be held in memory."""
log = structlog.get_logger("parcours.projector")
Step = Callable[[int], None]
Part = Sequence[tuple[Person, list[Raw]]]


class StretchLost(RuntimeError):
    """What was gathered of a partition is used up and not in the tables: it has to be read again from where they stand."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A stretch on its way into the tables, while the next one is gathered: of which partition, and the offset after it."""

    taking: asyncio.Task[None]
    number: int
    end: int


class Stretching(Projecting):
    """Folds batches as they come; of a partition that is far behind, it gathers what comes, up to `LONGEST` times as many records as
    facts may be held in memory, and folds that person by person: in batches nearly everybody would be read back for each.

    One stretch may be under way while the next one, of another partition, is gathered; nothing else is done before it has `landed`.
    """

    _has_strays = False

    def __init__(
        self, pool: Pool, generation: Generation, topic: str, reader: Reader, memory: Memory, owner: str, *, speaks: bool = True
    ) -> None:  # fmt: skip
        super().__init__(pool, generation, topic, reader, memory, owner, speaks=speaks)
        self._gathering: dict[int, Gathered | None] = {}
        self._most = LONGEST * memory.limit
        self._goal: dict[int, int] = {}
        self._later = Later()
        self._is_interrupted = False
        self._under_way: UnderWay | None = None
        self._all_folded = asyncio.Event()

    # -- far behind --------------------------------------------------------------------------------------------------------

    @property
    def gathering(self) -> Collection[int]:
        """The partitions of which something is gathered."""
        return self._gathering.keys()

    def wanted_from(self, number: int) -> int:
        """The offset of the next record that is wanted of a partition."""
        if self._under_way is not None and self._under_way.number == number:
            return self._under_way.end
        some = self._gathering.get(number)
        return some.end if some is not None and some.records else self.ahead[number].next_offset

    def let_go(self) -> None:
        """As of every projector; nothing is gathered any more, and no stretch is under way."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.taking.cancel()
        for number in list(self._gathering):
            self.forget(number)
        super().let_go()

    async def take(self, partitions: Iterable[int]) -> None:
        """As of every projector; a stretch may take its time again."""
        await super().take(partitions)
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Partitions are to go: a stretch that is being taken in ends with `StretchLost`, for whoever is next to read it."""
        self._is_interrupted = True

    def forget(self, number: int) -> None:
        """What was gathered of a partition is to be read again."""
        if (some := self._gathering.pop(number, None)) is not None:
            some.close()

    async def landed(self) -> None:
        """Everything that was folded is in the tables, a stretch too. Raises `StretchLost` as well."""
        await self._stretched()
        await super().landed()

    async def take_in(self, records: Records) -> None:
        """As of every projector, once no stretch is under way."""
        await self._stretched()
        await super().take_in(records)

    async def take_far(self, records: Records, ends: Mapping[int, int], step: Step, *, goes_on: bool = False) -> None:
        """Gather records of partitions that are far behind; what reaches the end of the log, or is long enough, is taken in; where it
        `goes_on` with other partitions, without waiting for it.

        It can be called again with the same records. Raises `StretchLost` as well as what `landed` raises.
        """
        for number in records:
            self._miss_none()
            some = [record for record in records[number] if record.offset >= self.wanted_from(number)]
            if some and self._is_careful(number):
                await self.take_in({number: some})
                continue
            while some:
                if self._under_way is not None and self._under_way.number == number:
                    await self._stretched()
                if number not in self._gathering:
                    await super().landed()
                    self._memory.drop_partitions([number])
                    tidy()
                    self._gathering[number] = Gathered(min(self._memory.limit, IN_MEMORY), MOST_BYTES)
                    self._goal[number] = even(ends.get(number, 0) - some[0].offset, self._most)
                found = self._gathering[number]
                assert found is not None  # noqa: S101 - it was looked for
                room = self._goal[number] - found.records
                found.add(some[:room])
                some = some[room:]
                if found.is_full:
                    found.put_aside(self._reader)
                if found.records >= self._goal[number] or found.end >= ends.get(number, 0):
                    await self._set_out(number, step)
                    if not goes_on:
                        await self._stretched()

    async def take_gathered(self, number: int, step: Step) -> None:
        """Take in what is gathered of a partition. Raises as `take_far` does; those that come are shorter then."""
        await self.landed()
        if number in self._gathering:  # else it was under way
            await self._set_out(number, step)
            await self._stretched()

    async def _set_out(self, number: int, step: Step) -> None:
        """Begin to take in what is gathered of a partition, once nothing else is on its way."""
        await self._read_ahead(number)
        await self.landed()
        some = self._gathering.get(number)
        if some is None:
            raise StretchLost(f"of partition {number}")
        self._gathering[number] = None
        self._memory.drop_partitions([number])
        some.complete(self._reader)
        keep_all()
        self._all_folded.clear()
        self._under_way = UnderWay(asyncio.create_task(self._take_along(number, some, step)), number, some.end)

    async def _read_ahead(self, number: int) -> None:
        """Read some of what is gathered of a partition, once nothing is left to fold of the stretch that is under way."""
        under_way, some = self._under_way, self._gathering.get(number)
        if under_way is None or some is None:
            return
        folded = asyncio.ensure_future(self._all_folded.wait())
        await asyncio.wait({under_way.taking, folded}, return_when=asyncio.FIRST_COMPLETED)
        folded.cancel()
        started, breath = time.perf_counter(), Breath()
        for raw in islice(some.to_come(), READ_AHEAD):
            if under_way.taking.done():
                break
            some.read_ahead(raw, self._reader)
            if breath.is_due:
                await breath.taken()
        self.spent.decode += time.perf_counter() - started

    def _miss_none(self) -> None:
        """Raises `StretchLost` where what was gathered is neither there nor under way."""
        for number, some in self._gathering.items():
            if some is None and (self._under_way is None or self._under_way.number != number):
                raise StretchLost(f"of partition {number}")

    async def _stretched(self) -> None:
        """The stretch that was under way is in the tables, if there was one. Raises `StretchLost` where one did not land before."""
        if (under_way := self._under_way) is not None:
            try:
                await under_way.taking
            finally:
                if self._under_way is under_way:
                    self._under_way = None
        self._miss_none()

    async def _take_along(self, number: int, some: Gathered, step: Step) -> None:
        try:
            await self.take_stretch(number, some, step)
        except BreakerOpened:  # once it is released, what can be kept is kept, batch by batch
            self._careful_until[number] = some.end
            self._gathering.pop(number, None)
            raise
        except NOT_KEPT as wrong:
            log.warning("rows refused", error=type(wrong).__name__, partition=number)
            self._careful_until[number] = some.end
            raise RowsRefused(str(wrong)) from wrong
        except (FenceLost, StretchLost):
            raise
        except BaseException:  # it may have been too long
            self._most = max(SHORTEST, self._goal[number] // 2)
            raise
        finally:
            some.close()
        self._gathering.pop(number, None)
        self._note_seconds()
        self.measures.stands(number, self.positions[number])

    # -- a stretch ---------------------------------------------------------------------------------------------------------

    async def take_stretch(self, number: int, some: Gathered, step: Step) -> None:
        """The transaction of what was gathered of a partition; `step` is told how many records were folded.

        Nobody of that partition is in memory, and nothing of it on its way. If this raises, `some` is used up.
        """
        told, to, facts = 0, {number: self._position(number, some, uuid4())}, self.spent.facts

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
            if number in self.positions:
                self.ahead = self.ahead | {number: self.positions[number]}
            raise
        finally:
            self._has_strays = False
        step(some.records - told)
        self.measures.facts.inc(self.spent.facts - facts)
        self.spent.records += some.records
        self.positions |= to
        self.ahead = dict(self.positions)

    async def _fill_in(
        self, connection: Connection, number: int, some: Gathered, to: dict[int, Position], step: Step
    ) -> None:
        last, until = self._lived(), to[number].watermark
        batch = to[number].batch
        assert batch is not None  # noqa: S101 - it was made with one
        await self._move(connection, self.positions, to, batch)
        last.changes.parked += [parked_row(one) for one in some.parked]
        renamed = await tables_people.aliases(connection, self._schema, [named(key) for key in some.keys])
        self._later = Later()
        try:
            strays = await self._fold_parts(connection, number, some, renamed, until, last, step)
            await self._fold_last(connection, number, to, strays, last)
        finally:
            self._later.close()
        self.spent.facts += last.facts

    async def _fold_last(
        self, connection: Connection, number: int, to: dict[int, Position], strays: Sequence[Raw], last: Work
    ) -> None:  # fmt: skip
        """Records whose keys named others, what crosses partitions, and what is said."""
        if strays:  # their keys named others, who may be in the tables by now
            self._has_strays = True
            self.ahead |= to
            batch = Batch()
            batch.take(number, strays, self._reader.read)
            await self._fold_records(connection, last, batch)
        self._go_on()
        if last.remerged:
            await tables_people.write_corrections(connection, self._schema, last.changes)
            await self._merge_people(connection, last)
        self.measures.note_parked(last.changes.parked)
        await self._make_rows(last)
        for rows in self._later.all():
            await tables_writing.write_outbox(connection, rows)
        await self._finish(connection, last)

    async def _fold_parts(
        self, connection: Connection, number: int, some: Gathered, renamed: Mapping[Person, str], until: datetime | None,
        last: Work, step: Step,
    ) -> list[Raw]:  # fmt: skip
        """Some people after others, who are folded while the rows of those before them are written: nobody is in two parts.
        Back come the records that are about somebody else than their keys say.
        """
        strays, before, writing = list[Raw](), None, None
        try:
            async with self._pool.acquire() as reading:
                for part in in_parts(some.shared_out(renamed), PART):
                    work = self._lived()
                    strays += await self._read_part(work, number, some, part, renamed)
                    await self._fold_theirs(reading, work, renamed, {number: until})
                    await self._make_rows(work)
                    self._pass_on(work, last)
                    self.measures.note_parked(work.changes.parked)
                    if before is not None:
                        await before
                    before, writing = writing, asyncio.create_task(self._finish_after(writing, connection, work))
                    self.spent.facts += work.facts
                    step(sum([len(listed) for _, listed in part]))
            self._all_folded.set()
            if writing is not None:
                await writing
        except BaseException:
            if writing is not None:
                writing.cancel()  # and with it the one it waits for
                await asyncio.gather(writing, return_exceptions=True)
            raise
        return strays

    async def _finish_after(self, writing: asyncio.Task[None] | None, connection: Connection, work: Work) -> None:
        if writing is not None:
            await writing
        await self._finish(connection, work)

    def _position(self, number: int, some: Gathered, batch: UUID) -> Position:
        """Where the partition stands after it."""
        assert some.last is not None  # noqa: S101 - nothing is taken in where nothing was gathered
        watermark = some.watermark(self._reader, self.positions[number].watermark)
        return Position(some.end, watermark, digest_of(some.last), batch)

    def _go_on(self) -> None:
        if self._is_interrupted:
            raise StretchLost("the partition is wanted elsewhere")

    def _lived(self) -> Work:
        """Work in which a deadline between two facts of a person fires between them: a stretch may be years."""
        self._go_on()
        work = self._work()
        work.is_lived = True
        return work

    async def _read_part(
        self, work: Work, number: int, some: Gathered, part: Part, renamed: Mapping[Person, str]
    ) -> list[Raw]:  # fmt: skip
        started, breath = time.perf_counter(), Breath()
        strays = list[Raw]()
        for person, listed in part:
            if breath.is_due:
                await breath.taken()
            read = [(raw, some.read(raw, self._reader)) for raw in listed]
            strays += work.take(number, person, read, renamed, self._home)
        self.spent.decode += time.perf_counter() - started
        return strays

    def _pass_on(self, work: Work, last: Work) -> None:
        """Once everybody is in, all merges and voids are judged together, what is erased is erased, and what was found is said: the
        number of an alert is a lock for its tenant.
        """
        last.changes.corrections += work.changes.corrections
        last.remerged |= work.remerged
        last.changes.tombstones += work.changes.tombstones
        last.erased |= work.erased
        last.held |= {person: work.held[person] for person in work.erased}
        for row in work.changes.outbox if last.erased else ():  # once what was to be said of the erased before is gone
            if row[1:3] in last.erased:
                last.changes.outbox.append(row)
        self._later.add([row for row in work.changes.outbox if row[1:3] not in last.erased])
        work.changes.corrections, work.changes.tombstones, work.erased = [], [], {}
        work.changes.outbox = []


def even(left: int, most: int) -> int:
    """How long stretches of about `most` records are, if what is left is to be so many that are alike: the shorter one is, the more
    of the people in it are read back for little.
    """
    return max(1, left // max(1, round(left / most))) if left > most else most
