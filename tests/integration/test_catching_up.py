"""A projector that is far behind, and what goes wrong on its way: nothing is lost, nothing said twice, nobody stuck."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition

from events.partitions import partition_of
from services import tables_projector
from services.log import Record
from services.projector import owning, stretch
from services.projector import projector as projecting
from services.projector.batch import Flight, RowsRefused
from services.projector.encoding import HEAD
from services.projector.loading import BreakerOpened
from services.projector.projector import Projector
from services.projector.stretch import Stretching, StretchLost
from services.tables import Connection, connected
from services.tables_projector import FenceLost
from tests.builders import DAY, MONDAY, Said, lines, paused, refusing, registered, said, tick, unfoldable, worked
from tests.faults.plan import to_nobody
from tests.integration.test_stretch import by_stretches
from tests.line import Line


class Consumer:
    """What a projector asks of Kafka's consumer."""

    def __init__(self) -> None:
        self.paused: set[int] = set()
        self.at: dict[int, int] = {}

    def pause(self, *some: TopicPartition) -> None:
        self.paused |= {one.partition for one in some}

    def resume(self, *some: TopicPartition) -> None:
        self.paused -= {one.partition for one in some}

    def seek(self, one: TopicPartition, at: int) -> None:
        self.at[one.partition] = at

    def assignment(self) -> set[TopicPartition]:
        return set()


class Whole:
    """A projector with partition 0 far behind, and what Kafka hands out to it."""

    def __init__(self, line: Line, records: list[Record], far: int | None = 0) -> None:
        self.line, self.records, self.consumer = line, records, Consumer()
        self.projector = Projector(line.kafka, line.pool, line.projecting, line.generation.id, clock_rule=False)
        self.projector.subscriber = SimpleNamespace(consumer=self.consumer, tasks=[1])  # type: ignore[assignment]
        numbers = range(line.partitions)
        self.projector.ends = {number: sum(record.partition == number for record in records) for number in numbers}
        self.consumer.at = {number: line.projecting.positions[number].next_offset for number in numbers}
        if far is not None:
            self.projector.turns.reading = {far}

    def next_records(self, size: int) -> list[Record]:
        """The next of each partition that is not paused."""
        some: list[Record] = []
        for number, at in self.consumer.at.items():
            mine = [record for record in self.records if record.partition == number and record.offset >= at][:size]
            if mine and number not in self.consumer.paused:
                self.consumer.at[number] = mine[-1].offset + 1
                some += mine
        return some

    async def run(self, size: int = 10) -> None:
        """Until Kafka has nothing more; raises what the projector failed of."""
        while some := self.next_records(size):
            await self.projector.project(some)
            if self.projector._failed.done():
                self.projector._failed.result()
        await self.line.projecting.settle()

    async def release(self, number: int) -> None:
        """`parcours parked resume`."""
        async with self.line.pool.acquire() as connection:
            await tables_projector.release_partition(connection, number)
        await self.projector.look_at_wishes()


async def whole(line: Line, *facts: Said, far: int | None = 0) -> Whole:
    await line.publish(lines(*facts))
    return Whole(line, await line.records(), far)


def far_and_near(line: Line, n: int = 60) -> list[Said]:
    """So many facts of somebody in partition 0, and as many of somebody in partition 1."""
    return [
        *(worked("ABAC"[k % 4], case=f"c{k // 4}").of(line.homes()[0]).named(f"f{k:03}") for k in range(n)),
        *(worked("ABAC"[k % 4]).of(line.homes()[1]).named(f"n{k:03}") for k in range(n)),
    ]


async def held(line: Line) -> dict[str, int]:
    """How many facts of each patient are in the tables."""
    rows = await line.fetch("select patient, count(*) as n from parcours.timeline group by patient")
    return {row["patient"]: row["n"] for row in rows}


def failing(times: Sequence[int], honest: Callable[..., Any], wrong: Callable[[], Exception]) -> Callable[..., Any]:
    """A function that raises when it is called for the n-th time."""
    n = 0

    async def call(*args: Any, **how: Any) -> Any:
        nonlocal n
        n += 1
        if n in times:
            raise wrong()
        return await honest(*args, **how)

    return call


async def test_what_is_gathered_of_one_partition_is_read_again_when_another_has_a_row_refused(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "n025")
    one = await whole(line, *far_and_near(line))
    await one.run()

    assert await held(line) == {line.homes()[0]: 60, line.homes()[1]: 59}


async def test_what_is_gathered_of_one_partition_is_read_again_when_the_fence_of_another_is_lost(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables_projector, "move", failing([3], tables_projector.move, lambda: FenceLost("once")))
    one = await whole(line, *far_and_near(line))
    await one.run()

    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 60)


async def test_what_is_gathered_of_a_partition_that_is_stopped_is_read_again_when_it_is_released(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = failing([3], line.projecting.settle, lambda: BreakerOpened(0, "ValueError"))
    monkeypatch.setattr(line.projecting, "settle", opened)
    one = await whole(line, *far_and_near(line))
    await one.run()
    assert one.projector.stopped == {0}
    await one.release(0)
    await one.run()

    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 60)


async def test_what_was_fetched_before_going_back_is_not_gathered_behind_the_gap(line: Line) -> None:
    one = await whole(line, *far_and_near(line))
    for _ in range(2):
        await one.projector.project(one.next_records(10))
    late = one.next_records(10)  # handed out, and waiting while somebody goes back
    await one.projector._stand_again()
    await one.projector.project(late)
    await one.run()

    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 60)


async def test_what_was_fetched_before_going_back_is_not_folded_behind_the_gap(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, honest = asyncio.Event(), Stretching._write

    async def write(self: Stretching, flight: Flight) -> None:
        await written.wait()
        await honest(self, flight)

    monkeypatch.setattr(Stretching, "_write", write)
    monkeypatch.setattr(projecting, "FULL", 1)
    line.projecting._settled_at = time.monotonic()
    one = await whole(line, *far_and_near(line), far=None)
    for _ in range(2):
        await one.projector.project(one.next_records(10))
    late = one.next_records(10)
    line.projecting._discard()  # as when a row of what is on its way is refused
    written.set()
    await one.projector._stand_again()
    await one.projector.project(late)
    await one.run()

    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 60)


async def test_a_gap_that_is_the_logs_own_is_passed(line: Line) -> None:
    one = await whole(line, *far_and_near(line))
    one.records = [record for record in one.records if not 20 <= record.offset < 30]
    await one.run()

    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 50)


@pytest.mark.parametrize("why", [StretchLost, RowsRefused, FenceLost])
async def test_going_back_is_tried_again_when_the_database_is_away(
    line: Line, monkeypatch: pytest.MonkeyPatch, why: type[Exception]
) -> None:
    one = await whole(line, *far_and_near(line))
    away = failing([1], tables_projector.positions, lambda: asyncpg.ConnectionDoesNotExistError("away"))
    monkeypatch.setattr(tables_projector, "positions", away)

    async def step() -> None:
        raise why("for once")

    assert not await one.projector._with_patience(step)
    assert sorted(line.projecting.positions) == [0, 1, 2]
    await one.run()
    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 60)


async def test_two_partitions_with_something_gathered_and_a_lost_fence(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await whole(line, *far_and_near(line))
    records = {n: [record for record in one.records if record.partition == n] for n in (0, 1)}
    for number, some in records.items():
        await line.projecting.take_far({number: some}, {number: 99}, to_nobody)
    monkeypatch.setattr(tables_projector, "move", failing([1], tables_projector.move, lambda: FenceLost("once")))
    one.projector.moved_at = dict.fromkeys(range(3), asyncio.get_running_loop().time() - 10)
    await one.projector._take_what_is_gathered()
    await one.run()

    assert await held(line) == dict.fromkeys((line.homes()[0], line.homes()[1]), 60)


async def test_after_a_breaker_opened_in_a_stretch_what_can_be_kept_is_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [f"q{n}" for n in range(2_000) if partition_of(f"default|q{n}".encode(), line.partitions) == 0][:300]
    unfoldable(monkeypatch, "sick")
    facts = [worked("A", case="well" if n % 12 else "sick").of(person).named(person) for n, person in enumerate(people)]
    one = await whole(line, *facts)
    reached = []
    for _ in range(3):
        await one.run(50)
        reached.append(line.projecting.positions[0].next_offset)
        await one.release(0)

    assert reached[0] == 0 < reached[1] < reached[2] == one.projector.ends[0]
    assert set(await held(line)) == set(people)


async def test_a_stretch_that_takes_too_long_is_tried_again_shorter(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "LONGEST", 0.5)
    monkeypatch.setattr(stretch, "SHORTEST", 10)
    monkeypatch.setattr(stretch, "PART", 10)
    line.projecting = await line.projector(held_facts=200)
    honest = Stretching._finish

    async def slow(self: Stretching, connection: Connection, work: Any, *, doubting: bool = False) -> None:
        await asyncio.sleep(0.05)
        await honest(self, connection, work, doubting=doubting)

    monkeypatch.setattr(Stretching, "_finish", slow)
    people = [f"q{n}" for n in range(2_000) if partition_of(f"default|q{n}".encode(), line.partitions) == 0][:200]
    one = await whole(line, *(worked("A").of(person).named(person) for person in people))
    await one.run(200)

    assert len(await held(line)) == 200


async def test_patience_begins_with_the_first_failure(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owning, "PATIENCE", 0.3)
    one = await whole(line)
    n = 0

    async def step() -> None:
        nonlocal n
        n += 1
        if n == 1:
            await asyncio.sleep(0.4)
            raise asyncpg.LockNotAvailableError("two seconds")

    assert await one.projector._with_patience(step)


async def test_a_finding_that_settles_between_two_facts_of_a_stretch_is_said(line: Line) -> None:
    log = lines(
        registered(), paused("other").on(MONDAY + DAY), said("claim.resumed", claim="k1").on(MONDAY + 3 * DAY),
        tick("2026-03-06T00:00:00Z"),
    )  # fmt: skip
    await line.publish(log)
    await by_stretches(line, 1_000)

    told = await line.fetch("select act from parcours.outbox where finding like 'illegitimate_pause%' order by number")
    assert [row["act"] for row in told] == ["raised", "resolved"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_was_to_be_said_of_somebody_is_not_said_once_they_are_erased(line: Line, *, at_once: bool) -> None:
    await line.publish(lines(*(worked(d) for d in "ABAB"), said("patient.erased"), tick("2026-09-01T00:00:00Z")))
    await (line.project() if at_once else by_stretches(line, 1_000))

    told = await line.fetch("select act from parcours.outbox order by number")
    assert [row["act"] for row in told] == ["resolved"]


@pytest.mark.parametrize("is_copying", [True, False])
async def test_a_frozen_owner_is_ended_by_whoever_waits_for_its_row(
    line: Line, monkeypatch: pytest.MonkeyPatch, *, is_copying: bool
) -> None:
    monkeypatch.setattr(owning, "FROZEN", timedelta(seconds=0.3))
    monkeypatch.setattr(owning, "FROZEN_IN_A_COPY", timedelta(seconds=0.3))
    one, for_ever = await whole(line, worked("A").of(line.homes()[0])), asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        yield HEAD
        await for_ever.wait()

    async def frozen() -> None:
        async with connected(line.database, "projector") as connection, connection.transaction():
            await connection.execute(f"select 1 from {line.generation.schema}.checkpoint for update")
            if is_copying:
                await connection.copy_to_table("outbox", schema_name="parcours", source=never(), format="binary")
            await for_ever.wait()

    owner = asyncio.create_task(frozen())
    await asyncio.sleep(0.5)
    async with asyncio.timeout(10):
        await one.run()
    for_ever.set()
    await asyncio.gather(owner, return_exceptions=True)

    assert await held(line) == {line.homes()[0]: 1}
