"""Writing to the log: one writer, and one for a door at which many single facts come in at once. EVENTS section 1, DESIGN section 4."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from events.partitions import partition_of
from services.log import MAX_RECORD, LogUnavailable, Outgoing, Written
from services.log_access import access

OVERHEAD: Final = 1024


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
        patience = limit or 2 * self._limit  # one batch under way, and the one it goes with
        giving_up = asyncio.get_running_loop().call_later(patience, self._give_up, waiting)
        try:
            return [await one for one in waiting]
        finally:
            giving_up.cancel()
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

    def _give_up(self, waiting: list[asyncio.Future[Written]]) -> None:
        for done in waiting:
            if not done.done():
                done.set_exception(LogUnavailable(f"Kafka at {self.servers}: not all was written in time"))

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
