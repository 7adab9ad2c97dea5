"""The projector's process: partitions come and go, batches become transactions. DESIGN sections 4 and 8."""

import asyncio
import logging
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NoReturn

import structlog
import uvicorn
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, Topic
from faststream.kafka.subscriber.usecase import BatchSubscriber

from services import tables_projector as tables
from services.health import health_app, quiet_server, tables_health
from services.log import FETCHING, Record, hashes_before
from services.projector.batch import RowsRefused
from services.projector.collector import calm_collector, keep_all, tidy
from services.projector.held import Memory
from services.projector.loading import BreakerOpened
from services.projector.records import Reader, digest_of
from services.projector.retrying import retry
from services.projector.stretch import Stretching, StretchLost
from services.projector.turns import Turns
from services.settings import EVENTS, GROUP, Settings
from services.tables import (
    TRANSIENT,
    Connection,
    NoGeneration,
    Pool,
    active_generation,
    connected,
    fold_version,
    open_pool,
)
from services.tables_projector import FenceLost
from services.telemetry import beat_for_ever

SESSION: Final = 10.0
REBALANCE: Final = 60.0
GRACE: Final = 20.0
PATIENCE: Final = 60.0
FENCES_A_MINUTE: Final = 3
BEHIND: Final = 30.0
HOST: Final = "127.0.0.1"
SLOTS: Final = 64
TIDY_EVERY: Final = 60.0
FULL: Final = 1_000
MOST_FETCH: Final = 1.0
IDLE: Final = 2.0
LONGEST: Final = 240.0  # below the consumer's max_poll_interval_ms
log = structlog.get_logger("parcours.projector")


class CheckpointRefused(RuntimeError):
    """The checkpoint does not fit the log: reading on would skip or repeat facts."""


class HandedOver(RuntimeError):
    """Another generation of the tables is active: what this projector writes is not what is read."""


class Stuck(RuntimeError):
    """The process lives but does not move."""


class Stopped(Exception):
    """We were asked to stop."""


class _NoConsumer:
    """What a message would acknowledge with. We never do: positions are kept with the rows."""

    async def commit(self) -> None:
        raise AssertionError("positions are kept in the tables")

    def seek(self, partition: int | None, offset: int | None) -> None:
        raise AssertionError(f"seeking is the projector's: {partition} {offset}")


_NO_CONSUMER: Final[Any] = _NoConsumer()


async def raw_parser(records: tuple[Record, ...]) -> KafkaMessage:
    """The batch as it came: FastStream's own parser decodes headers, and one that is not UTF-8 loses the whole batch."""
    return KafkaMessage(raw_message=records, body=b"", consumer=_NO_CONSUMER, correlation_id="-", message_id="-")


async def raw_decoder(message: KafkaMessage) -> list[Record]:
    """The raw records, for a handler that decodes each alone."""
    records = message.raw_message
    return list(records) if isinstance(records, tuple) else [records]


@dataclass
class Projector(ConsumerRebalanceListener):
    """Owns the partitions Kafka assigns it, and folds their records; anything it cannot make sense of stops it."""

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
        found = await hashes_before(self.servers, EVENTS, {n: positions[n].next_offset for n in known}, digest_of)
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
        wanted = {number: self.work.wanted_from(number) for number in self.work.ahead if number not in self.stopped}
        batch: dict[int, list[Record]] = {}
        for record in records:
            if record.partition in wanted and record.offset >= wanted[record.partition]:
                batch.setdefault(record.partition, []).append(record)
        if not batch:
            return
        if self.idle_since:
            self.work.spent.fetch += min(asyncio.get_running_loop().time() - self.idle_since, MOST_FETCH)
        more = len(records) >= FULL
        far = {number: batch[number] for number in batch if self._is_far(number)}
        near = {number: some for number, some in batch.items() if number not in far}
        async with asyncio.timeout(PATIENCE * 2):
            if not near or await self._with_patience(lambda: self.work.take_in(near)):
                await self._with_patience(lambda: self.work.go_on(more=more))
        if far:
            async with asyncio.timeout(LONGEST):
                await self._with_patience(lambda: self.work.take_far(far, self.ends, self._moves))
        now = asyncio.get_running_loop().time()
        # a full batch means that more is waiting: the time until the next one is spent fetching it
        self.idle_since = now if more else 0.0
        self.moved_at |= dict.fromkeys(batch, now)
        self.behind |= {number: max(0, self.behind.get(number, 0) - len(some)) for number, some in near.items()}
        if self.turns.waiting:
            self._take_turns(self.consumer)

    def _is_far(self, number: int) -> bool:
        """Whether what comes of a partition is gathered: its turn has come, or has not ended."""
        return number in self.turns.reading or number in self.work.gathering

    def _moves(self, _: int) -> None:
        """A stretch takes its time, and is not stuck meanwhile."""
        self.moved_at |= dict.fromkeys(self.work.positions, asyncio.get_running_loop().time())

    async def _take_what_is_gathered(self) -> None:
        """Of a partition of which nothing more comes, although the log seemed to hold more."""
        now = asyncio.get_running_loop().time()
        for number in list(self.work.gathering):
            if now - self.moved_at.get(number, now) > IDLE:
                await self._with_patience(partial(self.work.take_gathered, number, self._moves))

    async def _with_patience(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Retry what passes; a lost fence is looked at again from the tables. False: read again from there."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        pause = 0.1
        while True:
            try:
                await step()
            except FenceLost as lost:
                self.work.measures.fences.inc()
                self._note_fence(lost)
                log.warning("fence lost", error=str(lost))
                await self._stand_again()
                return False
            except (RowsRefused, StretchLost):
                await self._with_patience(self._stand_again)
                return False
            except BreakerOpened as opened:
                await self._break(opened)
                return False
            except TRANSIENT as wrong:
                if asyncio.get_running_loop().time() > deadline:
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
            self.consumer.seek(TopicPartition(EVENTS, number), position.next_offset)

    def _pause(self, number: int) -> None:
        self.stopped.add(number)
        self.work.forget(number)
        self.work.memory.drop_partitions([number])
        self.consumer.pause(TopicPartition(EVENTS, number))

    def _take_turns(self, consumer: AIOKafkaConsumer) -> None:
        """Far behind, read one partition after another."""
        own = self.work.positions.keys() - self.stopped
        left = {number: self.ends.get(number, 0) - self.work.wanted_from(number) for number in own}
        waits, goes_on = self.turns.change(left)
        consumer.pause(*(TopicPartition(EVENTS, number) for number in waits))
        consumer.resume(*(TopicPartition(EVENTS, number) for number in goes_on))

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
                one = TopicPartition(EVENTS, number)
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

    async def _unblock(self) -> None:
        """End the transaction of a frozen predecessor, which would hold its rows for ever."""
        try:
            async with self.pool.acquire() as connection:
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'parcours-projector'"
                    " and pid <> pg_backend_pid() and (state like 'idle in transaction%' and state_change < now() - interval '2 s'"
                    " or state = 'active' and wait_event = 'ClientRead' and state_change < now() - interval '10 s')"  # in a COPY
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
            self.consumer.seek(TopicPartition(EVENTS, number), position.next_offset)

    async def _still_ours(self, connection: Connection) -> None:
        active = await active_generation(connection)
        if active is None or active.id != self.generation:
            raise HandedOver("another generation of the tables is active now: starting on that one")

    # -- living ------------------------------------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """Fail closed: nothing more is read, and the process ends with the reason."""
        if not self._failed.done():
            log.critical("projector stops", error=str(error) or type(error).__name__, exc_info=error)
            self._failed.set_exception(error)
        if self.subscriber.consumer is not None:
            self.consumer.pause(*self.consumer.assignment())

    async def failure(self) -> None:
        """Wait for a failure and raise it."""
        await asyncio.shield(self._failed)

    async def watch(self, stuck_after: float = 60.0) -> NoReturn:
        """Raise when the consume loop is dead although the process lives."""
        while True:
            await asyncio.sleep(1.0)
            # FastStream restarts a crashed loop at once and for ever, and keeps each dead task in this list
            if not self.subscriber.tasks or any(task.done() for task in self.subscriber.tasks):
                raise Stuck("the consume loop has crashed")
            own = [TopicPartition(EVENTS, number) for number in self.work.positions]
            if not own:
                continue
            async with asyncio.timeout(stuck_after):
                end = await self.consumer.end_offsets(own)
            now = asyncio.get_running_loop().time()
            for one in own:
                position = self.work.positions.get(one.partition)
                if position is not None:
                    self.ends[one.partition] = end.get(one, 0)
                    self.behind[one.partition] = max(0, end.get(one, 0) - position.next_offset)
                    self.work.measures.lag.labels(str(one.partition)).set(self.behind[one.partition])
                if one.partition in self.stopped or one.partition in self.turns.waiting:
                    self.moved_at[one.partition] = now
                    continue
                if position is None or end.get(one, 0) <= position.next_offset:
                    self.moved_at[one.partition] = now
                elif now - self.moved_at.get(one.partition, now) > stuck_after:
                    raise Stuck(f"partition {one.partition} is behind and has not moved for {stuck_after:.0f} s")
            if not self._failed.done():
                self._take_turns(self.consumer)

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
        """The batch in flight, if any, is finished."""
        async with self._turn:
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


def subscribe(broker: KafkaBroker, projector: Projector, one: Settings, slot: int) -> None:
    """Wire the projector to its topic, as DESIGN section 8 wants it."""
    projector.subscriber = broker.subscriber(
        Topic(EVENTS, declare=False),
        batch=True,
        max_records=one.max_records,
        batch_timeout_ms=10,
        group_id=GROUP,
        group_instance_id=f"projector-{slot}",
        listener=projector,
        ack_policy=AckPolicy.MANUAL,
        parser=raw_parser,
        decoder=raw_decoder,
        no_reply=True,
        auto_offset_reset="none",
        partition_assignment_strategy=(StickyPartitionAssignor,),
        session_timeout_ms=int(SESSION * 1000),
        heartbeat_interval_ms=1_000,
        rebalance_timeout_ms=int(REBALANCE * 1000),
        max_poll_interval_ms=300_000,
        fetch_max_wait_ms=FETCHING["fetch_max_wait_ms"],
        fetch_max_bytes=FETCHING["fetch_max_bytes"],
        max_partition_fetch_bytes=FETCHING["max_partition_fetch_bytes"],
        include_in_schema=False,
    )
    projector.subscriber(projector.project)


async def run(one: Settings, kafka: str, postgres: str, *, clock_rule: bool) -> None:
    """Project until SIGTERM or SIGINT; raises what made it fail."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pool = await open_pool(postgres, "projector", is_plain=True)
    try:
        async with connected(postgres, "projector-slot") as slots:
            slot = await _slot(slots)
            await _run(one, kafka, pool, slot, stop, clock_rule=clock_rule)
    finally:
        await pool.close()


async def _slot(connection: Any) -> int:
    """A number no other projector has, held by a lock: two holders of one group instance id would kick each other."""
    for number in range(1, SLOTS + 1):
        if await connection.fetchval("select pg_try_advisory_lock(7203, $1)", number):
            return number
    raise Stuck(f"there are {SLOTS} projectors already")


async def _run(one: Settings, kafka: str, pool: Pool, slot: int, stop: asyncio.Event, *, clock_rule: bool) -> None:
    async with pool.acquire() as connection:
        generation = await active_generation(connection)
        if generation is None:
            raise NoGeneration("there are no read tables yet: start with `parcours up`")
        if generation.fold_version != fold_version(generation.policy):
            raise NoGeneration(
                "the tables were made by another version of Parcours: make them anew with `parcours rebuild`"
            )
        partitions = await connection.fetchval(f"select count(*) from {generation.schema}.checkpoint")
    reader = Reader(generation.policy, partitions, clock_rule)
    owner = f"projector-{slot}/{os.getpid()}"
    work = Stretching(pool, generation, EVENTS, reader, Memory(one.held_facts), owner)
    projector = Projector(kafka, pool, work, generation.id, clock_rule=clock_rule, tends=slot == 1)
    if projector.tends:
        await projector.retry_parked()
    broker = KafkaBroker(
        kafka,
        # a JoinGroup answer takes up to the rebalance timeout: below it every slow rebalance starts again
        request_timeout_ms=int((REBALANCE + 5) * 1000),
        consumer_only=True,
        apply_types=False,
        graceful_timeout=GRACE,
        logger=logging.getLogger("parcours.faststream"),
        log_level=logging.DEBUG,
    )
    subscribe(broker, projector, one, slot)
    calm_collector()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise_when(stop))
            tasks.create_task(projector.failure())
            await broker.start()
            tasks.create_task(projector.watch())
            tasks.create_task(projector.look_after())
            tasks.create_task(beat_for_ever(pool, f"projector-{slot}", projector.detail))
            server = quiet_server(health_app(projector.work.registry, projector.unwell), HOST, 0)
            tasks.create_task(server._serve())  # noqa: SLF001 - the public one captures SIGTERM
            tasks.create_task(projector.note_port(server))
    except* Stopped:
        pass
    finally:
        await _close(broker, projector)


async def _close(broker: KafkaBroker, projector: Projector) -> None:
    """No new batch, the one in flight finishes, the group is left; then the pool may close."""
    projector.closing = True
    projector.work.interrupt()
    try:
        async with asyncio.timeout(GRACE + 5):
            await broker.stop()
    except TimeoutError:
        log.exception("the consumer did not stop in time")
    async with asyncio.timeout(5):
        await projector.drained()


async def _raise_when(stop: asyncio.Event) -> NoReturn:
    await stop.wait()
    raise Stopped
