"""Which partitions are ours, where they stand, and what is done when something goes wrong on the way. DESIGN sections 4 and 8."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from faststream.kafka.subscriber.usecase import BatchSubscriber

from services import tables_projector as tables
from services.log import hashes_before
from services.projector.batch import RowsRefused
from services.projector.loading import BreakerOpened
from services.projector.records import digest_of
from services.projector.stretch import Stretching, StretchLost
from services.projector.turns import Turns
from services.tables import TRANSIENT, Connection, Pool, active_generation
from services.tables_projector import FenceLost

SESSION: Final = 10.0
REBALANCE: Final = 60.0
PATIENCE: Final = 60.0
FENCES_A_MINUTE: Final = 3
FROZEN, FROZEN_IN_A_COPY = timedelta(seconds=2), timedelta(seconds=10)
log = structlog.get_logger("parcours.projector")


class CheckpointRefused(RuntimeError):
    """The checkpoint does not fit the log: reading on would skip or repeat facts."""


class HandedOver(RuntimeError):
    """Another generation of the tables is active: what this projector writes is not what is read."""


class Stuck(RuntimeError):
    """The process lives but does not move."""


@dataclass
class Owner(ConsumerRebalanceListener):
    """Owns the partitions Kafka assigns it; anything it cannot make sense of stops it."""

    servers: str
    pool: Pool
    work: Stretching
    generation: int
    subscriber: BatchSubscriber = field(init=False)
    closing: bool = False
    moved_at: dict[int, float] = field(default_factory=dict)
    fences: deque[float] = field(default_factory=deque)
    told: tuple[float, int] = (0.0, 0)
    stopped: set[int] = field(default_factory=set)
    idle_since: float = 0.0
    turns: Turns = field(init=False)
    behind: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    gaps: dict[int, tuple[int, int]] = field(default_factory=dict)
    clock_rule: bool = True
    tends: bool = False
    health_url: str | None = None

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()
        self.turns = Turns(self.work.memory.limit // 2)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def consumer(self) -> AIOKafkaConsumer:
        if (consumer := self.subscriber.consumer) is None:
            raise Stuck("the consumer exists only between start and stop")
        return consumer

    # -- partitions come and go --------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait for the batch in flight: aiokafka hands out nothing more before it calls this, and heartbeats meanwhile."""
        del revoked
        self.work.interrupt()
        try:
            async with asyncio.timeout(REBALANCE / 2), self._turn:
                try:
                    await self.work.landed()
                except (
                    FenceLost,
                    RowsRefused,
                    StretchLost,
                    *TRANSIENT,
                ) as error:  # whoever is next reads on from what the tables say
                    log.warning("not written before leaving", error=type(error).__name__)
                self.work.let_go()
        except Exception as error:  # noqa: BLE001 - aiokafka would log it and go on
            self.fail(error)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing is delivered before the checkpoints are read: pause and seek come before the first await."""
        consumer = self.consumer
        self.turns.forget()
        self.behind.clear()
        for one in assigned:
            consumer.pause(one)
            consumer.seek(one, 0)
        try:
            async with asyncio.timeout(SESSION / 2):  # no heartbeat is sent before this returns
                await self._stand(consumer, sorted(assigned))
        except Exception as error:  # noqa: BLE001 - aiokafka would log it and go on
            self.fail(error)

    async def _stand(self, consumer: AIOKafkaConsumer, assigned: Sequence[TopicPartition]) -> None:
        numbers = [one.partition for one in assigned]
        async with self._turn:
            before = {number: position.next_offset for number, position in self.work.positions.items()}
            await self.work.take(numbers)
            positions = self.work.positions
            held = {one.partition for one in self.work.memory}
            changed = {n for n in held if n not in positions or positions[n].next_offset != before.get(n)}
            self.work.memory.drop_partitions(changed)
        first = await consumer.beginning_offsets(assigned)
        end = await consumer.end_offsets(assigned)
        for one in assigned:
            if one.partition not in positions:
                raise CheckpointRefused(f"{one.topic} has partition {one.partition}, which the tables do not know")
            at = positions[one.partition].next_offset
            if not first[one] <= at <= end[one]:
                raise CheckpointRefused(
                    f"{one.topic}/{one.partition}: the tables stand at offset {at}, the log holds {first[one]} to {end[one]}. "
                    "Is this the log the tables were made from? `parcours rebuild` makes them anew."
                )
        known = {n: position.last_record_hash for n, position in positions.items() if position.last_record_hash}
        found = await hashes_before(
            self.servers, self.work.topic, {n: positions[n].next_offset for n in known}, digest_of
        )
        if odd := sorted(n for n, digest in found.items() if digest != known[n]):
            raise CheckpointRefused(f"the last records of partitions {odd} are not those the tables were made from")
        self.turns.forget()
        for one in assigned:
            self.moved_at[one.partition] = asyncio.get_running_loop().time()
            self.behind[one.partition] = end[one] - positions[one.partition].next_offset
            self.ends[one.partition] = end[one]
            consumer.seek(one, positions[one.partition].next_offset)
            if one.partition not in self.stopped:
                consumer.resume(one)
        self._take_turns(consumer)
        log.info("assigned", partitions=len(assigned))

    # -- patience ----------------------------------------------------------------------------------------------------------

    async def _with_patience(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Retry what passes, for a minute since it first failed; a lost fence is looked at again from the tables. False: read again
        from there.
        """
        pause, deadline = 0.1, None
        while True:
            try:
                await step()
            except FenceLost as lost:
                self.work.measures.fences.inc()
                self._note_fence(lost)
                log.warning("fence lost", error=str(lost))
                await self._with_patience(self._stand_again)
                return False
            except (RowsRefused, StretchLost):
                await self._with_patience(self._stand_again)
                return False
            except BreakerOpened as opened:
                await self._break(opened)
                return False
            except TRANSIENT as wrong:
                now = asyncio.get_running_loop().time()
                deadline = deadline or now + PATIENCE
                if now > deadline:
                    raise
                log.warning("database", error=type(wrong).__name__, retry_in=pause)
                await self._unblock()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return True

    async def _break(self, opened: BreakerOpened) -> None:
        """Stop one partition, and say so; the others are read again from where their tables stand."""
        log.critical("partition stopped", partition=opened.partition, error=opened.error)
        await self._with_patience(self.work.landed)
        async with self.pool.acquire() as connection:
            await tables.stop_partition(connection, opened.partition, str(opened))
        self._pause(opened.partition)
        for number, position in self.work.positions.items():
            self.consumer.seek(TopicPartition(self.work.topic, number), position.next_offset)

    def _pause(self, number: int) -> None:
        self.stopped.add(number)
        self.work.forget(number)
        self.work.memory.drop_partitions([number])
        self.consumer.pause(TopicPartition(self.work.topic, number))

    def _take_turns(self, consumer: AIOKafkaConsumer) -> None:
        """Far behind, read one partition after another."""
        own = self.work.positions.keys() - self.stopped
        if not own:
            return
        left = {number: self.ends.get(number, 0) - self.work.wanted_from(number) for number in own}
        waits, goes_on = self.turns.change(left)
        consumer.pause(*(TopicPartition(self.work.topic, number) for number in waits))
        consumer.resume(*(TopicPartition(self.work.topic, number) for number in goes_on))

    async def _unblock(self) -> None:
        """End the transaction of a frozen predecessor, which would hold its rows for ever."""
        try:
            async with self.pool.acquire() as connection:
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'parcours-projector'"
                    " and pid <> pg_backend_pid() and (state like 'idle in transaction%' and state_change < now() - $1::interval"
                    " or state = 'active' and wait_event = 'ClientRead' and state_change < now() - $2::interval)",  # in a COPY
                    FROZEN,
                    FROZEN_IN_A_COPY,
                )
        except TRANSIENT:
            return  # the retry itself will say

    def _note_fence(self, lost: FenceLost) -> None:
        now = asyncio.get_running_loop().time()
        self.fences.append(now)
        while self.fences and self.fences[0] < now - 60:
            self.fences.popleft()
        if len(self.fences) >= FENCES_A_MINUTE:
            raise lost

    async def _stand_again(self) -> None:
        """Nothing is on its way any more: read on from where the tables stand."""
        async with self.pool.acquire() as connection:
            await self._still_ours(connection)
        numbers = list(self.work.positions)
        self.work.memory.drop_partitions(numbers)
        await self.work.take(numbers)
        for number, position in self.work.positions.items():
            self.consumer.seek(TopicPartition(self.work.topic, number), position.next_offset)

    async def _still_ours(self, connection: Connection) -> None:
        active = await active_generation(connection)
        if active is None or active.id != self.generation:
            raise HandedOver("another generation of the tables is active now: starting on that one")

    def fail(self, error: Exception) -> None:
        """Fail closed: nothing more is read, and the process ends with the reason."""
        if not self._failed.done():
            if isinstance(error, HandedOver):
                log.info("projector stops", why=str(error))
            else:
                log.critical("projector stops", error=str(error) or type(error).__name__, exc_info=error)
            self._failed.set_exception(error)
        if self.subscriber.consumer is not None:
            self.consumer.pause(*self.consumer.assignment())

    async def failure(self) -> None:
        """Wait for a failure and raise it."""
        await asyncio.shield(self._failed)
