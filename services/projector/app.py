"""The projector's process: its wiring to Kafka, its beginning and its end. DESIGN sections 4 and 8."""

import asyncio
import logging
import os
import signal
from typing import Any, Final, NoReturn

import structlog
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, Topic

from services.collector import calm_collector
from services.health import health_app, quiet_server
from services.log import FETCHING, Record
from services.log_access import security
from services.projector.held import Memory
from services.projector.owning import REBALANCE, SESSION, Stuck
from services.projector.projector import HOST, Projector
from services.projector.records import Reader
from services.projector.stretch import Stretching
from services.settings import EVENTS, GROUP, Settings
from services.tables import NoGeneration, Pool, active_generation, connected, fold_version, open_pool
from services.telemetry import beat_for_ever

GRACE: Final = 20.0
SLOTS: Final = 64
log = structlog.get_logger("parcours.projector")


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


def subscribe(broker: KafkaBroker, projector: Projector, one: Settings, slot: int) -> None:
    """Wire the projector to its topic, as DESIGN section 8 wants it."""
    projector.subscriber = broker.subscriber(
        Topic(projector.work.topic, declare=False),
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
        security=security(),
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
