"""A projector that is far behind gathers a stretch of a partition and folds it person by person: the same tables, each thing said once."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from events.partitions import partition_of
from services import tables_writing
from services.log import Outgoing, Record, end_offsets
from services.projector import app as projecting
from services.projector import retrying, stretch, turns
from services.projector.batch import RowsRefused
from services.projector.stretch import Step, Stretching, StretchLost, UnderWay
from services.settings import Settings
from tests.builders import DAY, MONDAY, fold_lines, lines, received, refusing, registered, said, tick, worked
from tests.faults.plan import log_of, to_nobody
from tests.integration.test_line import same_as_fold
from tests.line import Line


async def by_stretches(line: Line, size: int) -> None:
    """All that the tables do not hold, each partition by so many records at a time."""
    records = await line.records()
    for number, position in dict(line.projecting.positions).items():
        left = [record for record in records if record.partition == number and record.offset >= position.next_offset]
        for start in range(0, len(left), size):
            await line.projecting.take_far({number: (some := left[start : start + size])}, {}, to_nobody)
            if number in line.projecting.gathering:
                await line.projecting.take_gathered(number, to_nobody)
            assert line.projecting.positions[number].next_offset == some[-1].offset + 1
    await line.projecting.settle()


async def what_was_said(line: Line) -> None:
    """Every open finding that is no old history was said and is raised, no other is; nothing is said twice, or without the one before."""
    findings = await line.fetch("select id from parcours.finding where is_open and not is_old order by id")
    raised = await line.fetch("select finding as id from parcours.announced where is_raised order by finding")
    assert raised == findings
    # what was to be said of people who were erased is not said, and leaves gaps: nobody is erased in this establishment
    told = await line.fetch(
        "select number, finding, act, value from parcours.outbox where tenant = 'north' order by number"
    )
    assert [row["number"] for row in told] == list(range(1, len(told) + 1))
    states: dict[str, str] = {}
    for row in told:
        assert (row["act"] == "raised") == (states.get(row["finding"], "resolved") == "resolved"), row
        states[row["finding"]] = row["act"]
    assert len({bytes(row["value"]) for row in told}) == len(told)


@pytest.mark.parametrize(("seed", "size", "part"), [(1, 1_000, 4_000), (2, 40, 1), (3, 7, 3), (4, 200, 10), (5, 1, 1)])
async def test_by_stretches_the_tables_are_the_fold(
    line: Line, monkeypatch: pytest.MonkeyPatch, seed: int, size: int, part: int
) -> None:
    monkeypatch.setattr(stretch, "PART", part)
    monkeypatch.setattr(stretch, "ASKED", max(1, part // 2))
    monkeypatch.setattr(stretch, "AT_HAND", max(1, part // 4))
    log = log_of(Random(seed), 200)
    await line.publish(log)
    await by_stretches(line, size)

    await same_as_fold(line, log)
    await what_was_said(line)


@pytest.mark.parametrize("keeps_from", [1, 5, 64])
async def test_by_stretches_and_batches_in_turn_the_tables_are_the_fold(line: Line, keeps_from: int) -> None:
    random, log = Random(6), list[bytes]()
    line.projecting.keeps_from = keeps_from
    for some in (log_of(random, 60), log_of(random, 90), log_of(random, 70)):
        log += some
        await line.publish(some)
        await (line.project(random) if len(log) % 2 else by_stretches(line, 30))
    await by_stretches(line, 10)

    await same_as_fold(line, log)
    await what_was_said(line)


async def test_somebody_whose_record_has_another_key_is_not_told_of_the_same_thing_twice(line: Line) -> None:
    for raw in lines(*(worked(d) for d in "ABA"), worked("B"), tick("2026-03-20T00:00:00Z")):
        number = partition_of(b"default|p1", line.partitions)
        is_last = b'"f-0004"' in raw
        await line.write(Outgoing(raw, b"default|p2" if is_last else b"default|p1", number))
    await by_stretches(line, 1_000)

    told = await line.fetch("select finding, act from parcours.outbox order by number")
    assert [(row["finding"].partition(":")[0], row["act"]) for row in told] == [
        ("bounced_case", "raised"),
        ("bounced_case", "revised"),
        ("bounced_case", "revised"),
    ]


async def test_a_deadline_between_two_facts_of_a_stretch_is_found_and_said_at_its_time(line: Line) -> None:
    answered = said("claim.answered", claim="k1").on(MONDAY + 90 * DAY)
    await line.publish(
        lines(registered(), received("m1").on(MONDAY + 60 * DAY), answered, tick("2026-12-01T00:00:00Z"))
    )
    await by_stretches(line, 1_000)

    (found,) = await line.fetch("select is_open, shown_at from parcours.finding where kind = 'unanswered_claim'")
    assert (found["is_open"], found["shown_at"] < MONDAY + 60 * DAY) == (False, True)
    acts = await line.fetch("select act from parcours.outbox where finding like 'unanswered_claim%' order by number")
    assert [row["act"] for row in acts][:: len(acts) - 1] == ["raised", "resolved"]


async def test_what_postgres_refuses_of_a_stretch_is_parked_once_it_is_read_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "bad")
    facts = [worked(d).of(p).named(f"{p}{n}") for p in ("p1", "p2", "p3") for n, d in enumerate("ABAC")]
    log = lines(*facts[:7], worked("X").of("p2").named("bad"), *facts[7:], tick("2026-09-01T00:00:00Z"))
    await line.publish(log)
    for _ in range(2):
        try:
            await by_stretches(line, 1_000)
        except RowsRefused:
            await line.projecting.take(range(line.partitions))

    expected = fold_lines([one for one in log if b'"bad"' not in one], line.policy)
    assert (await line.export())["cases"] == expected["cases"]
    assert [row["code"] for row in await line.fetch("select code from parcours.parked")] == ["table"]
    assert line.projecting.registry.get_sample_value("parcours_parked_total", {"reason": "table"}) == 1
    async with line.pool.acquire() as connection:
        assert (await retrying.retry(connection, clock_rule=False))["tried"] == 0


async def test_a_stretch_that_failed_for_a_moment_or_is_wanted_elsewhere_is_read_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(Random(9), 120)
    await line.publish(log)
    records = await line.records()
    number = records[0].partition
    some = [record for record in records if record.partition == number]
    again = partial(line.projecting.take_far, {number: some}, {number: some[-1].offset + 1}, to_nobody)
    honest = tables_writing.write
    monkeypatch.setattr(tables_writing, "write", away)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await again()
    monkeypatch.setattr(tables_writing, "write", honest)
    with pytest.raises(StretchLost):
        await again()
    await line.projecting.take(range(line.partitions))
    line.projecting.interrupt()
    with pytest.raises(StretchLost):
        await again()
    assert await line.fetch("select 1 from parcours.timeline") == []

    await line.projecting.take(range(line.partitions))
    await by_stretches(line, 1_000)
    await same_as_fold(line, log)
    await what_was_said(line)


async def away(*args: object, **how: object) -> None:
    raise asyncpg.ConnectionDoesNotExistError("away")


def held_back(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Nothing is written before this is set."""
    gate, honest = asyncio.Event(), tables_writing.write

    async def write(*args: Any, **how: Any) -> None:
        await gate.wait()
        await honest(*args, **how)

    monkeypatch.setattr(tables_writing, "write", write)
    return gate


async def by_partition(line: Line) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in await line.records():
        found.setdefault(record.partition, []).append(record)
    return dict(sorted(found.items()))


async def test_while_one_stretch_is_written_the_next_is_gathered(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(Random(11), 200)
    await line.publish(log)
    (one, some), (other, more), *rest = (await by_partition(line)).items()
    ends = {one: some[-1].offset + 1, other: more[-1].offset + 1}
    gate = held_back(monkeypatch)

    async with asyncio.timeout(5):
        await line.projecting.take_far({one: some}, ends, to_nobody, goes_on=True)
        await line.projecting.take_far({other: more[:-1]}, ends, to_nobody, goes_on=True)
    assert line.projecting.wanted_from(one) == ends[one]
    assert line.projecting.wanted_from(other) == more[-1].offset
    assert await line.fetch("select 1 from parcours.timeline") == []

    gate.set()
    await line.projecting.take_far({one: some, other: more[-1:]}, ends, to_nobody, goes_on=True)
    await line.projecting.landed()
    assert [line.projecting.positions[number].next_offset for number in (one, other)] == list(ends.values())
    for number, left in rest:
        await line.projecting.project({number: left})
    await line.projecting.settle()
    await same_as_fold(line, log)
    await what_was_said(line)


@pytest.mark.parametrize("what", ["a near partition", "what is due", "more of the same"])
async def test_nothing_else_is_done_before_a_stretch_under_way_has_landed(
    line: Line, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    log = lines(*(worked(d, case=f"c{n}").named(f"{n}{d}").of(f"p{n % 9}") for n in range(40) for d in "ABA"))
    await line.publish(log)
    (one, some), *rest = (await by_partition(line)).items()
    half = len(some) // 2
    gate = held_back(monkeypatch)
    await line.projecting.take_far({one: some[:half]}, {one: some[half].offset}, to_nobody, goes_on=True)
    step = {
        "a near partition": lambda: line.projecting.take_in(dict(rest)),
        "what is due": line.projecting.settle,
        "more of the same": lambda: line.projecting.take_far({one: some[half:]}, {one: 10**6}, to_nobody),
    }[what]
    waiting = asyncio.ensure_future(step())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    assert line.projecting.positions[one].next_offset == 0

    gate.set()
    await waiting
    assert line.projecting.positions[one].next_offset == some[half].offset
    await line.projecting.landed()
    await by_stretches(line, 1_000)
    await same_as_fold(line, log)
    await what_was_said(line)


@pytest.mark.parametrize("how", ["let go", "interrupted", "away for a moment"])
async def test_a_stretch_under_way_that_does_not_land_is_read_again(
    line: Line, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log = log_of(Random(13), 200)
    await line.publish(log)
    (one, some), (other, more), *_ = (await by_partition(line)).items()
    ends = {one: some[-1].offset + 1, other: more[-1].offset + 1}
    monkeypatch.setattr(stretch, "PART", 5)
    honest, gate = tables_writing.write, held_back(monkeypatch)
    await line.projecting.take_far({one: some}, ends, to_nobody, goes_on=True)
    if how == "let go":
        line.projecting.let_go()
        assert line.projecting.gathering == {}.keys()
        await line.projecting.landed()
        gate.set()
        await asyncio.sleep(0.2)  # whoever went on would have written by now
        assert line.projecting._most_under_way == 2  # it was not too long
    elif how == "interrupted":
        line.projecting.interrupt()
        gate.set()
        with pytest.raises(StretchLost):
            await line.projecting.landed()
    else:
        monkeypatch.setattr(tables_writing, "write", away)
        await line.projecting.take_far({other: more[:-1]}, ends, to_nobody, goes_on=True)
        gate.set()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await line.projecting.landed()
        with pytest.raises(StretchLost):
            await line.projecting.take_far({other: more[-1:]}, ends, to_nobody, goes_on=True)
    gate.set()
    monkeypatch.setattr(tables_writing, "write", honest)
    assert await line.fetch("select 1 from parcours.timeline") == []

    await line.projecting.take(range(line.partitions))
    await by_stretches(line, 1_000)
    await same_as_fold(line, log)
    await what_was_said(line)


async def checkpoints(line: Line, *numbers: int) -> list[int]:
    """Where partitions stand in the tables."""
    rows = await line.fetch("select partition, next_offset from parcours.checkpoint")
    at = {row["partition"]: row["next_offset"] for row in rows}
    return [at[number] for number in numbers]


@pytest.fixture
def first_held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """What is written first waits until this is set."""
    gate, honest, calls = asyncio.Event(), tables_writing.write, list[int]()

    async def write(*args: Any, **how: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            await gate.wait()
        await honest(*args, **how)

    monkeypatch.setattr(tables_writing, "write", write)
    yield gate
    gate.set()


async def test_a_stretch_is_folded_while_the_one_before_it_is_written_and_lands_after_it(
    line: Line, first_held_back: asyncio.Event
) -> None:
    log = log_of(Random(17), 200)
    await line.publish(log)
    (one, some), (other, more), (third, most), *rest = (await by_partition(line)).items()
    ends = {number: found[-1].offset + 1 for number, found in ((one, some), (other, more), (third, most))}

    async with asyncio.timeout(5):
        await line.projecting.take_far({one: some}, ends, to_nobody, goes_on=True)
        await line.projecting.take_far({other: more}, ends, to_nobody, goes_on=True)
    waiting = asyncio.ensure_future(line.projecting.take_far({third: most}, ends, to_nobody, goes_on=True))
    async with asyncio.timeout(10):
        while line.projecting.spent.facts <= len(some):  # noqa: ASYNC110 - until the second one is folded, and written
            await asyncio.sleep(0.05)
    assert await checkpoints(line, one, other) == [0, 0]
    assert not waiting.done()  # a third one is not begun
    assert line.projecting.is_stretching

    first_held_back.set()
    await waiting
    assert await checkpoints(line, one) == [ends[one]]
    await line.projecting.landed()
    assert not line.projecting.is_stretching
    assert await checkpoints(line, one, other, third) == [ends[one], ends[other], ends[third]]
    for number, left in rest:
        await line.projecting.project({number: left})
    await line.projecting.settle()
    await same_as_fold(line, log)
    await what_was_said(line)


async def test_with_a_stretch_that_fails_goes_the_one_behind_it_and_then_they_are_taken_one_at_a_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(Random(18), 200)
    await line.publish(log)
    (one, some), (other, more), *_ = (await by_partition(line)).items()
    ends = {one: some[-1].offset + 1, other: more[-1].offset + 1}
    honest, gate, calls = tables_writing.write, asyncio.Event(), list[int]()

    async def write(*args: Any, **how: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            await gate.wait()
            await away()
        await honest(*args, **how)

    monkeypatch.setattr(tables_writing, "write", write)
    await line.projecting.take_far({one: some}, ends, to_nobody, goes_on=True)
    await line.projecting.take_far({other: more}, ends, to_nobody, goes_on=True)
    await asyncio.sleep(0.2)
    gate.set()
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await line.projecting.landed()
    with pytest.raises(StretchLost):
        await line.projecting.landed()
    assert await checkpoints(line, one, other) == [0, 0]
    assert await line.fetch("select 1 from parcours.timeline") == []

    await line.projecting.take(range(line.partitions))
    monkeypatch.setattr(tables_writing, "write", honest)
    gate = held_back(monkeypatch)
    await line.projecting.take_far({one: some}, ends, to_nobody, goes_on=True)
    waiting = asyncio.ensure_future(line.projecting.take_far({other: more}, ends, to_nobody, goes_on=True))
    await asyncio.sleep(0.2)
    is_alone = not waiting.done()
    gate.set()
    await waiting
    assert is_alone
    await line.projecting.landed()
    await by_stretches(line, 1_000)
    await same_as_fold(line, log)
    await what_was_said(line)


async def test_a_merge_in_a_stretch_that_is_written_reaches_those_whom_the_next_one_has_folded(
    line: Line, first_held_back: asyncio.Event
) -> None:
    homes = list(line.homes().items())
    (one, survivor), (other, leaving) = homes[:2]
    merge = said("patient.merged", into=survivor).of(leaving).named("m").on(MONDAY + 2 * DAY)
    facts = [worked(d, case=f"{who}-{d}").named(f"{who}{d}").of(who) for who in (survivor, leaving) for d in "ABC"]
    after = [
        worked(d, case=f"{who}-{d}").named(f"{who}2{d}").of(who).on(MONDAY + 3 * DAY)
        for who in (survivor, leaving)
        for d in "ABC"
    ]
    log = lines(*facts, merge, *after)
    await line.publish(log)
    found = await by_partition(line)
    ends = {number: found[number][-1].offset + 1 for number in (one, other)}

    # the merge lies in the leaving person's partition: that one is on its way first, and nobody knows of the merge yet
    await line.projecting.take_far({other: found[other]}, ends, to_nobody, goes_on=True)
    await line.projecting.take_far({one: found[one]}, ends, to_nobody, goes_on=True)
    await asyncio.sleep(0.2)
    assert await checkpoints(line, one, other) == [0, 0]
    first_held_back.set()
    await line.projecting.landed()
    await by_stretches(line, 1_000)
    await same_as_fold(line, log)
    await what_was_said(line)


async def test_a_file_that_a_record_under_another_key_was_folded_into_last_is_not_kept(line: Line) -> None:
    line.projecting.keeps_from = 1
    number, patient = next(iter(line.homes().items()))
    other = next(
        f"p{n}" for n in range(100) if f"p{n}" != patient and partition_of(f"default|p{n}".encode(), line.partitions) == number
    )  # fmt: skip
    log = lines(*(worked(d, case=who).named(f"{who}{d}").of(who) for who in (patient, other) for d in "AB"))
    stray = lines(worked("A", case=patient).named("stray").of(patient).on(MONDAY + DAY))
    await line.publish(log)
    await line.write(Outgoing(stray[0], f"default|{other}".encode()))
    some = (await by_partition(line))[number]

    await line.projecting.take_far({number: some}, {number: some[-1].offset + 1}, to_nobody)
    assert [held.file.patient for held in line.projecting.memory] == [other]

    more = lines(*(worked(d, case=patient).named(f"later{d}").of(patient).on(MONDAY + 2 * DAY) for d in "BA"))
    await line.publish(more)
    await line.project()
    await by_stretches(line, 1_000)
    await same_as_fold(line, [*log, *stray, *more])
    await what_was_said(line)


async def test_of_long_files_no_more_are_kept_than_half_of_what_may_be_held(line: Line) -> None:
    line.projecting = await line.projector(held_facts=20)
    line.projecting.keeps_from = 1
    number, patient = next(iter(line.homes().items()))
    all_of_it = [f"p{n}" for n in range(60) if partition_of(f"default|p{n}".encode(), line.partitions) == number]
    await line.publish(lines(*(worked(d, case=who).named(f"{who}{d}").of(who) for who in all_of_it for d in "AB")))
    some = (await by_partition(line))[number]

    await line.projecting.take_far({number: some}, {number: some[-1].offset + 1}, to_nobody)

    assert patient in all_of_it
    assert len(all_of_it) > 6
    assert sum(len(held.file.known) for held in line.projecting.memory) == 10


async def test_a_stretch_that_waits_for_the_one_before_it_does_not_look_like_a_frozen_owner(
    line: Line, monkeypatch: pytest.MonkeyPatch, first_held_back: asyncio.Event
) -> None:
    monkeypatch.setattr(stretch, "STIRS_EVERY", 0.05)
    await line.publish(log_of(Random(19), 200))
    (one, some), (other, more), *_ = (await by_partition(line)).items()
    ends = {one: some[-1].offset + 1, other: more[-1].offset + 1}
    await line.projecting.take_far({one: some}, ends, to_nobody, goes_on=True)
    await line.projecting.take_far({other: more}, ends, to_nobody, goes_on=True)
    await asyncio.sleep(1)

    idle = await line.fetch(
        "select extract(epoch from now() - state_change)::float as since from pg_stat_activity"
        " where datname = current_database() and state = 'idle in transaction' and query = 'select 1'"
    )
    assert len(idle) == 1  # the other one waits in the test
    assert idle[0]["since"] < 0.8
    first_held_back.set()
    await line.projecting.landed()


async def test_long_files_are_kept_once_their_stretch_has_landed_and_not_before(
    line: Line, first_held_back: asyncio.Event
) -> None:
    number, patient = next(iter(line.homes().items()))
    short = next(
        f"p{n}"
        for n in range(100)
        if f"p{n}" != patient and partition_of(f"default|p{n}".encode(), line.partitions) == number
    )
    facts = [worked("AB"[n % 2], case="c1").named(f"f{n}").of(patient) for n in range(stretch.LONG)]
    log = lines(*facts, worked("A", case="c2").named("s").of(short))
    await line.publish(log)
    some = (await by_partition(line))[number]

    await line.projecting.take_far({number: some}, {number: some[-1].offset + 1}, to_nobody, goes_on=True)
    await asyncio.sleep(0.2)
    assert list(line.projecting.memory) == []
    first_held_back.set()
    await line.projecting.landed()
    assert [held.file.patient for held in line.projecting.memory] == [patient]

    more = lines(*(worked("AB"[n % 2], case="c1").named(f"g{n}").of(patient).on(MONDAY + DAY * 30) for n in range(4)))
    await line.publish(more)
    await line.project()
    await by_stretches(line, 1_000)
    await same_as_fold(line, [*log, *more])
    await what_was_said(line)


async def test_no_more_is_gathered_than_a_stretch_has(line: Line) -> None:
    line.projecting = await line.projector(held_facts=5)
    log = lines(
        *(worked(d, case=f"c{n}").named(f"{n}{d}") for n in range(8) for d in "ABA"), tick("2026-04-01T00:00:00Z")
    )
    await line.publish(log)
    number = partition_of(b"default|p1", line.partitions)
    some = [record for record in await line.records() if record.partition == number]
    size = stretch.even(len(some), 10)
    for n, record in enumerate(some[:size]):
        assert line.projecting.wanted_from(number) == record.offset == n
        await line.projecting.take_far({number: [record]}, {number: len(some)}, to_nobody)

    assert line.projecting.gathering == {}.keys()
    assert line.projecting.positions[number].next_offset == size
    await line.projecting.take_far({number: some[size:]}, {number: len(some)}, to_nobody)
    assert line.projecting.positions[number].next_offset == len(some)
    measured = line.projecting.registry.get_sample_value
    assert measured("parcours_next_offset", {"partition": str(number)}) == len(some)
    assert measured("parcours_facts_total") == 24
    await line.projecting.settle()
    await by_stretches(line, 1_000)
    await same_as_fold(line, log)


@pytest.mark.parametrize(
    ("left", "most", "size"),
    [(0, 10, 10), (9, 10, 10), (12, 10, 12), (16, 10, 8), (25, 10, 12), (39, 10, 9), (-5, 10, 10)],
)
def test_stretches_are_alike(left: int, most: int, size: int) -> None:
    assert stretch.even(left, most) == size


async def test_a_projector_far_behind_catches_up_by_stretches_while_facts_go_on_coming(
    line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[int] = []
    honest = Stretching.take_stretch

    async def take_stretch(self: Stretching, one: UnderWay, step: Step) -> None:
        taken.append(one.some.records)
        await honest(self, one, step)

    monkeypatch.setattr(Stretching, "take_stretch", take_stretch)
    monkeypatch.setattr(projecting, "EVENTS", line.topic)
    monkeypatch.setattr(projecting, "GROUP", f"group-of-{line.topic}")
    monkeypatch.setattr(turns, "FAR", 30)
    random = Random(7)
    log = log_of(random, 600)
    await line.publish(log)
    one, stop = Settings(tmp_path, max_records=40, held_facts=150), asyncio.Event()
    running = asyncio.create_task(projecting._run(one, line.kafka, line.pool, 1, stop, clock_rule=False))
    try:
        async with asyncio.timeout(60):
            for _ in range(5):
                log += (some := log_of(random, 20))
                await line.publish(some)
            ends = await end_offsets(line.kafka, line.topic)
            while running.done() or await still_to_come(line, ends):
                assert not running.done(), running.exception()
                await asyncio.sleep(0.1)
    finally:
        stop.set()
        await running

    assert max(taken) >= 100
    await same_as_fold(line, log)
    await what_was_said(line)


async def still_to_come(line: Line, ends: dict[int, int]) -> bool:
    """Whether the tables are behind some offsets, or facts are on their way between partitions."""
    at = await line.fetch("select partition, next_offset from parcours.checkpoint")
    left = await line.fetch("select 1 from parcours.inbox limit 1")
    return bool(left) or any(row["next_offset"] < ends[row["partition"]] for row in at)
