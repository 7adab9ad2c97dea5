"""A partition into tables that nobody reads yet: one person after another, each from their first fact to their last. DESIGN section 5."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing

import structlog

from services.collector import keep_all, tidy
from services.projector.gathered import Gathered
from services.projector.records import Record
from services.projector.spilled import Raw
from services.projector.stretch import Step, Stretching, UnderWay
from services.projector.work import Work
from services.tables import NOT_KEPT, Connection
from services.tables_generations import attach_timeline, has_keys, new_timeline, partitions_with_people
from services.tables_projector import Position
from services.tables_shapes import TIMELINE

SEGMENT = 300_000
SEGMENT_BYTES = 256_000_000
Batches = AsyncGenerator[Sequence[Record]]
log = structlog.get_logger("parcours.projector")


class Filling(Stretching):
    """Folds a partition from where it stands to its end as one stretch, gathered on disk where it is more than `SEGMENT`: one
    person's facts, their file and their rows are in use at a time, and then no more.
    """

    _has_keys = False

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn where partitions stand, and of which there are people in the tables already."""
        await super().take(partitions)
        async with self._pool.acquire() as connection:
            self._peopled = await partitions_with_people(connection, self._generation)
            self._has_keys = await has_keys(connection, self._generation)

    async def fill(self, number: int, batches_from: Callable[[int], Batches], step: Step) -> None:
        """Take in what `batches_from` an offset gives of a partition; `step` is told how many records were folded.

        Without keys no row is changed and nobody read back: a partition of which Postgres refuses a row waits for them.
        """
        while self.positions[number].next_offset == 0 or self._has_keys:
            some = await self._gathered(batches_from(self.positions[number].next_offset))
            if some is None:
                return
            try:
                await self.take_stretch(UnderWay(number, some), step)
                self._peopled.add(number)
            except NOT_KEPT as wrong:
                log.warning("rows refused", error=type(wrong).__name__, partition=number)
                if not self._has_keys:
                    return
                await self._carefully(number, batches_from(self.positions[number].next_offset), some.end, step)
            finally:
                some.close()

    async def _carefully(self, number: int, batches: Batches, until: int, step: Step) -> None:
        try:
            async with aclosing(batches):
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
            async with aclosing(batches):
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

    async def _timeline_for(self, connection: Connection, number: int) -> str:
        """A table of its own, which is a part of the timeline from `_fold_last` on: whoever makes it one waits for who does."""
        return TIMELINE.name if self._has_keys else await new_timeline(connection, self._generation, number)

    async def _fold_last(
        self, connection: Connection, one: UnderWay, to: dict[int, Position], strays: Sequence[Raw], last: Work
    ) -> None:  # fmt: skip
        if one.timeline != TIMELINE.name:
            await attach_timeline(connection, self._generation, one.number)
        await super()._fold_last(connection, one, to, strays, last)

    def _is_fresh(self, numbers: Iterable[int]) -> bool:
        return not self._has_strays and super()._is_fresh(numbers) and self._peopled.isdisjoint(numbers)
