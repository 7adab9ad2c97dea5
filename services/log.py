"""The log: Kafka's topics, and writing to them. EVENTS section 1, DESIGN section 4."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.structs import ConsumerRecord, RecordMetadata

from events.envelope import CONTENT_TYPE
from services.log_access import access

Record = ConsumerRecord[bytes | None, bytes | None]
T = TypeVar("T")
KNOWN_WITHIN: Final = 10.0
MAX_RECORD: Final = 6 * 1024 * 1024
OVERHEAD: Final = 1024
TOPIC_CONFIG: Final[Mapping[str, str]] = {
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MAX_RECORD),
}
ONE_NODE: Final[Mapping[str, str]] = {"flush.messages": "1"}
SEVERAL_NODES: Final[Mapping[str, str]] = {"min.insync.replicas": "2"}
FETCHING: Final[Mapping[str, int]] = {
    "fetch_max_wait_ms": 500,
    "fetch_max_bytes": 32 * 1024 * 1024,
    "max_partition_fetch_bytes": MAX_RECORD,
}
"""How a projector fetches: much of one partition at a time, so that a person's facts meet in one batch."""
HEADERS: Final = (("content-type", CONTENT_TYPE.encode()),)


class TopicDiffers(RuntimeError):
    """The topic exists with other settings or another number of partitions."""


class LogUnavailable(RuntimeError):
    """Not known to be written within the limit: it may be, or may yet be. Ids make repeating it safe."""


@dataclass(frozen=True, slots=True)
class Written:
    """Where the log put a record."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write; `partition` only for ticks, which have no key, and for records that are put back where they were."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = HEADERS
    timestamp: int | None = None  # only where the log `keeps_times` that it is given


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition Kafka's default partitioner (Java and aiokafka) gives a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


async def ensure_topics(servers: str, topics: Sequence[str], partitions: int, replication: int = 1) -> None:
    """Create the topics; those that are there must be as we would have made them. Raises `TopicDiffers`, `LogUnavailable`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=10_000, **access())
    try:
        await admin.start()
        for topic in topics:
            await _ensure(admin, topic, partitions, replication)
    except (KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {servers}: {error!r}") from error
    finally:
        await admin.close()


async def _ensure(admin: AIOKafkaAdminClient, topic: str, partitions: int, replication: int) -> None:
    config = dict(TOPIC_CONFIG) | dict(ONE_NODE if replication == 1 else SEVERAL_NODES)
    answer: Any = await admin.create_topics(
        [NewTopic(topic, partitions, replication, topic_configs=config)], timeout_ms=5_000
    )
    for _, code, message in answer.topic_errors:  # create_topics never raises: the error is a field of the answer
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)(message)
    found = await _once_known(topic, lambda: _partition_count(admin, topic))
    have = await _once_known(topic, lambda: _topic_config(admin, topic))
    if found != partitions:
        raise TopicDiffers(
            f"{topic} has {found} partitions, {partitions} wanted: the number is fixed when a topic is created"
        )
    if odd := {name: have.get(name) for name, value in TOPIC_CONFIG.items() if have.get(name) != value}:
        raise TopicDiffers(f"{topic} has {odd}, wanted {dict(TOPIC_CONFIG)}")


@asynccontextmanager
async def keeps_times(servers: str, topics: Sequence[str], replication: int = 1) -> AsyncIterator[None]:
    """While the block lasts, topics keep the time a record is given as when it was appended: for a log that is put back."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=10_000, **access())
    await admin.start()
    try:
        await _set_times(admin, topics, "CreateTime", replication)
        try:
            yield
        finally:
            await _set_times(admin, topics, TOPIC_CONFIG["message.timestamp.type"], replication)
    finally:
        await admin.close()


async def _set_times(admin: AIOKafkaAdminClient, topics: Sequence[str], kind: str, replication: int) -> None:
    config = (
        dict(TOPIC_CONFIG) | dict(ONE_NODE if replication == 1 else SEVERAL_NODES) | {"message.timestamp.type": kind}
    )
    answers: Any = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, config) for topic in topics]
    )
    for answer in answers:
        for code, message, *_ in answer.resources:
            if code:
                raise for_code(code)(message)


async def _once_known(topic: str, ask: Callable[[], Awaitable[T | None]]) -> T:
    """What a broker says of a topic; the one that is asked may not have heard of it yet, and Kafka tells nobody when it has."""
    try:
        async with asyncio.timeout(KNOWN_WITHIN):
            while (answer := await ask()) is None:  # noqa: ASYNC110 - there is nothing else to wait for
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(
            f"topic {topic} was made, but a broker has not heard of it after {KNOWN_WITHIN:.0f} seconds"
        ) from None
    return answer


async def _partition_count(admin: AIOKafkaAdminClient, topic: str) -> int | None:
    (described,) = await admin.describe_topics([topic])
    return None if described["error_code"] else len(described["partitions"])


async def _topic_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str | None] | None:
    answer: Any
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, message, _type, _name, entries),) = answer.resources
    if code and for_code(code) is UnknownTopicOrPartitionError:
        return None
    if code:
        raise for_code(code)(message)
    return {entry[0]: entry[1] for entry in entries}


async def end_offsets(servers: str, topic: str) -> dict[int, int]:
    """The next offset of every partition of a topic. Raises `LogUnavailable`."""
    async with _reader(servers, topic) as consumer:  # without a group, it is assigned every partition
        found = await consumer.end_offsets(list(consumer.assignment()))
    return {one.partition: offset for one, offset in found.items()}


async def first_offsets(servers: str, topic: str) -> dict[int, int]:
    """The first offset every partition still holds. Raises `LogUnavailable`."""
    async with _reader(servers, topic) as consumer:
        found = await consumer.beginning_offsets(list(consumer.assignment()))
    return {one.partition: offset for one, offset in found.items()}


async def values_from(servers: str, topic: str, offsets: Mapping[int, int]) -> list[bytes]:
    """The values of a topic from given offsets (0 where none is given) to its end as it is now. Raises `LogUnavailable`."""
    ends = await end_offsets(servers, topic)
    return [record.value async for record in records_from(servers, topic, ends, offsets) if record.value is not None]


async def records_from(
    servers: str, topic: str, ends: Mapping[int, int], offsets: Mapping[int, int] | None = None
) -> AsyncIterator[Record]:
    """The records of a topic from given offsets (0 where none is given) to given ends. Raises `LogUnavailable`."""
    async with _reader(servers, topic, limit=None) as consumer:
        parts = list(consumer.assignment())
        begins = await consumer.beginning_offsets(parts)
        for one in parts:
            start = max((offsets or {}).get(one.partition, 0), begins[one])
            consumer.seek(one, min(start, ends[one.partition]))
        left = {one for one in parts if await consumer.position(one) < ends[one.partition]}
        while left:
            async with asyncio.timeout(60):  # a log that says nothing for so long is away
                found = await consumer.getmany(*left, timeout_ms=200)
            for one, records in found.items():
                for record in records:
                    if record.offset < ends[one.partition]:
                        yield record
            left = {one for one in left if await consumer.position(one) < ends[one.partition]}


@asynccontextmanager
async def _reader(servers: str, topic: str, limit: float | None = 10) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all of a topic, for a moment."""
    consumer = AIOKafkaConsumer(
        topic,
        **access(),
        bootstrap_servers=servers,
        request_timeout_ms=10_000,
        enable_auto_commit=False,
        auto_offset_reset="latest",
        max_partition_fetch_bytes=MAX_RECORD,
    )
    try:
        async with asyncio.timeout(limit):
            await consumer.start()
            yield consumer
    except (KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {servers}: {error!r}") from error
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's own task, cancelled by its own stop
            await consumer.stop()


async def hashes_before(
    servers: str, topic: str, offsets: Mapping[int, int], hashed: Callable[[Any], bytes]
) -> dict[int, bytes]:
    """The hash of the record before each offset, where there is one: is this still the log we have read?"""
    wanted = {TopicPartition(topic, number): offset - 1 for number, offset in offsets.items() if offset > 0}
    found: dict[int, bytes] = {}
    if not wanted:
        return found
    consumer = AIOKafkaConsumer(
        **access(),
        bootstrap_servers=servers,
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=MAX_RECORD,
    )
    await consumer.start()
    try:
        consumer.assign(list(wanted))
        for one, offset in wanted.items():
            consumer.seek(one, offset)
        while len(found) < len(wanted):
            for one, records in (await consumer.getmany(timeout_ms=200, max_records=1000)).items():
                found.setdefault(one.partition, hashed(records[0]))
                consumer.pause(one)
    finally:
        await consumer.stop()
    return found


async def full_batch(
    consumer: AIOKafkaConsumer, size: int, *parts: TopicPartition, wait_ms: int = 500
) -> dict[int, list[Record]]:
    """Records by partition (of all, or of some), about as many as asked for while the log has them: small batches cost as much
    as large ones.
    """
    batch: dict[int, list[Record]] = {}
    n, wait = 0, wait_ms
    while n < size:
        found = await consumer.getmany(*parts, timeout_ms=wait, max_records=size - n)
        if not found:
            break
        for part, records in found.items():
            batch.setdefault(part.partition, []).extend(records)
            n += len(records)
        wait = 5
    return batch


class LogWriter:
    """An idempotent producer that is replaced when it is beyond repair, and never waits without a limit."""

    def __init__(self, servers: str, limit: float = 5.0) -> None:
        self.servers = servers
        self._limit = limit
        self._producer: AIOKafkaProducer | None = None
        self._making = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def write(self, topic: str, outgoing: Iterable[Outgoing], limit: float | None = None) -> list[Written]:
        """All, in order, or `LogUnavailable`. Raises MessageSizeTooLargeError before that record is sent."""
        producer: AIOKafkaProducer | None = None
        futures: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(limit or self._limit):
                producer = await self._current()
                for one in outgoing:
                    futures.append(  # noqa: PERF401 - what was sent before an error must be known
                        await producer.send(
                            topic, one.value, one.key, one.partition, one.timestamp, headers=list(one.headers)
                        )
                    )
                done = await asyncio.gather(*futures)
        except MessageSizeTooLargeError:
            raise
        except (TimeoutError, KafkaError, OSError) as error:
            for future in futures:
                future.cancel()
            self._discard(producer)
            raise LogUnavailable(f"Kafka at {self.servers}: {error!r}") from error
        return [Written(one.partition, one.offset) for one in done]

    async def write_batch(self, topic: str, number: int, line: "deque[_Waiting]", batch: "list[_Waiting]") -> int:
        """Write as many of a line as one batch takes, move them from it to `batch`, and say the offset of the first."""
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._limit):
                producer = await self._current()
                made = producer.create_batch()
                while line:
                    one = line[0].one
                    headers = list(one.headers)
                    if made.append(key=one.key, value=one.value, timestamp=None, headers=headers) is None:
                        break
                    batch.append(line.popleft())
                sent = await producer.send_batch(made, topic, partition=number)
                found: RecordMetadata = await sent
        except (TimeoutError, KafkaError, OSError) as error:
            self._discard(producer)
            raise LogUnavailable(f"Kafka at {self.servers}: {error!r}") from error
        return found.offset

    async def close(self) -> None:
        """Flush what is under way for at most the limit."""
        if (producer := self._producer) is not None:
            try:
                async with asyncio.timeout(self._limit):
                    await producer.stop()
                self._producer = None
            except TimeoutError:
                self._discard(producer)
        await asyncio.gather(*self._leaving)

    async def _current(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **access(),
                    bootstrap_servers=self.servers,
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    max_batch_size=256 * 1024,
                    max_request_size=MAX_RECORD,
                    request_timeout_ms=int(self._limit * 1000),
                    metadata_max_age_ms=30_000,
                )
                try:
                    await producer.start()
                except BaseException:
                    await _abandon(producer)
                    raise
                self._producer = producer
            return self._producer

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and producer is self._producer:  # another write may have replaced it already
            self._producer = None
            leaving = asyncio.create_task(_abandon(producer))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


@dataclass(slots=True)
class _Waiting:
    """A record on its way into a partition, and who waits for it."""

    one: Outgoing
    done: asyncio.Future[Written]


class Gathering(LogWriter):
    """A writer for a door at which many single facts come in at once.

    What comes for a partition while it is being written goes out as one batch, once the one before it is there: its order
    holds, and Kafka, which flushes every batch to disk, flushes once for all of them. Several connections share the
    partitions, for Kafka answers one request of a connection after another.
    """

    def __init__(self, servers: str, partitions: int, connections: int = 4) -> None:
        super().__init__(servers)
        self._partitions = partitions
        self._through = [LogWriter(servers) for _ in range(connections)]
        self._waiting: dict[tuple[str, int], deque[_Waiting]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def write(self, topic: str, outgoing: Iterable[Outgoing], limit: float | None = None) -> list[Written]:
        """As of one writer: what could not be written makes `LogUnavailable` of the whole."""
        listed = list(outgoing)
        for one in listed:
            if len(one.key or b"") + len(one.value or b"") > MAX_RECORD - OVERHEAD:
                raise MessageSizeTooLargeError(f"a record of {len(one.value or b'')} bytes")
        waiting = [self._send(topic, one) for one in listed]
        try:
            async with asyncio.timeout(limit or 2 * self._limit):  # one batch under way, and the one it goes with
                return [await one for one in waiting]
        except TimeoutError as error:
            raise LogUnavailable(f"Kafka at {self.servers}: not all was written in time") from error
        finally:
            for done in waiting:
                if not done.done():
                    done.cancel()
                elif not done.cancelled():
                    done.exception()  # seen: the first one is raised

    async def close(self) -> None:
        """Write what is under way for at most the limit."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=2 * self._limit)
        await asyncio.gather(*(writer.close() for writer in self._through))

    def _send(self, topic: str, one: Outgoing) -> asyncio.Future[Written]:
        number = partition_of(one.key or b"", self._partitions) if one.partition is None else one.partition
        done: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        line = self._waiting.get((topic, number))
        if line is not None:
            line.append(_Waiting(one, done))
            return done
        self._waiting[topic, number] = deque([_Waiting(one, done)])
        task = asyncio.create_task(self._write_line(topic, number))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return done

    async def _write_line(self, topic: str, number: int) -> None:
        """One batch after another, until nobody waits for this partition."""
        through, line = self._through[number % len(self._through)], self._waiting[topic, number]
        batch: list[_Waiting] = []
        try:
            while line:
                batch.clear()
                first = await through.write_batch(topic, number, line, batch)
                for n, waiting in enumerate(batch):
                    if not waiting.done.done():
                        waiting.done.set_result(Written(number, first + n))
        except Exception as wrong:  # noqa: BLE001 - whoever waits is told, and raises it
            for waiting in (*batch, *line):
                if not waiting.done.done():
                    waiting.done.set_exception(wrong)
        finally:
            del self._waiting[topic, number]


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Drop what is not written: stop() flushes, that is waits for Kafka for ever when the producer is idempotent.

    The order matters: failing batches while the sender still owns them breaks it.
    """
    producer._closed = True  # noqa: SLF001 - aiokafka has no way to give up
    if (sender := getattr(producer, "_sender", None)) is not None:
        await sender.close()
    producer._message_accumulator.fail_all(KafkaError("producer abandoned"))  # noqa: SLF001
    await producer.client.close()
