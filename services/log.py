"""The log: what a record is, and reading Kafka's topics. EVENTS section 1, DESIGN section 4."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from events.envelope import CONTENT_TYPE
from services.log_access import access

Record = ConsumerRecord[bytes | None, bytes | None]
MAX_RECORD: Final = 6 * 1024 * 1024
FETCHING: Final[Mapping[str, int]] = {
    "fetch_max_wait_ms": 500,
    "fetch_max_bytes": 32 * 1024 * 1024,
    "max_partition_fetch_bytes": MAX_RECORD,
}
"""How a projector fetches: much of one partition at a time, so that a person's facts meet in one batch."""
STILL: Final = 60.0
"""A log that says nothing for so many seconds is away."""
MOST_MARKERS: Final = 1_000
"""How many offsets are looked into for records: what ends an emitter's transaction has one and is none."""
HEADERS: Final = (("content-type", CONTENT_TYPE.encode()),)


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
        parts = [one for one in consumer.assignment() if one.partition in ends]
        begins = await consumer.beginning_offsets(parts)
        for one in parts:
            start = max((offsets or {}).get(one.partition, 0), begins[one])
            consumer.seek(one, min(start, ends[one.partition]))
        at = {one: await consumer.position(one) for one in parts}
        left = {one for one in parts if at[one] < ends[one.partition]}
        clock = asyncio.get_running_loop().time
        moved_at = clock()
        while left:
            found = await consumer.getmany(*left, timeout_ms=200)
            for one, records in found.items():
                for record in records:
                    if record.offset < ends[one.partition]:
                        yield record
            before, at = at, {one: await consumer.position(one) for one in left}
            if found or at != {one: before[one] for one in left}:
                moved_at = clock()
            elif clock() - moved_at > STILL:
                raise TimeoutError(f"{topic}: nothing came for {STILL:.0f} s, and it is not read to its end")
            left = {one for one in left if at[one] < ends[one.partition]}


async def records_left(servers: str, topic: str, ends: Mapping[int, int], offsets: Mapping[int, int]) -> int:
    """How many records lie between given offsets (0 where none is given) and given ends. Raises `LogUnavailable`.

    Beyond `MOST_MARKERS` of them, how many offsets.
    """
    between = sum(max(0, end - offsets.get(number, 0)) for number, end in ends.items())
    if not 0 < between <= MOST_MARKERS:
        return between
    return sum([1 async for _ in records_from(servers, topic, ends, offsets)])


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
