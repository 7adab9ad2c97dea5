"""The log read in Kafka's batches: the same records that aiokafka's consumer gives, from and to any offset."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    NodeNotReadyError,
    OffsetOutOfRangeError,
    ReplicaNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownError,
)

from services import log as services_log
from services import log_reading
from services.log import LogUnavailable, Outgoing, records_left
from services.log_reading import LogReader, reading
from services.projector.spilled import Raw, raws
from tests.builders import lines, worked
from tests.line import Line

Fields = tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int]


def fields(record: Any) -> Fields:
    return (record.partition, record.offset, record.key, record.value, tuple(record.headers), record.timestamp)


async def read(reader: LogReader, number: int, start: int, end: int) -> list[Fields]:
    found = list[Raw]()
    async with aclosing(reader.batches(number, start, end)) as batches:
        async for batch in batches:
            found += raws(number, batch, start, end)
    return [fields(one) for one in found]


async def filled(line: Line) -> dict[int, list[Fields]]:
    """What a consumer reads of a log in which there is everything a batch can be."""
    for n in range(4):
        await line.publish(lines(*[worked("A").of(f"p{n}-{i}").named(f"{n}-{i}") for i in range(20)]))
    await line.write(
        Outgoing(None, b"nobody"),
        Outgoing(b"{}", None, partition=1, headers=()),
        Outgoing(b"{}", None, partition=1, headers=(("ce_id", b"1"), ("ce_id", None))),
    )
    for compression, ends in (("gzip", True), (None, True), (None, False)):
        producer = AIOKafkaProducer(
            bootstrap_servers=line.kafka,
            transactional_id=f"{line.topic}-{compression}-{ends}",
            compression_type=compression,
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for n in range(30):
                await producer.send_and_wait(line.topic, b"x" * n, partition=n % 3)
            await (producer.commit_transaction() if ends else producer.abort_transaction())
        finally:
            await producer.stop()
    await line.publish(lines(worked("B").of("p1").named("last")))
    found: dict[int, list[Fields]] = {}
    for one in await line.records():
        found.setdefault(one.partition, []).append(fields(one))
    return found


async def test_a_partition_is_read_as_a_consumer_reads_it_from_and_to_any_offset(line: Line) -> None:
    said = await filled(line)
    assert set(said) == {0, 1, 2}
    async with reading(line.kafka, line.topic) as reader:
        for number, theirs in said.items():
            last = theirs[-1][1] + 1
            for start in range(last):
                assert await read(reader, number, start, last) == [one for one in theirs if one[1] >= start]
            for end in range(last):
                assert await read(reader, number, 3, end) == [one for one in theirs if 3 <= one[1] < end]


async def test_it_is_read_in_pieces_too(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await filled(line)
    monkeypatch.setattr(log_reading, "MAX_RECORD", 1)  # one batch at a time
    async with reading(line.kafka, line.topic) as reader:
        for number, theirs in said.items():
            assert await read(reader, number, 0, theirs[-1][1] + 1) == theirs


async def test_a_log_that_does_not_answer_is_asked_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await filled(line)
    monkeypatch.setattr(log_reading, "AGAIN_AFTER", 0.0)
    async with reading(line.kafka, line.topic) as reader:
        honest = reader._client.send
        left = [NodeNotReadyError(), KafkaConnectionError(), None, UnknownError(), ReplicaNotAvailableError()]

        async def send(*given: Any) -> Any:
            wrong = left.pop(0) if left else None
            if wrong is not None:
                raise wrong
            return await honest(*given)

        monkeypatch.setattr(reader._client, "send", send)
        for number, theirs in said.items():
            assert await read(reader, number, 0, theirs[-1][1] + 1) == theirs
    assert left == []


async def test_what_asking_again_would_not_mend_is_said(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(line)
    async with reading(line.kafka, line.topic) as reader:
        with pytest.raises(OffsetOutOfRangeError):
            await read(reader, 0, 1_000, 1_001)

        class Damaged:
            next_offset, is_control_batch = 7, False

            def validate_crc(self) -> bool:
                return False

        async def fetched(_number: int, _at: int) -> list[Any]:
            return [Damaged()]

        monkeypatch.setattr(reader, "_fetched", fetched)
        with pytest.raises(CorruptRecordException, match="partition 0, from 5: the checksum"):
            await read(reader, 0, 5, 7)


async def test_a_log_that_is_shorter_than_it_was_is_not_waited_for(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await filled(line)
    monkeypatch.setattr(log_reading, "STILL", 0.3)
    last = said[0][-1][1] + 1
    async with asyncio.timeout(20), reading(line.kafka, line.topic) as reader:
        with pytest.raises(OffsetOutOfRangeError, match=rf"the log ends at \d+, and was to reach {last + 50}"):
            await read(reader, 0, 0, last + 50)
    monkeypatch.setattr(services_log, "STILL", 0.3)
    async with asyncio.timeout(20):
        with pytest.raises(LogUnavailable, match="nothing came"):
            await records_left(line.kafka, line.topic, {0: last + 50}, {0: last - 1})


async def test_a_topic_that_is_forbidden_is_not_asked_for_again(line: Line) -> None:
    await filled(line)
    async with asyncio.timeout(20), reading(line.kafka, line.topic) as reader:
        reader._client.cluster.unauthorized_topics.add(line.topic)
        with pytest.raises(TopicAuthorizationFailedError):
            await read(reader, 0, 0, 1)


async def test_a_log_that_is_away_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reading, "AGAIN_AFTER", 0.0)
    left = [LogUnavailable(), KafkaConnectionError()]

    async def ask() -> int:
        if left:
            raise left.pop()
        return 7

    assert await log_reading.patiently(ask) == 7
    monkeypatch.setattr(log_reading, "PATIENCE", -1.0)
    left.append(LogUnavailable())
    with pytest.raises(LogUnavailable):
        await log_reading.patiently(ask)


async def test_whoever_has_enough_can_stop(line: Line) -> None:
    said = await filled(line)
    async with reading(line.kafka, line.topic) as reader:
        async with aclosing(reader.batches(0, 0, said[0][-1][1] + 1)) as batches:
            assert [fields(one) for one in raws(0, await anext(batches), 0, 1)] == said[0][:1]
        assert await read(reader, 0, 0, 2) == said[0][:2]
