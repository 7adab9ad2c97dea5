"""Generations held against each other: verify, what-if; back to the one before, and one let go. DESIGN section 5."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from projections.policy import Policy
from services import tables_generations as saved
from services.projector.changes import Person
from services.projector.rebuild import Rebuilding, begin, fill, hand_over
from services.tables import (
    Connection,
    Generation,
    NoGeneration,
    Pool,
    active_generation,
    fold_version,
    generations,
)
from services.tables_people import one_at_a_time

ARRIVING = 10.0
"""For how many seconds facts between partitions are waited for, as those are on which a rebuild has just taken over."""


@dataclass(slots=True)
class Verdict:
    """What a comparison found: the persons whose rows differ, by table."""

    persons: int = 0
    records: int = 0
    seconds: float = 0.0
    differences: dict[str, list[Person]] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        return not self.differences


async def verify(one: Rebuilding, url_connection: Connection) -> Verdict:
    """Fold the log anew, aside, exactly as far as the tables have read it, and compare."""
    started = time.monotonic()
    while True:
        async with url_connection.transaction(isolation="repeatable_read", readonly=True):
            active = await active_generation(url_connection)
            if active is None:
                raise NoGeneration("there are no read tables yet: parcours up")
            until = await saved.reached(url_connection)
            left = await saved.on_their_way(url_connection)
            before = {} if left else await saved.digests(url_connection, active.schema)
        if not left:
            break
        if time.monotonic() - started > ARRIVING:
            raise NoGeneration(f"{left} facts are on their way between partitions: try again when they have arrived")
        await asyncio.sleep(0.1)
    aside = await begin(one, active.policy, resume=False, aside=True)
    try:
        await fill(one, aside, until)
        async with one.pool.acquire() as connection:
            after = await saved.digests(connection, aside.schema)
    finally:
        await drop(one.pool, aside.id)
    persons = {person for found in before.values() for person in found}
    verdict = Verdict(len(persons), sum(until.values()), time.monotonic() - started)
    for table in saved.COMPARED:
        odd = {p for p in before[table].keys() | after[table].keys() if before[table].get(p) != after[table].get(p)}
        if odd:
            verdict.differences[table] = sorted(odd)
    return verdict


async def what_if(one: Rebuilding, policy: Policy) -> list[dict[str, Any]]:
    """Which findings another policy would open, close or change, without switching to it."""
    aside = await begin(one, policy, resume=False, aside=True)
    try:
        async with one.pool.acquire() as connection:
            until = await saved.reached(connection)
        await fill(one, aside, until)
        async with one.pool.acquire() as connection:
            active = await active_generation(connection)
            assert active is not None  # noqa: S101 - begin has read its checkpoints
            return await saved.difference(connection, active.schema, aside.schema)
    finally:
        await drop(one.pool, aside.id)


async def rollback(one: Rebuilding) -> Generation:
    """Back to the generation before: it catches up, and takes over the same way."""
    async with one.pool.acquire() as connection:
        old = [g for g in await generations(connection) if g.state == "old"]
        if not old:
            raise NoGeneration("there is no older generation to go back to")
        before = old[-1]
        if before.fold_version != fold_version(before.policy):
            raise NoGeneration(
                f"generation {before.id} was made by another version of Parcours, and no projector of this one would go on with it: "
                "parcours rebuild makes the tables anew"
            )
        await saved.reopen(connection, before)
    return await hand_over(one, Generation(before.id, before.fold_version, before.policy, "building"))


async def drop(pool: Pool, number: int) -> None:
    """Remove a generation that is not the active one."""
    async with pool.acquire() as connection, connection.transaction():
        state = await saved.state_of(connection, number)
        if state is None:
            raise NoGeneration(f"there is no generation {number}")
        if state == "active":
            raise NoGeneration(f"generation {number} is the one in use")
        await one_at_a_time(connection)  # whoever erases reaches into every generation that is listed
        await saved.remove(connection, number)
