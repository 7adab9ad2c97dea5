"""One transaction for a batch: what is read of it, what is folded, and its rows. DESIGN section 4."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import orjson
import structlog

from events.envelope import Recorded, partition_key
from projections.announcing import ToSay
from projections.saying import alert
from services import tables_people, tables_writing
from services import tables_projector as tables
from services.projector.changed_rows import erased_row
from services.projector.changes import Person
from services.projector.held import Held
from services.projector.loading import Breath, Told
from services.projector.records import Batch, Record, digest_of, refused_by_tables
from services.projector.sharing import Sharing
from services.projector.work import Work
from services.tables import REFUSED, Connection
from services.tables_projector import Position
from services.tracing import provider, span

AT_ONCE = 64
log = structlog.get_logger("parcours.projector")

Records = Mapping[int, Sequence[Record]]
Fold = Callable[[Connection, Work], Awaitable[None]]


class Writing(Sharing):
    """Reads records, folds them, and writes what comes of it in one transaction. `_has_keys`: the tables have their keys, as all but those
    that are being filled.
    """

    _has_keys = True

    # -- reading -----------------------------------------------------------------------------------------------------------

    async def _decoded(self, records: Records, refused: Exception | None = None) -> Batch:
        started = time.perf_counter()
        breath, batch = Breath(), Batch()
        reader = self._reader.read if refused is None else partial(refused_by_tables, wrong=refused)
        for number, some in records.items():
            for start in range(0, len(some), AT_ONCE):
                batch.take(number, some[start : start + AT_ONCE], reader)
                await breath.taken()
        self.spent.decode += time.perf_counter() - started
        return batch

    def _note_seconds(self) -> None:
        for step in ("fetch", "decode", "fold", "load", "rows", "write"):
            self.measures.seconds.labels(step).set(getattr(self.spent, step))

    def _note_batch(self, batch: Batch) -> None:
        self._note_seconds()
        self.measures.batch(batch, self.positions)
        self.spent.records += batch.records
        self.spent.facts += batch.facts

    # -- the transaction ---------------------------------------------------------------------------------------------------

    async def _transact_records(self, batch: Batch) -> None:
        to = {number: self._moved(number, batch) for number in batch.read}
        await self._transact(to, lambda connection, work: self._fold_records(connection, work, batch))
        self._note_batch(batch)

    async def _by_halves(self, records: Records) -> None:
        """One transaction after another, nothing on its way; what is refused is looked for by halves."""
        listed = [
            (number, record)
            for number, some in records.items() for record in some if record.offset >= self.positions[number].next_offset
        ]  # fmt: skip
        if not listed:
            return
        try:
            await self._transact_records(await self._decoded(records))
        except REFUSED as wrong:
            log.warning("rows refused", records=len(listed), error=type(wrong).__name__)
            if len(listed) == 1:
                await self._transact_records(await self._decoded(records, refused=wrong))
                return
            for half in (listed[: len(listed) // 2], listed[len(listed) // 2 :]):
                some_of: dict[int, list[Record]] = {}
                for number, record in half:
                    some_of.setdefault(number, []).append(record)
                await self._by_halves(some_of)

    def _work(self) -> Work:
        return Work(self._say if self._speaks else None, self._quarantine, not self._speaks)

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

    def _moved(self, number: int, batch: Batch) -> Position:
        before, latest = self.ahead[number].watermark, batch.latest.get(number)
        watermark = before if latest is None or (before is not None and before > latest) else latest
        last = batch.read[number][-1][0]
        return Position(last.offset + 1, watermark, digest_of(last))

    # -- folding -----------------------------------------------------------------------------------------------------------

    async def _fold_records(self, connection: Connection, work: Work, batch: Batch) -> None:
        started = time.perf_counter()
        work.theirs, work.ours = {}, {}
        subjects = list(batch.subjects)
        renamed = await tables_people.aliases(connection, self._schema, subjects) if subjects else {}
        breath = Breath()
        until: dict[int, datetime | None] = {}
        for number, some in batch.read.items():
            until[number] = work.share_out(number, some, self.ahead[number].watermark, renamed, self._home)
            await breath.taken()
        self.spent.fold += time.perf_counter() - started
        await self._fold_theirs(connection, work, renamed, until)

    async def _fold_theirs(
        self, connection: Connection, work: Work, renamed: Mapping[Person, str], until: Mapping[int, datetime | None],
        told: Told | None = None,
    ) -> None:  # fmt: skip
        """Everybody's facts, read and shared out, into their files; then time up to where their partitions stand."""
        await self._load(connection, work, work.ours, told)
        if merged := sorted({(tenant, person) for (tenant, _), person in renamed.items()} & work.ours.keys()):
            await self._recall_erased(connection, work, merged)
        started, breath = time.perf_counter(), Breath()
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
        work.changes.announced.add(row, is_new=said.n == 1)

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
        if work.erased:
            work.spare_erased()
            if self._speaks:
                await tables_people.erase_unsaid(connection, work.erased)
        await tables_writing.write(connection, self._schema, work.changes, doubting=doubting, keyed=self._has_keys)
        if work.erased:
            await tables_people.one_at_a_time(connection)
        for person in work.erased:
            facts = work.gone(person)
            rows = [erased_row(fact, is_conflict=fact.identity in work.held[person].file.conflicts) for fact in facts]
            await tables_people.leave(connection, self._schema, person, work.written(person))
            await tables_people.keep_erased(connection, self._schema, rows)
            until = work.held[person].file.erased_until
            await tables_people.erase_elsewhere(connection, self._schema, person, facts, rows, until)
        self.spent.write += time.perf_counter() - started
