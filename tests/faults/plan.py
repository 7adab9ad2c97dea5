"""Faults by seed: what may go wrong between a batch and its commit, and the line that must not notice."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction

from services.log import Record
from services.projector.batch import Projecting
from services.projector.stretch import LONG, Stretching, StretchLost
from services.tables import TRANSIENT
from services.tables_projector import FenceLost
from tests.builders import Said, lines, said, tick, worked
from tests.line import Line
from tests.strategies import one

TENANTS, PATIENTS = ("north", "south"), ("p1", "p2", "p3", "p4")


class Killed(RuntimeError):
    """The process died here: nothing after it happens."""


@dataclass
class Tally:
    """What was done to the line, and how long it took to read on."""

    faults: Counter[str] = field(default_factory=Counter)
    worst_recovery: float = 0.0


def log_of(random: Random, size: int) -> list[bytes]:
    """Facts of many people in two establishments: late, doubled, contradicting, merged, voided, erased.

    Merges are undone (voided, or contradicted by a copy recorded earlier) in one of them and people erased in the other: a merge
    undone after an erasure needs a rebuild (docs/decisions/0004).
    """
    told: list[Said] = []
    for number in range(size):
        fact = one(random).of(random.choice(PATIENTS), random.choice(TENANTS)).named(f"f-{random.randrange(size):04d}")
        kind = random.random()
        if kind < 0.03:
            fact = (
                said("patient.merged", into=random.choice(PATIENTS))
                .of(random.choice(PATIENTS), fact.tenant)
                .named(f"m-{number % 5}" if fact.tenant == "north" else f"m-{number}")
            )
        elif kind < 0.04 and fact.tenant == "north":
            fact = (
                said("fact.voided", fact=f"m-{random.randrange(5)}", reason="two people")
                .of(fact.patient, fact.tenant)
                .named(f"v-{number}")
            )
        elif kind > 0.995 and fact.tenant == "south":
            fact = said("patient.erased").of(fact.patient, fact.tenant).named(f"e-{number}")
        told.append(fact)
    made = lines(*told)
    late = [made.pop(random.randrange(len(made))) for _ in range(size // 20)]
    return [
        *made,
        *late,
        *random.sample(made, size // 20),
        b"{not json",
        *lines(tick("2026-09-01T00:00:00Z"), worked("A").of("px", "north")),
    ]


def merges_of(random: Random, size: int) -> list[bytes]:
    """Few people who are one and apart again all the time, each merge and each undoing soon after the other."""
    told: list[Said] = []
    for number in range(size):
        fact = worked(random.choice("ABC"), case=random.choice(("c1", "c2"))).of(random.choice(PATIENTS), "north")
        kind = random.random()
        if kind < 0.12:
            fact = said("patient.merged", into=random.choice(PATIENTS)).of(fact.patient, "north")
        told.append(fact.named(f"m-{number}" if kind < 0.12 else f"w-{number}"))
        if kind < 0.12 and random.random() < 0.7:
            undone = said("fact.voided", fact=f"m-{number}", reason="two people").of(fact.patient, "north")
            told.append(undone.named(f"v-{number}"))
    return lines(*told, tick("2026-09-01T00:00:00Z"))


@asynccontextmanager
async def fault(kind: str) -> AsyncIterator[None]:
    """One fault, armed for one batch."""
    real_finish, real_exit = Projecting._finish, Transaction.__aexit__

    async def killed_before_commit(self: Projecting, connection: Any, work: Any, **how: Any) -> None:
        await real_finish(self, connection, work, **how)
        raise Killed(kind)

    async def away_for_a_moment(self: Projecting, connection: Any, work: Any, **how: Any) -> None:
        Projecting._finish = real_finish  # type: ignore[method-assign]
        await real_finish(self, connection, work, **how)
        raise asyncpg.ConnectionDoesNotExistError(kind)

    async def answer_lost(self: Transaction, *args: Any) -> None:
        await real_exit(self, *args)
        if args[0] is None:
            Transaction.__aexit__ = real_exit  # type: ignore[method-assign]
            raise asyncpg.ConnectionDoesNotExistError(kind)

    try:
        if kind == "killed before commit":
            Projecting._finish = killed_before_commit  # type: ignore[method-assign]
        elif kind == "away for a moment":
            Projecting._finish = away_for_a_moment  # type: ignore[method-assign]
        elif kind == "commit whose answer was lost":
            Transaction.__aexit__ = answer_lost  # type: ignore[method-assign]
        yield
    finally:
        Projecting._finish = real_finish  # type: ignore[method-assign]
        Transaction.__aexit__ = real_exit  # type: ignore[method-assign]


KINDS = (
    "none",
    "none",
    "killed before commit",
    "away for a moment",
    "commit whose answer was lost",
    "restarted with nothing in memory",
    "second owner",
)


async def endure(line: Line, random: Random, log: list[bytes], tally: Tally) -> None:
    """Project a log in random batches while things go wrong, until the tables hold all of it."""
    records = await line.records()
    while waiting := [r for r in records if r.offset >= line.projecting.positions[r.partition].next_offset]:
        some = line.next_records(waiting, random.randrange(1, 80), random)
        batch: dict[int, list[Record]] = {}
        for record in some:
            batch.setdefault(record.partition, []).append(record)
        kind = random.choice(KINDS)
        started = time.monotonic()
        await _one_batch(line, batch, kind, tally, random)
        tally.worst_recovery = max(tally.worst_recovery, time.monotonic() - started)
    await line.projecting.settle()


async def at_their_own_pace(line: Line, random: Random) -> None:
    """Several owners at once, each of some of the partitions, until the tables hold everything and nothing is under way."""
    records = await line.records()
    numbers = list(range(line.partitions))
    random.shuffle(numbers)
    owners = random.randrange(2, line.partitions + 1)
    while True:
        await asyncio.gather(*(_own(line, records, numbers[n::owners], Random(random.random())) for n in range(owners)))
        left = await line.fetch("select count(*) as n from parcours.inbox")
        if not left[0]["n"]:
            return


async def _own(line: Line, records: list[Record], mine: list[int], random: Random) -> None:
    work = await line.projector(f"owner of {mine}")
    await work.take(mine)
    reads, rests = random.choice((0.3, 0.6, 0.9)), random.choice((0, 0.002, 0.02, 0.1))
    while True:
        waiting = [r for r in records if r.partition in mine and r.offset >= work.positions[r.partition].next_offset]
        if waiting and random.random() < reads:
            number = random.choice([record.partition for record in waiting])
            some = [record for record in waiting if record.partition == number][: random.randrange(1, 30)]
            step = (
                _in_stretches(work, {number: some}, random) if random.random() < 0.3 else work.project({number: some})
            )
        else:
            step = work.settle()
        try:
            await step
        except TRANSIENT:  # two owners in each other's way: what was not committed is done again
            work = await line.projector(f"owner of {mine}")
            await work.take(mine)
        if not waiting:
            return
        await asyncio.sleep(random.random() * rests)


async def _several_on_their_way(work: Projecting, batch: dict[int, list[Record]], random: Random) -> None:
    """A batch in parts, each folded on top of those that are not in the tables yet; what passes is tried again."""
    parts: list[dict[int, list[Record]]] = [{} for _ in range(random.randrange(2, 6))]
    for number, records in batch.items():
        cuts = sorted(random.randrange(len(records) + 1) for _ in parts[1:])
        for part, start, end in zip(parts, [0, *cuts], [*cuts, len(records)], strict=True):
            if start < end:
                part[number] = records[start:end]
    for part in filter(None, parts):
        await _patiently(lambda part=part: work.take_in(part))  # type: ignore[misc]
        await _patiently(work.advance if random.random() < 0.8 else work.settle)
    await _patiently(work.landed)


async def _in_stretches(work: Stretching, batch: dict[int, list[Record]], random: Random) -> None:
    """Each partition's records gathered, in pieces, and folded person by person; what was lost on the way is read again."""
    work.keeps_from = random.choice((1, 4, LONG))
    try:
        for number, records in batch.items():
            cut, ends = random.randrange(len(records) + 1), {number: records[-1].offset + 1}
            for some in filter(None, (records[:cut], records[cut:])):
                goes_on = random.random() < 0.5
                await _patiently(partial(work.take_far, {number: some}, ends, to_nobody, goes_on=goes_on))
                if random.random() < 0.2:
                    await _patiently(work.settle)
                if number in work.gathering and random.random() < 0.2:
                    await _patiently(partial(work.take_gathered, number, to_nobody))
        await _patiently(work.landed)
    except StretchLost:
        await work.take(list(work.positions))


def to_nobody(_: int) -> None:
    """Nobody is told how far it is."""


async def _patiently(step: Callable[[], Awaitable[None]]) -> None:
    try:
        await step()
    except TRANSIENT:
        await step()


async def _one_batch(line: Line, batch: dict[int, list[Record]], kind: str, tally: Tally, random: Random) -> None:
    if kind != "none":
        tally.faults[kind] += 1
    if kind == "restarted with nothing in memory":
        line.projecting = await line.projector("again", held_facts=random_limit(batch))
    second = await line.projector("second") if kind == "second owner" else None
    async with fault(kind):
        try:
            if random.random() < 0.3:
                await _in_stretches(line.projecting, batch, random)
            elif kind == "away for a moment" or random.random() < 0.5:
                await _several_on_their_way(line.projecting, batch, random)
            else:
                await line.projecting.project(batch)
        except Killed:
            line.projecting = await line.projector("after a kill")
            return
    if second is not None:
        try:
            await second.project(batch)
        except FenceLost:
            pass
        else:
            raise AssertionError("a second owner wrote what was written")
    if kind != "restarted with nothing in memory":
        await asyncio.sleep(0)
        return
    await line.projecting.settle()


def random_limit(batch: dict[int, list[Record]]) -> int:
    """A small memory, so that files are let go and loaded again."""
    return 1 + sum(map(len, batch.values())) % 50
