"""Generations: the tables made anew aside, handed over, compared. DESIGN section 5."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from events.envelope import partition_key
from events.partitions import partition_of
from projections.policy import Policy
from services import tables_generations as saved
from services import tables_projector as tables
from services.log import LogUnavailable, end_offsets, first_offsets
from services.log_reading import NOT_READ, LogReader, patiently, reading
from services.projector.filling import SEGMENT, Batches, Filling
from services.projector.held import Memory
from services.projector.records import Reader
from services.projector.spilled import Raw, raws
from services.tables import (
    TRANSIENT,
    Connection,
    Generation,
    NoGeneration,
    Pool,
    active_generation,
    create_generation,
    fold_version,
    generations,
)

AT_ONCE = 500
"""How many records are put together at a time, while the processor has them at hand."""
ROOM = 1.3
"""How much room new tables need, as a multiple of the old ones."""
STILL = 5.0
"""For how many seconds at most the tables in use stand still when others take over."""
LOST = (
    "the log ends before what the tables have read (partitions {beyond}): what lay there is in the tables only. Restore the log's newest"
    " backup; if there is none, add --log-was-lost: new tables are made of what the log still holds, and the old ones are kept."
)
Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """What a rebuild works with: the log, the tables, and how it tells of its progress (records done, of how many).

    `log_was_lost`: the log ends before what the tables have read, and somebody has said to go on with what it holds.
    """

    kafka: str
    pool: Pool
    topic: str
    clock_rule: bool
    step: Step
    postgres: str = ""
    log_was_lost: bool = False


async def begin(one: Rebuilding, policy: Policy | None, *, resume: bool, aside: bool = False) -> Generation:
    """The generation to build: a new one (of the policy in force, if none is given), or with `resume` the unfinished one of a rebuild."""
    async with one.pool.acquire() as connection:
        if resume:
            return await _unfinished(connection, policy)
        partitions = await saved.partitions(connection)
        await _check_log(one)
        if (beyond := await read_beyond(one.kafka, one.topic, connection)) and not one.log_was_lost:
            raise NoGeneration(LOST.format(beyond=beyond))
        if policy is None:
            active = await active_generation(connection)
            policy = active.policy if active else Policy()
        return await create_generation(connection, policy, one.topic, partitions, active=False, aside=aside)


async def _unfinished(connection: Connection, policy: Policy | None) -> Generation:
    """The rebuild to go on with. Raises `NoGeneration` where there is none, or it was to become something else."""
    numbers = await saved.unfinished(connection)
    if not numbers:
        raise NoGeneration("there is no unfinished rebuild to go on with")
    (found,) = [one for one in await generations(connection) if one.id == numbers[-1]]
    if found.fold_version != fold_version(found.policy):
        raise NoGeneration(
            f"generation {found.id} was begun by another version of Parcours: parcours drop {found.id}, then rebuild without --resume"
        )
    if policy is not None and fold_version(policy) != found.fold_version:
        raise NoGeneration(
            f"generation {found.id} was begun with another policy: go on with it without --policy, or parcours drop {found.id}"
        )
    return found


async def room_for_another(one: Rebuilding, home: Path) -> None:
    """New tables stand beside the old ones: is there room? Raises `NoGeneration`."""
    async with one.pool.acquire() as connection:
        active = await active_generation(connection)
        size = 0 if active is None else await saved.size(connection, active.schema)
    free = shutil.disk_usage(home).free
    if free < size * ROOM:
        raise NoGeneration(
            f"new tables need about {size * ROOM / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {home}. "
            "Make room, or remove an old generation: parcours generations, parcours drop ID"
        )


async def _check_log(one: Rebuilding) -> None:
    """A rebuild reads the log from its beginning: it has to be there. Raises `NoGeneration`."""
    begins = {number: at for number, at in (await first_offsets(one.kafka, one.topic)).items() if at > 0}
    if begins:
        raise NoGeneration(
            f"the log does not begin at 0 (partitions {sorted(begins)}): what it lost cannot be rebuilt. "
            "Restore it from a backup first; the tables in use still hold what was read."
        )


async def read_beyond(kafka: str, topic: str, connection: Connection) -> list[int]:
    """The partitions of which the tables have read more than the log holds."""
    reached = await saved.reached(connection)  # before the ends: meanwhile somebody may read on
    ends = await end_offsets(kafka, topic)
    return sorted(number for number, at in reached.items() if at > ends.get(number, 0))


async def index(one: Rebuilding, made: Generation) -> None:
    """The secondary indexes, once everything is in: built at once they cost a fraction."""
    await saved.build_indexes(one.pool, made)
    await saved.look_after(one.pool, made)


def projecting(one: Rebuilding, generation: Generation, partitions: int) -> Filling:
    """A projector of a generation, with nothing in memory."""
    reader = Reader(generation.policy, partitions, one.clock_rule)
    return Filling(one.pool, generation, one.topic, reader, Memory(SEGMENT), f"rebuild-g{generation.id}", speaks=False)


async def fill(one: Rebuilding, generation: Generation, until: Mapping[int, int], *, is_part: bool = False) -> Filling:
    """Fold the log into a generation, from where it stands up to some offsets; it says nothing to anybody.

    As a part of a rebuild in several processes it leaves to the others what crosses partitions, and what falls due.
    """
    async with one.pool.acquire() as connection:
        partitions = await saved.partitions(connection, generation.schema)
    work = projecting(one, generation, partitions)
    await work.take(until)
    left = {number: end for number, end in until.items() if work.positions[number].next_offset < end}
    if left:
        await _read(one, work, left)
    if not is_part:
        await saved.build_keys(one.pool, generation)
        await work.take(until)
        if left := {number: end for number, end in left.items() if work.positions[number].next_offset < end}:
            await _read(one, work, left)
        await work.settle()
    return work


async def _read(one: Rebuilding, work: Filling, left: Mapping[int, int]) -> None:
    """One partition after another: each person's file is complete before their rows are made."""
    total, done = sum(end - work.positions[number].next_offset for number, end in left.items()), 0

    def step(n: int) -> None:
        nonlocal done
        done += n
        one.step(done, total)

    async def batches(whole: LogReader, number: int, start: int) -> Batches:
        some = list[Raw]()
        async with aclosing(whole.batches(number, start, left[number])) as found:
            async for batch in found:
                some += raws(number, batch, start, left[number])
                if len(some) >= AT_ONCE:
                    yield some
                    some = []
        if some:
            yield some

    try:
        async with reading(one.kafka, one.topic) as whole:
            for number in left:
                await work.fill(number, partial(batches, whole, number), step)
    except NOT_READ as wrong:
        raise LogUnavailable(f"the log at {one.kafka} cannot be read on: {wrong!r}") from wrong


async def rebuild(one: Rebuilding, policy: Policy | None, *, resume: bool = False, processes: int = 1) -> Generation:
    """A new generation, built beside the old one and handed over; readers never see it half-built."""
    made = await begin(one, policy, resume=resume)
    until = await _ends(one)
    await _fill_parts(one, made, until, processes)
    async with one.pool.acquire() as connection:
        at = await saved.reached(connection, made.schema)
    await saved.build_keys(one.pool, made)
    if any(end > at[number] for number, end in until.items()):  # Postgres refused a row there: its people are read back
        await _fill_parts(one, made, until, processes)
    await index(one, made)
    await fill(one, made, until)
    return await hand_over(one, made)


async def _ends(one: Rebuilding) -> dict[int, int]:
    """Where the log ends, asked again while it is away."""
    return await patiently(partial(end_offsets, one.kafka, one.topic))


async def _fill_parts(one: Rebuilding, made: Generation, until: Mapping[int, int], processes: int) -> None:
    if processes > 1:
        await fill_in_processes(one, made, until, processes)
    else:
        await fill(one, made, until, is_part=True)


async def fill_in_processes(one: Rebuilding, made: Generation, until: Mapping[int, int], processes: int) -> None:
    """Partitions shared among processes of their own: each is a whole fold, only merged persons cross them."""
    async with one.pool.acquire() as connection:
        at = await saved.reached(connection, made.schema)
    left = sorted(until, key=lambda number: at[number] - until[number])
    total = sum(max(0, until[number] - at[number]) for number in until)
    shares = [left[n::processes] for n in range(processes)]
    done = [0] * processes

    async def work(n: int, share: list[int]) -> None:
        wish = {"generation": made.id, "until": {str(number): until[number] for number in share}}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.projector.part", one.topic, "clock" if one.clock_rule else "no-clock",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PARCOURS_KAFKA": one.kafka, "PARCOURS_POSTGRES": one.postgres},
        )  # fmt: skip
        try:
            assert process.stdin is not None  # noqa: S101 - it was asked for
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(orjson.dumps(wish))
            process.stdin.close()
            async for row in process.stdout:
                done[n] = int(row)
                one.step(sum(done), total)
            if await process.wait() != 0:
                raise NoGeneration(
                    f"a process of the rebuild ended with {process.returncode}: parcours rebuild --resume"
                )
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    try:
        async with asyncio.TaskGroup() as group:
            for n, share in enumerate(shares):
                if share:
                    group.create_task(work(n, share))
    except ExceptionGroup as ended:
        told, others = ended.split(NoGeneration)
        if told is None or others is not None:
            raise
        raise NoGeneration(str(told.exceptions[0])) from None


async def hand_over(one: Rebuilding, made: Generation, tries: int = 20) -> Generation:
    """Catch up, then switch in one transaction, in which the old generation stands still and the new one reads what is left.

    The projectors say what is different now: as soon as they see that the generation has changed.
    """
    for _ in range(tries):
        with suppress(*TRANSIENT):  # a projector may be in the middle of a long batch, or erase what is caught up on
            await fill(one, made, await _ends(one))
            if (active := await _switch(one, made)) is not None:
                return active
        await asyncio.sleep(0.1)
    raise NoGeneration(
        "the new tables could not catch up with the old ones: is the load too high? parcours rebuild --resume"
    )


async def _switch(one: Rebuilding, made: Generation) -> Generation | None:
    async with one.pool.acquire() as connection, connection.transaction():
        old = await active_generation(connection)
        if old is not None:
            await saved.stand_still(connection, old)
            try:
                async with asyncio.timeout(STILL):
                    until = await saved.reached(connection, old.schema)
                    if one.log_was_lost:
                        ends = await end_offsets(one.kafka, one.topic)
                        until = {number: min(at, ends[number]) for number, at in until.items()}
                    await fill(one, made, until)
            except TimeoutError:
                return None
        await saved.activate(connection, made)
        await _have_said(connection, made)
        await saved.show(connection, made)
        return Generation(made.id, made.fold_version, made.policy, "active")


async def _have_said(connection: Connection, made: Generation) -> None:
    """What the new tables find and nobody was told, and the reverse: their new owners look at those persons, and say it once."""
    partitions = await saved.partitions(connection, made.schema)
    persons = await saved.unsaid(connection, made)
    at = [partition_of(partition_key(*person).encode(), partitions) for person in persons]
    await tables.look_again(
        connection, made.schema, [(number, *person) for number, person in zip(at, persons, strict=True)]
    )
