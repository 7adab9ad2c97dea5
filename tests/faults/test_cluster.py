"""Three brokers, each killed in turn under load: what was acknowledged is there, and the tables hold it."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded import kafka_cluster
from services.log import LogUnavailable, Outgoing
from services.log_topics import ensure_topics
from services.log_writing import LogWriter
from services.settings import settings
from tests.builders import lines, worked

TOPIC, PARTITIONS, AT_ONCE = "cluster", 6, 20


async def _load(writer: LogWriter, acknowledged: set[bytes], stop: asyncio.Event) -> int:
    """Write facts for as long as it lasts; one whose writing is not known to have happened is written again."""
    number = refused = 0
    while not stop.is_set():
        facts = [lines(worked("A").of(f"p{n}").named(f"f-{n}"))[0] for n in range(number, number + AT_ONCE)]
        records = [Outgoing(fact, f"default|p{number + n}".encode()) for n, fact in enumerate(facts)]
        while True:
            try:
                await writer.write(TOPIC, records)
                break
            except LogUnavailable:
                refused += 1
        acknowledged |= {f"f-{n}".encode() for n in range(number, number + AT_ONCE)}
        number += AT_ONCE
    return refused


async def _all(bootstrap: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    parts = [TopicPartition(TOPIC, n) for n in range(PARTITIONS)]
    found: list[bytes] = []
    try:
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        while any([await consumer.position(one) < ends[one] for one in parts]):
            for some in (await consumer.getmany(timeout_ms=500)).values():
                found += [record.value for record in some if record.value]
    finally:
        await consumer.stop()
    return found


@pytest.mark.timeout(240)
async def test_no_acknowledged_fact_is_lost_when_each_broker_is_killed_in_turn(tmp_path: Path) -> None:
    cluster = await asyncio.to_thread(kafka_cluster.start, tmp_path / "cluster", settings(tmp_path).cache)
    try:
        await ensure_topics(cluster.bootstrap, [TOPIC], PARTITIONS, replication=3)
        writer, acknowledged, stop = LogWriter(cluster.bootstrap), set[bytes](), asyncio.Event()
        load = asyncio.create_task(_load(writer, acknowledged, stop))
        for node in (1, 2, 3):
            before = len(acknowledged)
            await asyncio.to_thread(cluster.brokers[node].kill)
            async with asyncio.timeout(40):
                while len(acknowledged) < before + 10 * AT_ONCE:  # noqa: ASYNC110 - written on, with two of three
                    await asyncio.sleep(0.1)
            await asyncio.to_thread(cluster.start, node)
            await _whole(cluster.bootstrap)
        stop.set()
        await load
        await writer.close()

        there = b"\n".join(await _all(cluster.bootstrap))
        assert len(acknowledged) > 30 * AT_ONCE
        assert [name for name in acknowledged if b'"' + name + b'"' not in there] == []
    finally:
        await asyncio.to_thread(cluster.stop)


async def _whole(bootstrap: str) -> None:
    """Wait until every replica is in sync again: killing the next one before would leave too few."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(60):
            while True:
                (told,) = await admin.describe_topics([TOPIC])
                if all(len(part["isr"]) == 3 for part in told["partitions"]):
                    return
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
