"""Healthy means moving; parked records and quarantined patients can be tried again."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx2
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from events.partitions import partition_of
from projections.policy import Policy
from services import tables_projector as tables
from services import tables_system
from services.health import health_app, tables_health
from services.intake.app import app
from services.log import records_left
from services.log_writing import LogWriter
from services.projector import retrying
from services.projector.loading import BreakerOpened
from services.projector.projector import Projector
from services.tables import connected
from tests.builders import lines, registered, tick, unfoldable, worked
from tests.line import Line


async def test_an_idle_line_is_healthy_and_a_deadline_left_lying_is_not(line: Line) -> None:
    await line.publish(lines(registered(), tick("2026-03-03T00:00:00Z")))
    await line.project()
    assert await tables_health(line.pool, clock=False) == []

    await line.fetch("update parcours.patient set next_due_at = '2026-03-01'")
    await line.fetch(f"update {line.generation.schema}.checkpoint set moved_at = now() - interval '5 minutes'")

    (wrong,) = await tables_health(line.pool, clock=False)
    assert "1 deadlines" in wrong


async def test_a_silent_clock_is_unhealthy(line: Line) -> None:
    await line.publish(lines(registered()))
    await line.project()
    assert not any("clock" in wrong for wrong in await tables_health(line.pool, clock=True))

    (number,) = {row["partition"] for row in await line.fetch("select partition from parcours.patient")}
    await line.fetch(
        f"update {line.generation.schema}.checkpoint set moved_at = now() - interval '1 hour' where partition = $1",
        number,
    )  # one of several is enough
    assert f"partitions [{number}] have not moved for 45 minutes" in " ".join(
        await tables_health(line.pool, clock=True)
    )


async def test_a_deadline_that_passes_while_nobody_projects_is_told_by_the_time_of_day(line: Line) -> None:
    await line.publish(lines(registered()))
    await line.project()
    await line.fetch("update parcours.patient set next_due_at = now() - interval '5 minutes'")
    await line.fetch(f"update {line.generation.schema}.checkpoint set moved_at = now() - interval '10 minutes'")

    assert any("1 deadlines" in wrong for wrong in await tables_health(line.pool, clock=True))
    assert await tables_health(line.pool, clock=False) == []  # a history that is played ends at its own last moment


async def test_metrics_and_health_by_http(line: Line) -> None:
    await line.publish(lines(worked("A"), worked("B").of("secret-patient")))
    await line.project()

    async def well() -> list[str]:
        return []

    transport = httpx2.ASGITransport(health_app(line.projecting.registry, well))
    async with httpx2.AsyncClient(transport=transport, base_url="http://projector") as client:
        metrics = (await client.get("/metrics")).text
        assert (await client.get("/healthz")).status_code == 200

    assert "parcours_fact_to_commit_seconds_count" in metrics
    assert "secret-patient" not in metrics


async def test_the_intake_tells_its_health(line: Line) -> None:
    writer = LogWriter(line.kafka)
    transport = httpx2.ASGITransport(app(writer, line.pool, Policy, clock=False))
    async with httpx2.AsyncClient(transport=transport, base_url="http://intake") as client:
        assert (await client.get("/readyz")).text == "ok\n"
        assert (await client.get("/livez")).text == "ok\n"
        await line.publish(lines(registered()))
        await line.project()
        await line.fetch(f"update {line.generation.schema}.checkpoint set moved_at = now() - interval '1 hour'")
        assert (await client.get("/healthz")).status_code == 200  # a history that is played
    late = httpx2.ASGITransport(app(writer, line.pool, Policy, registry=CollectorRegistry()))
    async with httpx2.AsyncClient(transport=late, base_url="http://intake") as client:
        assert (await client.get("/healthz")).status_code == 503
        assert (await client.get("/readyz")).status_code == 200  # tables that are behind are answered from
        assert "parcours_intake_write_seconds" in (await client.get("/metrics")).text
    await writer.close()


async def test_a_quarantined_patient_is_folded_anew_when_the_fault_is_mended(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [worked("A"), worked("C"), worked("B").on("2026-03-02T09:30:00Z")]
    with monkeypatch.context() as patched:
        unfoldable(patched)
        await line.publish(lines(*facts))
        await line.project()
    assert (await line.fetch("select is_quarantined from parcours.patient"))[0]["is_quarantined"]

    async with connected(line.database, "tests") as connection:
        assert (await retrying.retry(connection, clock_rule=False))["patients"] == 1
    await line.projecting.settle()

    assert (await line.export())["cases"][0]["path"] == ["A", "B", "C"]


async def test_a_parked_record_stays_parked_while_its_rule_holds_and_is_taken_once_when_it_is_a_fact(
    line: Line,
) -> None:
    good = lines(worked("A"))[0]
    await line.publish([good.replace(b'"A"', b'""')])
    await line.project()
    async with connected(line.database, "tests") as connection:
        assert await retrying.retry(connection, clock_rule=False) == {"tried": 1, "taken": 0, "patients": 0}

        await connection.execute(f"update {line.generation.schema}.parked set value = $1", good)
        assert (await retrying.retry(connection, clock_rule=False))["taken"] == 1
        assert (await retrying.retry(connection, clock_rule=False))["tried"] == 0
    await line.projecting.settle()

    found = await line.export()
    assert found["cases"][0]["path"] == ["A"]
    assert found["errors"]["parked"] == 0


async def test_what_somebody_discarded_is_no_longer_counted(line: Line) -> None:
    good = lines(worked("A"), worked("B").named("b"))
    await line.publish([one.replace(b'"A"', b'""').replace(b'"B"', b'""') for one in good])
    await line.project()
    async with connected(line.database, "tests") as connection:
        first, second = await tables_system.parked(connection, None, None)
        before = await tables_system.parked_count(connection)
        await tables_system.discard_parked(connection, None, first["partition"], first["offset"], "a test")
        after = await tables_system.parked_count(connection)
        left = await tables_system.parked(connection, None, None)

    assert (before, after) == (2, 1)
    assert [row["offset"] for row in left] == [second["offset"]]


async def test_folds_that_fail_for_many_stop_the_partition_and_keep_nothing(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.publish(lines(*(worked("A").of(f"p{n}") for n in range(100))))
    with monkeypatch.context() as patched:
        unfoldable(patched)
        with pytest.raises(BreakerOpened, match="20 patients"):
            await line.project()
    assert await line.fetch("select 1 from parcours.timeline") == []

    async with connected(line.database, "tests") as connection:
        await tables.stop_partition(connection, 1, "a bad deployment")
        assert await tables.stopped_partitions(connection) == {1}
        assert await tables.release_partition(connection, 1)
        assert not await tables.release_partition(connection, 1)
    await line.project()
    assert len((await line.export())["cases"]) == 100


async def test_what_a_transaction_ends_with_is_no_record_that_is_waited_for(line: Line) -> None:
    fact = lines(worked("A").of("p1", "default"))[0]
    emitter = AIOKafkaProducer(bootstrap_servers=line.kafka, transactional_id=f"emitter-{line.topic}")
    await emitter.start()
    async with emitter.transaction():
        await emitter.send_and_wait(line.topic, fact, key=b"default|p1")
    await emitter.stop()
    reader = AIOKafkaConsumer(
        bootstrap_servers=line.kafka, enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=20
    )
    await reader.start()
    try:
        (one,) = {
            TopicPartition(line.topic, n)
            for n in range(line.partitions)
            if n == partition_of(b"default|p1", line.partitions)
        }
        reader.assign([one])
        reader.seek(one, 0)
        work = await line.projector("at the end of a transaction")
        projector = Projector(line.kafka, line.pool, work, line.generation.id)
        projector.subscriber = SimpleNamespace(consumer=reader, tasks=[asyncio.current_task()])  # type: ignore[assignment]
        projector.moved_at[one.partition] = 0.0
        watching = asyncio.create_task(projector.watch(stuck_after=0.5))
        async with asyncio.timeout(10):
            while not (found := await reader.getmany(timeout_ms=100)):
                pass
            await projector.project(found[one])
            await reader.getmany(timeout_ms=100)
            await asyncio.sleep(2.5)
        assert work.positions[one.partition].next_offset == 1
        assert (await reader.end_offsets([one]))[one] == 2
        assert not watching.done()
        assert projector.detail()["lag"] == 0
        assert await records_left(line.kafka, line.topic, {one.partition: 2}, {one.partition: 1}) == 0
        assert await records_left(line.kafka, line.topic, {one.partition: 2}, {}) == 1
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    finally:
        await reader.stop()


async def test_records_that_were_under_way_when_their_partition_was_stopped_are_read_again_on_release(
    line: Line,
) -> None:
    await line.publish(lines(*(worked("A").of(f"p{n}") for n in range(40))))
    records = await line.records()
    consumer = Consumer()
    projector = Projector(line.kafka, line.pool, line.projecting, line.generation.id)
    projector.subscriber = SimpleNamespace(consumer=consumer)  # type: ignore[assignment]

    async with connected(line.database, "tests") as connection:
        await tables.stop_partition(connection, 1, "a bad deployment")
        await projector.look_at_wishes()
        await projector.project(records)
        assert consumer.paused == {1}
        assert 0 < len((await line.export())["cases"]) < 40
        await tables.release_partition(connection, 1)
    await projector.look_at_wishes()
    assert consumer.paused == set()
    await projector.project([one for one in records if one.partition == 1 and one.offset >= consumer.sought[1]])

    assert len((await line.export())["cases"]) == 40


@dataclass
class Consumer:
    """What a projector asks of a consumer."""

    paused: set[int] = field(default_factory=set)
    sought: dict[int, int] = field(default_factory=dict)

    def pause(self, *parts: TopicPartition) -> None:
        self.paused |= {part.partition for part in parts}

    def resume(self, *parts: TopicPartition) -> None:
        self.paused -= {part.partition for part in parts}

    def seek(self, part: TopicPartition, offset: int) -> None:
        self.sought[part.partition] = offset
