"""One partition after another from the log's beginning to its end, in the batches in which Kafka keeps it. DESIGN section 5.

For whoever reads all of it: aiokafka's consumer makes an object of eleven fields of each record, which costs more than the rest of
fetching it. Its client, its requests and its reading of batches are used here as they are (decision 0012).
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import structlog
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CorruptRecordException,
    IncompatibleBrokerVersion,
    KafkaError,
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from services.log import MAX_RECORD, STILL, LogUnavailable
from services.log_access import access

MOST_BYTES = 32 * 1024 * 1024
WAIT_MS = 20
AGAIN_AFTER, PATIENCE = 0.2, 120.0
T = TypeVar("T")
NOT_READ: Final = KafkaError
FINAL = (OffsetOutOfRangeError, RecordTooLargeError, TopicAuthorizationFailedError, IncompatibleBrokerVersion)
"""Answers that asking again would not change. Others pass, though aiokafka calls few of them retriable."""
log = structlog.get_logger("parcours.log")


class Batch(Protocol):
    """Some records that were written, and are kept, together: of each its offset, key, value, headers and timestamp."""

    @property
    def next_offset(self) -> int: ...
    @property
    def is_control_batch(self) -> bool: ...
    def validate_crc(self) -> bool: ...
    def __iter__(self) -> Iterator[Any]: ...


class LogReader:
    """Reads partitions of a topic, one at a time."""

    def __init__(self, client: Any, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._ends: dict[int, int] = {}

    async def batches(self, number: int, start: int, end: int) -> AsyncGenerator[Batch]:
        """The batches of a partition that hold its records from `start` on, up to before `end`; the first and the last may hold others too.

        The next ones are on their way while these are looked at. What the log cannot answer now it is asked again, until it does.
        Raises `KafkaError` where asking again is of no use: offsets that are not there, a batch whose checksum is wrong, a log that has
        become shorter than it was to reach.
        """
        if start >= end:
            return
        at, asked = start, asyncio.create_task(self._fetched(number, start))
        clock = asyncio.get_running_loop().time
        moved_at = clock()
        try:
            while at < end:
                found = await asked
                following = found[-1].next_offset if found else at
                if found:
                    moved_at = clock()
                elif self._ends[number] < end and clock() - moved_at > STILL:
                    raise OffsetOutOfRangeError(
                        f"{self._topic}, partition {number}: the log ends at {self._ends[number]}, and was to reach {end}"
                    )
                if following < end:
                    asked = asyncio.create_task(self._fetched(number, following))
                for batch in found:
                    if not batch.validate_crc():
                        raise CorruptRecordException(
                            f"{self._topic}, partition {number}, from {at}: the checksum of a batch is wrong"
                        )
                    if not batch.is_control_batch:
                        yield batch
                at = following
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def _fetched(self, number: int, at: int) -> list[Batch]:
        return await patiently(partial(self._asked, number, at), math.inf, self._client.force_metadata_update)

    async def _asked(self, number: int, at: int) -> list[Batch]:
        if self._topic in self._client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(self._topic)
        leader = self._client.cluster.leader_for_partition(TopicPartition(self._topic, number))
        if leader is None or leader == -1:
            raise LeaderNotAvailableError
        request = FetchRequest(WAIT_MS, 1, MOST_BYTES, 0, [(self._topic, [(number, at, MAX_RECORD)])])
        answer = await self._client.send(leader, request)
        parts = [part for _, listed in answer.topics for part in listed if part[0] == number]
        if not parts:  # an answer to nothing: the broker would not answer now
            raise LeaderNotAvailableError
        (part,) = parts
        if part[1] != 0:
            raise for_code(part[1])(f"{self._topic}, partition {number}, offset {at}")
        self._ends[number] = part[2]
        content = MemoryRecords(part[-1])
        if content.size_in_bytes() > 0 and not content.has_next():
            raise RecordTooLargeError(f"{self._topic}, partition {number}, offset {at}: larger than {MAX_RECORD} bytes")
        found = list[Any]()
        while content.has_next():
            found.append(content.next_batch())
        return found


async def nothing() -> None:
    return


async def patiently(
    ask: Callable[[], Awaitable[T]], patience: float | None = None, before: Callable[[], Awaitable[Any]] = nothing
) -> T:
    """What the log answers, asked again while it is away, for so many seconds (`PATIENCE`); what is done `before` each further time.
    Raises what it raised then: `KafkaError` or `LogUnavailable`.
    """
    clock = asyncio.get_running_loop().time
    until, is_told = clock() + (PATIENCE if patience is None else patience), False
    while True:
        try:
            return await ask()
        except FINAL:
            raise
        except (KafkaError, LogUnavailable) as wrong:
            if clock() > until:
                raise
            if not is_told:
                log.warning("the log does not answer, it is asked again", error=type(wrong).__name__)
                is_told = True
        await before()
        await asyncio.sleep(AGAIN_AFTER)


@asynccontextmanager
async def reading(servers: str, topic: str) -> AsyncIterator[LogReader]:
    """A reader of a topic. Raises `KafkaError` where nobody is there."""
    client = AIOKafkaClient(**access(), bootstrap_servers=servers)
    try:
        await patiently(client.bootstrap)
        await client.set_topics([topic])
        yield LogReader(client, topic)
    finally:
        await client.close()
