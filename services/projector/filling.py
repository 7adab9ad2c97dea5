"""A partition into tables that nobody reads yet: everybody's rows once, at its end. DESIGN section 5."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from uuid import uuid4

import structlog

from services import tables_projector as tables
from services.log import Record
from services.projector.batch import Projecting, corrects
from services.projector.collector import keep_all, tidy
from services.projector.work import Work
from services.tables import NOT_KEPT, Connection

SEGMENT = 300_000
Batches = AsyncIterator[Sequence[Record]]
log = structlog.get_logger("parcours.projector")


class Filling(Projecting):
    """Folds a partition from where it stands, in one transaction for up to `SEGMENT` records: whoever is touched by many of
    them has their rows made and written once. A batch with corrections has a transaction of its own.
    """

    async def fill(self, number: int, batches_from: Callable[[int], Batches], step: Callable[[int], None]) -> None:
        """Take in what `batches_from` an offset gives of a partition; `step` is told how many records were folded."""
        while True:
            batches = batches_from(self.positions[number].next_offset)
            try:
                while await self._segment(number, batches, step):
                    continue
            except NOT_KEPT as wrong:
                log.warning("rows refused", error=type(wrong).__name__, partition=number)
                until = self.ahead[number].next_offset
                self.ahead = dict(self.positions)
                await self._carefully(number, batches_from(self.positions[number].next_offset), until)
            else:
                self._memory.drop_partitions([number])
                return

    async def _carefully(self, number: int, batches: Batches, until: int) -> None:
        async for batch in batches:
            await self._by_halves({number: batch})
            if self.positions[number].next_offset >= until:
                return

    async def _segment(self, number: int, batches: Batches, step: Callable[[int], None]) -> bool:
        """One transaction; False when the batches have ended."""
        work, expected, taken, goes_on = self._work(), dict(self.positions), 0, False
        alone: Sequence[Record] = ()
        async with self._pool.acquire() as connection, connection.transaction():
            async for batch in batches:
                tidy()
                read = await self._decoded({number: batch})
                if corrects(read):
                    alone, goes_on = batch, True
                    break
                await self._fold_records(connection, work, read)
                self.ahead[number] = self._moved(number, read[number])
                self._note_facts(read)
                await self._write_facts(connection, work)
                keep_all()
                taken += len(batch)
                step(len(batch))
                if taken >= SEGMENT or work.is_rare:
                    goes_on = True
                    break
            batch_id = uuid4()
            to = {number: replace(self.ahead[number], batch=batch_id)}
            if taken:
                await self._make_rows(work)
                await self._move(connection, expected, to, batch_id)
                await self._finish(connection, work)
        if taken:
            self._keep(work, to)
            self.ahead = dict(self.positions)
        if alone:
            await self._transact_records({number: alone}, await self._decoded({number: alone}))
            step(len(alone))
        return goes_on

    async def _write_facts(self, connection: Connection, work: Work) -> None:
        """The facts of one batch, while they are at hand."""
        work.changes.amend()
        await tables.write_facts(connection, self._schema, work.changes.facts)
        work.changes.facts = []
