"""A long stretch of one partition, one person after another, in one transaction: each file is complete before its rows are made.
DESIGN sections 4 and 5.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

import structlog

from services import tables_people, tables_writing
from services.collector import keep_all, tidy
from services.projector.batch import Projecting, RowsRefused
from services.projector.changes import Changes, Person
from services.projector.gathered import Gathered, in_parts, named
from services.projector.held import Held, Memory
from services.projector.loading import BreakerOpened, Breath
from services.projector.records import Batch, Reader, digest_of, parked_row
from services.projector.spilled import Later, Raw
from services.projector.work import Work
from services.projector.writing import Records
from services.tables import NOT_KEPT, Connection, Generation, Pool
from services.tables_projector import FenceLost, Position
from services.tables_shapes import TIMELINE

PART = 16_000
"""How many records are written at once."""
ASKED = 4_000
"""Of the people of how many the tables are asked at once."""
AT_HAND = 250
"""How many are read, folded and made into rows before the next are looked at: what they become stays in the processor's caches."""
WAITING = 2
"""How many parts of a stretch may wait to be written."""
IN_MEMORY, MOST_BYTES = 100_000, 100_000_000
"""How many gathered records, or bytes of them, are in memory; the others wait on disk."""
SHORTEST = 16_000
PATIENCE = 60
"""For how many seconds a stretch waits for what others hold: they judge merges and erase one at a time."""
STIRS_EVERY = 0.5
LONG = 64
"""From how many facts on a file is kept in memory once its stretch has landed, as far as there is room."""
LONGEST = 2
"""How many records a stretch has at most, as a multiple of the facts that may be held in memory."""
log = structlog.get_logger("parcours.projector")
Step = Callable[[int], None]
Part = Sequence[tuple[Person, list[Raw]]]


class StretchLost(RuntimeError):
    """What was gathered of a partition is used up and not in the tables: it has to be read again from where they stand."""


@dataclass(slots=True)
class UnderWay:
    """A stretch on its way into the tables, and the one `before` it, if there is one. `is_folded` once everybody is: then the next one
    can be. Nobody is of two partitions; what crosses them is left in the inbox, as by two projectors. `long`: files that would take
    their time to be read back; `facts`: how many were folded. `timeline`: the table that takes them.
    """

    number: int
    some: Gathered
    before: "UnderWay | None" = None
    is_folded: asyncio.Event = field(default_factory=asyncio.Event)
    later: Later = field(default_factory=Later)
    long: list[Held] = field(default_factory=list)
    facts: int = 0
    timeline: str = TIMELINE.name
    taking: asyncio.Task[None] | None = None

    def set_out(self, taking: Coroutine[None, None, None]) -> None:
        """Begin; what becomes of it is asked for by `Stretching`, or by nobody any more."""
        self.taking = asyncio.create_task(taking)
        self.taking.add_done_callback(lambda done: done.cancelled() or done.exception())

    def cancel(self) -> None:
        """It is not wanted any more."""
        if self.taking is not None:
            self.taking.cancel()

    async def folded(self) -> bool:
        """Wait until the next one can be folded; False where it has ended."""
        assert self.taking is not None  # noqa: S101 - only what has set out is waited for
        waiting = asyncio.ensure_future(self.is_folded.wait())
        try:
            await asyncio.wait({self.taking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return not self.taking.done()

    async def landed(self, connection: Connection) -> None:
        """Wait until it is in the tables, in a transaction that is not to look like a frozen owner's meanwhile. Raises `StretchLost` where
        it will not be.
        """
        assert self.taking is not None  # noqa: S101 - only what has set out is waited for
        while not (await asyncio.wait({self.taking}, timeout=STIRS_EVERY))[0]:
            await connection.execute("select 1")
        if self.taking.cancelled() or self.taking.exception() is not None:
            raise StretchLost(f"of partition {self.number}, and with it the one behind it")


class Stretching(Projecting):
    """Folds batches as they come; of a partition that is far behind, it gathers what comes, up to `LONGEST` times as many records as
    facts may be held in memory, and folds that person by person: in batches nearly everybody would be read back for each.

    Two stretches may be under way, of two partitions: one is folded while the end of the other is written, and a third is gathered. Nothing
    else is done before they have `landed`, which they do in their order. Where one failed, they are taken one at a time.
    """

    _has_strays = False

    def __init__(
        self, pool: Pool, generation: Generation, topic: str, reader: Reader, memory: Memory, owner: str, *, speaks: bool = True
    ) -> None:  # fmt: skip
        super().__init__(pool, generation, topic, reader, memory, owner, speaks=speaks)
        self._gathering: dict[int, Gathered | None] = {}
        self._most = LONGEST * memory.limit
        self._goal: dict[int, int] = {}
        self._is_interrupted = False
        self._under_way: list[UnderWay] = []
        self._most_under_way = 2
        self.keeps_from = LONG

    # -- far behind --------------------------------------------------------------------------------------------------------

    @property
    def is_stretching(self) -> bool:
        """Whether a stretch is under way, and not at its end yet."""
        return any([one.taking is not None and not one.taking.done() for one in self._under_way])

    @property
    def gathering(self) -> Collection[int]:
        """The partitions of which something is gathered."""
        return self._gathering.keys()

    def wanted_from(self, number: int) -> int:
        """The offset of the next record that is wanted of a partition."""
        for one in self._under_way:
            if one.number == number:
                return one.some.end
        some = self._gathering.get(number)
        return some.end if some is not None and some.records else self.ahead[number].next_offset

    def let_go(self) -> None:
        """As of every projector; nothing is gathered any more, and no stretch is under way."""
        under_way, self._under_way = self._under_way, []
        for one in under_way:
            one.cancel()
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
        await self.stretched()
        await super().landed()

    async def take_in(self, records: Records) -> None:
        """As of every projector, once no stretch is under way."""
        await self.stretched()
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
                if any(one.number == number for one in self._under_way):
                    await self.stretched()
                if number not in self._gathering:
                    await super().landed()
                    self._memory.drop_partitions([number])
                    if not self._under_way:  # else all that it is busy with would be looked through
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
                        await self.stretched()

    async def take_gathered(self, number: int, step: Step) -> None:
        """Take in what is gathered of a partition. Raises as `take_far` does; those that come are shorter then."""
        await self.landed()
        if number in self._gathering:  # else it was under way
            await self._set_out(number, step)
            await self.stretched()

    async def _set_out(self, number: int, step: Step) -> None:
        """Begin to take in what is gathered of a partition, once everybody of the stretch before it is folded, and nothing else is on its
        way.
        """
        if self._under_way:
            can_follow = await self._under_way[-1].folded()
            await self.stretched(self._most_under_way - 1 if can_follow else 0)
        await super().landed()
        some = self._gathering.get(number)
        if some is None:
            raise StretchLost(f"of partition {number}")
        self._gathering[number] = None
        self._memory.drop_partitions([number])
        some.complete(self._reader)
        if not self._under_way:
            keep_all()
        one = UnderWay(number, some, self._under_way[-1] if self._under_way else None)
        self._under_way.append(one)
        one.set_out(self._take_along(one, step))

    def _miss_none(self) -> None:
        """Raises `StretchLost` where what was gathered is neither there nor under way."""
        under_way = {one.number for one in self._under_way}
        for number, some in self._gathering.items():
            if some is None and number not in under_way:
                raise StretchLost(f"of partition {number}")

    async def stretched(self, most: int = 0) -> None:
        """No more than so many stretches are under way. Raises `StretchLost` where one did not land before."""
        while len(self._under_way) > most:
            one = self._under_way[0]
            assert one.taking is not None  # noqa: S101 - it has set out
            try:
                await one.taking
            finally:
                if one in self._under_way:
                    self._under_way.remove(one)
        self._miss_none()

    async def _take_along(self, one: UnderWay, step: Step) -> None:
        number, some = one.number, one.some
        try:
            await self.take_stretch(one, step)
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
        except BaseException:
            if one in self._under_way:  # nobody let go of it: it may have been too long, or in the way of another
                self._most, self._most_under_way = max(SHORTEST, self._goal[number] // 2), 1
            raise
        finally:
            some.close()
        self._gathering.pop(number, None)
        self._note_seconds()
        self.measures.stands(number, self.positions[number])

    # -- a stretch ---------------------------------------------------------------------------------------------------------

    async def take_stretch(self, one: UnderWay, step: Step) -> None:
        """The transaction of what was gathered of a partition; `step` is told how many records were folded.

        Nobody of that partition is in memory, and nothing of it on its way. If this raises, what was gathered is used up.
        """
        number, some = one.number, one.some
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
                await self._fill_in(connection, one, to, count)
        except BaseException:
            step(-told)
            is_let_go = one.taking is not None and one not in self._under_way  # all of it is read again already
            if number in self.positions and not is_let_go:
                self.ahead = self.ahead | {number: self.positions[number]}
            raise
        finally:
            self._has_strays = False
        step(some.records - told)
        self.measures.facts.inc(one.facts)
        self.spent.records += some.records
        self.positions |= to
        self.ahead = dict(self.positions)
        self._memory.put(one.long)
        one.long = []

    async def _fill_in(self, connection: Connection, one: UnderWay, to: dict[int, Position], step: Step) -> None:
        last, number, some = self._lived(), one.number, one.some
        batch = to[number].batch
        assert batch is not None  # noqa: S101 - it was made with one
        await self._move(connection, self.positions, to, batch)
        await connection.execute(f"set local lock_timeout = '{PATIENCE}s'")
        one.timeline = await self._timeline_for(connection, number)
        last.changes.parked += [parked_row(record) for record in some.parked]
        renamed = await tables_people.aliases(connection, self._schema, [named(key) for key in some.keys])
        try:
            strays = await self._fold_parts(connection, one, renamed, to[number].watermark, last, step)
            if one.before is not None:
                await one.before.landed(connection)
                one.before = None
            await self._fold_last(connection, one, to, strays, last)
            one.long = [held for held in one.long if held.person not in last.held and not held.is_quarantined]
        finally:
            one.later.close()
        self.spent.facts += last.facts
        one.facts += last.facts

    async def _timeline_for(self, connection: Connection, number: int) -> str:
        """The table that takes the facts of a partition until everybody of it is folded."""
        del connection, number
        return TIMELINE.name

    async def _fold_last(
        self, connection: Connection, one: UnderWay, to: dict[int, Position], strays: Sequence[Raw], last: Work
    ) -> None:  # fmt: skip
        """Records whose keys named others, what crosses partitions, and what is said."""
        if strays:  # their keys named others, who may be in the tables by now
            self._has_strays = True
            self.ahead |= to
            batch = Batch()
            batch.take(one.number, strays, self._reader.read)
            await self._fold_records(connection, last, batch)
        self._go_on()
        if last.remerged:
            await tables_people.write_corrections(connection, self._schema, last.changes)
            await self._merge_people(connection, last)
        self.measures.note_parked(last.changes.parked)
        await self._make_rows(last)
        for rows in one.later.all():
            await tables_writing.write_outbox(connection, rows)
        await self._finish(connection, last)

    async def _fold_parts(
        self, connection: Connection, one: UnderWay, renamed: Mapping[Person, str], until: datetime | None, last: Work, step: Step
    ) -> list[Raw]:  # fmt: skip
        """Some people after others, who are folded while the rows of those before them are written: nobody is in two parts, nor at hand
        twice. Back come the records that are about somebody else than their keys say.
        """
        strays, writing = list[Raw](), deque[asyncio.Task[None]]()
        try:
            async with self._pool.acquire() as reading:
                for part in in_parts(one.some.shared_out(renamed), PART):
                    work, size = self._lived(), sum([len(listed) for _, listed in part])
                    work.changes.timeline = one.timeline
                    for asked in in_parts(part, ASKED):
                        strays += await self._fold_asked(reading, one, asked, renamed, until, last, work.changes)
                    self.measures.note_parked(work.changes.parked)
                    while len(writing) >= WAITING:
                        await writing.popleft()
                    after = writing[-1] if writing else None
                    writing.append(asyncio.create_task(self._finish_after(after, connection, work)))
                    step(size)
            one.is_folded.set()
            if writing:
                await writing[-1]
        except BaseException:
            if writing:
                writing[-1].cancel()  # and with it those it waits for
                await asyncio.gather(*writing, return_exceptions=True)
            raise
        return strays

    async def _fold_asked(
        self, reading: Connection, one: UnderWay, asked: Part, renamed: Mapping[Person, str], until: datetime | None, last: Work,
        changes: Changes,
    ) -> list[Raw]:  # fmt: skip
        """Some people from their records to what is copied into the tables, a few at a time: all that this takes is let go at once."""
        strays, number = list[Raw](), one.number
        persons = dict.fromkeys([person for person, _ in asked], number)
        told = await self._ask(reading, persons, list(persons))
        for few in in_parts(asked, AT_HAND):
            work = self._lived()
            work.changes = changes
            strays += await self._read_part(work, number, few, renamed)
            await self._fold_theirs(reading, work, renamed, {number: until}, told)
            await self._make_rows(work)
            if self._speaks:
                self._keep_long(one, work)
            self._pass_on(work, last, one.later)
            self._pack(work)
            self.spent.facts += work.facts
            one.facts += work.facts
        return strays

    async def _finish_after(self, writing: asyncio.Task[None] | None, connection: Connection, work: Work) -> None:
        if writing is not None:
            await writing
        await self._finish(connection, work)

    def _pack(self, work: Work) -> None:
        started = time.perf_counter()
        tables_writing.pack(work.changes)
        self.spent.rows += time.perf_counter() - started

    def _keep_long(self, one: UnderWay, work: Work) -> None:
        """Keep long files of a part, up to half of what may be held: two stretches may be under way."""
        room = self._memory.limit // 2 - sum([len(held.file.known) for held in one.long])
        for held in work.held.values():
            size = len(held.file.known)
            if self.keeps_from <= size <= room:
                one.long.append(held)
                room -= size

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
        self, work: Work, number: int, part: Part, renamed: Mapping[Person, str]
    ) -> list[Raw]:  # fmt: skip
        started, breath = time.perf_counter(), Breath()
        strays = list[Raw]()
        for person, listed in part:
            if breath.is_due:
                await breath.taken()
            read = self._reader.each(listed)
            listed.clear()  # while the processor has them at hand
            strays += work.take(number, person, read, renamed, self._home)
        self.spent.decode += time.perf_counter() - started
        return strays

    def _pass_on(self, work: Work, last: Work, later: Later) -> None:
        """Once everybody is in, all merges and voids are judged together, what is erased is erased, and what was found is said: the
        number of an alert is a lock for its tenant.
        """
        last.changes.corrections += work.changes.corrections
        last.remerged |= work.remerged
        last.changes.tombstones += work.changes.tombstones
        if work.erased:
            work.spare_erased()
            last.unwritten |= work.unwritten
        last.erased |= work.erased
        last.held |= {person: work.held[person] for person in work.erased}
        for row in work.changes.outbox if last.erased else ():  # once what was to be said of the erased before is gone
            if row[1:3] in last.erased:
                last.changes.outbox.append(row)
        later.add([row for row in work.changes.outbox if row[1:3] not in last.erased])
        work.changes.corrections, work.changes.tombstones, work.erased = [], [], {}
        work.changes.outbox = []


def even(left: int, most: int) -> int:
    """How long stretches of about `most` records are, if what is left is to be so many that are alike: the shorter one is, the more
    of the people in it are read back for little.
    """
    return max(1, left // max(1, round(left / most))) if left > most else most
