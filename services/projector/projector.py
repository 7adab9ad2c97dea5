"""A projector: the records of its partitions become rows, and it tells how it is. DESIGN sections 4 and 8."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn

import structlog
import uvicorn
from aiokafka import TopicPartition

from services import tables_projector as tables
from services.collector import keep_all, tidy
from services.health import tables_health
from services.log import MOST_MARKERS, Record
from services.projector.owning import PATIENCE, Owner, Stuck
from services.projector.retrying import retry
from services.projector.stretch import StretchLost
from services.tables import TRANSIENT

BEHIND: Final = 30.0
HOST: Final = "127.0.0.1"
TIDY_EVERY: Final = 60.0
FULL: Final = 1_000
MOST_FETCH: Final = 1.0
IDLE: Final = 2.0
LONGEST: Final = 200.0  # below the consumer's max_poll_interval_ms
log = structlog.get_logger("parcours.projector")


class Projector(Owner):
    """Folds the records of the partitions it owns."""

    # -- batches -----------------------------------------------------------------------------------------------------------

    async def project(self, records: list[Record]) -> None:
        """The handler. It never raises: FastStream would log it and go on behind the batch."""
        async with self._turn:
            if self.closing or self._failed.done():
                return
            try:
                await self._project(records)
            except Exception as error:  # noqa: BLE001 - see above
                self.fail(error)

    async def _project(self, records: Sequence[Record]) -> None:
        batch = self._wanted(records)
        if not batch:
            return
        if self.idle_since:
            self.work.spent.fetch += min(asyncio.get_running_loop().time() - self.idle_since, MOST_FETCH)
        more = len(records) >= FULL
        far = {number: batch[number] for number in batch if self._is_far(number)}
        near = {number: some for number, some in batch.items() if number not in far}
        if near and not await self._with_patience(self._stretched):
            return
        async with asyncio.timeout(PATIENCE * 2):
            if near and not await self._with_patience(lambda: self.work.take_in(near)):
                return  # all is read again from where the tables stand, also what is far
            if (near or not self.work.is_stretching) and not await self._with_patience(
                lambda: self.work.go_on(more=more)
            ):
                return
        if far and not await self._with_patience(partial(self._take_far, far)):
            return
        now = asyncio.get_running_loop().time()
        # a full batch means that more is waiting: the time until the next one is spent fetching it
        self.idle_since = now if more else 0.0
        self.moved_at |= dict.fromkeys(batch, now)
        self.behind |= {number: max(0, self.behind.get(number, 0) - len(some)) for number, some in near.items()}
        if self.turns.waiting:
            self._take_turns(self.consumer)

    def _wanted(self, records: Sequence[Record]) -> dict[int, list[Record]]:
        """What of some records comes next in its partition, without a gap.

        What was fetched before we went back to where the tables stand may be handed out after it. Behind a gap nothing is taken: it
        is asked for again, and if the log then begins at the same record, the gap is the log's own.
        """
        wanted = {number: self.work.wanted_from(number) for number in self.work.ahead if number not in self.stopped}
        batch: dict[int, list[Record]] = {}
        for record in records:
            if record.partition in wanted and record.offset >= wanted[record.partition]:
                batch.setdefault(record.partition, []).append(record)
        for number in list(batch):
            gap = (wanted[number], batch[number][0].offset)
            if gap[0] < gap[1] and self.gaps.get(number) != gap:
                log.warning("behind a gap", partition=number, wanted=gap[0], found=gap[1])
                self.gaps[number] = gap
                self.consumer.seek(TopicPartition(self.work.topic, number), gap[0])
                del batch[number]
        return batch

    async def _take_far(self, records: Mapping[int, Sequence[Record]]) -> None:
        async with asyncio.timeout(LONGEST):
            await self.work.take_far(records, self.ends, self._moves, goes_on=bool(self.turns.waiting))

    async def _stretched(self) -> None:
        async with asyncio.timeout(LONGEST):
            await self.work.stretched()

    async def _take_gathered(self, number: int) -> None:
        async with asyncio.timeout(LONGEST):
            await self.work.take_gathered(number, self._moves)

    def _is_far(self, number: int) -> bool:
        """Whether what comes of a partition is gathered: its turn has come, or has not ended."""
        return number in self.turns.reading or number in self.work.gathering

    def _moves(self, _: int) -> None:
        """A stretch takes its time, and is not stuck meanwhile."""
        self.moved_at |= dict.fromkeys(self.work.positions, asyncio.get_running_loop().time())

    async def _take_what_is_gathered(self) -> None:
        """Of a partition of which nothing more comes, although the log seemed to hold more."""
        now = asyncio.get_running_loop().time()
        for number in [number for number in self.work.gathering if now - self.moved_at.get(number, now) > IDLE]:
            if not await self._with_patience(partial(self._take_gathered, number)):
                return

    # -- living ------------------------------------------------------------------------------------------------------------

    async def look_at_wishes(self) -> None:
        """What people want: partitions released, parked records tried again."""
        async with self.pool.acquire() as connection:
            await self._still_ours(connection)
            stopped = await tables.stopped_partitions(connection)
            wished = self.tends and await tables.take_retry_wish(connection)
        for number in self.stopped - stopped:
            self.stopped.discard(number)
            if number in self.work.positions:
                log.warning("partition released", partition=number)
                self.moved_at[number] = asyncio.get_running_loop().time()
                one = TopicPartition(self.work.topic, number)
                self.consumer.seek(one, self.work.positions[number].next_offset)  # what was read meanwhile was left out
                self.consumer.resume(one)
        for number in (stopped - self.stopped) & self.work.positions.keys():
            self._pause(number)
        if wished:
            await self.retry_parked()

    async def retry_parked(self) -> None:
        """Every parked record and every patient set aside, once more."""
        async with self.pool.acquire() as connection:
            done = await retry(connection, clock_rule=self.clock_rule)
        if done["taken"] or done["patients"]:
            log.info("tried again", **done)

    async def watch(self, stuck_after: float = 60.0) -> NoReturn:
        """Raise when the consume loop is dead although the process lives."""
        while True:
            await asyncio.sleep(1.0)
            # FastStream restarts a crashed loop at once and for ever, and keeps each dead task in this list
            if not self.subscriber.tasks or any(task.done() for task in self.subscriber.tasks):
                raise Stuck("the consume loop has crashed")
            own = [TopicPartition(self.work.topic, number) for number in self.work.positions]
            if not own:
                continue
            async with asyncio.timeout(stuck_after):
                end = await self.consumer.end_offsets(own)
            now = asyncio.get_running_loop().time()
            for one in own:
                position, last = self.work.positions.get(one.partition), end.get(one, 0)
                if position is None:
                    self.moved_at[one.partition] = now
                    continue
                self.ends[one.partition] = last
                self.behind[one.partition] = max(0, last - position.next_offset)
                waits = one.partition in self.stopped or one.partition in self.turns.waiting
                is_at_end = not waits and (last <= position.next_offset or await self._is_at_its_end(one, last))
                if is_at_end and self.work.wanted_from(one.partition) == position.next_offset:
                    self.behind[one.partition] = 0
                self.work.measures.lag.labels(str(one.partition)).set(self.behind[one.partition])
                if waits or is_at_end:
                    self.moved_at[one.partition] = now
                elif now - self.moved_at.get(one.partition, now) > stuck_after:
                    raise Stuck(f"partition {one.partition} is behind and has not moved for {stuck_after:.0f} s")
            if not self._failed.done():
                self._take_turns(self.consumer)

    async def _is_at_its_end(self, one: TopicPartition, end: int) -> bool:
        """Whether nothing more comes although the log seems to hold more: what an emitter's transaction ends with is no record."""
        if (
            self._turn.locked()
            or one.partition in self.work.gathering
            or self.behind.get(one.partition, 0) > MOST_MARKERS
        ):
            return False
        return bool(await self.consumer.position(one) >= end)

    async def look_after(self) -> NoReturn:
        """Between batches: what other partitions left for ours."""
        tidied = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(0.5)
            if asyncio.get_running_loop().time() - tidied > TIDY_EVERY:
                tidy()
                keep_all()
                tidied = asyncio.get_running_loop().time()
            async with self._turn:
                if self.work.positions and not self.closing and not self._failed.done():
                    try:
                        await self._take_what_is_gathered()
                        if not self.work.is_stretching:  # else this would wait for it, and the next one for this
                            await self._with_patience(self.work.settle)
                        with suppress(*TRANSIENT):
                            await self.look_at_wishes()
                    except Exception as error:  # noqa: BLE001 - as in project
                        self.fail(error)

    async def note_port(self, server: uvicorn.Server) -> None:
        """Where /metrics, /healthz and /readyz of this process are: told in its heartbeat."""
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.05)
        self.health_url = f"http://{HOST}:{server.servers[0].sockets[0].getsockname()[1]}"

    async def drained(self) -> None:
        """The batch in flight, if any, is finished; a stretch is read again by whoever is next."""
        async with self._turn:
            with suppress(StretchLost):
                await self.work.landed()

    async def unwell(self) -> list[str]:
        """What is wrong with this projector, in sentences; an idle log is no illness."""
        wrong = await tables_health(self.pool, clock=False)
        if self._failed.done():
            wrong.append("it has failed and is about to end")
        if not self.subscriber.tasks or any(task.done() for task in self.subscriber.tasks):
            wrong.append("the consume loop is dead")
        now = asyncio.get_running_loop().time()
        if self.stopped:
            stopped = sorted(self.stopped)
            wrong.append(f"partitions {stopped} are stopped: see the log, then parcours parked resume PARTITION")
        if self.work.positions and (
            late := [n for n, at in self.moved_at.items() if now - at > BEHIND and n in self.work.positions]
        ):
            wrong.append(f"partitions {sorted(late)} are behind and have not moved for {BEHIND:.0f} s")
        return wrong

    def detail(self) -> dict[str, Any]:
        """What a heartbeat tells of this projector."""
        spent, now = self.work.spent, asyncio.get_running_loop().time()
        rate = (spent.facts - self.told[1]) / max(now - self.told[0], 0.001)
        self.told = (now, spent.facts)
        return {
            "facts_per_s": round(rate, 1),
            "lag": sum(self.behind.get(number, 0) for number in self.work.positions),
            "health": self.health_url,
            "partitions": len(self.work.positions), "facts": spent.facts, "records": spent.records, "decode": spent.decode,
            "fetch": spent.fetch, "stopped": sorted(self.stopped), "fold": spent.fold, "load": spent.load, "write": spent.write,
            "rows": spent.rows, "held_facts": self.work.memory.facts,
        }  # fmt: skip
