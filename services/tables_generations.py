"""Generations of the read tables as Postgres has them: how far they have read, the switch, and what differs. DESIGN section 5."""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any

from services.projector.changes import Person
from services.tables import BEYOND, Connection, Generation, Pool, make_partitions, sql
from services.tables_shapes import TIMELINE

AT_ONCE = 2
INDEX = re.compile(r"index if not exists (\w+)")


async def partitions(connection: Connection, schema: str = "parcours") -> int:
    """How many partitions the tables know; of those in use, or of a generation's."""
    return int(await connection.fetchval(f"select count(*) from {schema}.checkpoint"))


async def reached(connection: Connection, schema: str = "parcours") -> dict[int, int]:
    """The next offset of every partition."""
    rows = await connection.fetch(f"select partition, next_offset from {schema}.checkpoint")
    return {row["partition"]: row["next_offset"] for row in rows}


async def build_indexes(pool: Pool, made: Generation, script: str = "generation_indexes") -> None:
    """The secondary indexes, however long they take."""
    await _all(pool, sql(script, made.schema))


async def look_after(pool: Pool, made: Generation) -> None:
    """Tables that were filled are vacuumed and analysed from now on, as any."""
    await _all(pool, sql("generation_filled", made.schema))


async def build_keys(pool: Pool, made: Generation) -> None:
    """By what rows are written and persons read back; nothing where it is there already."""
    async with pool.acquire() as connection:
        if await has_keys(connection, made):
            return
        await make_partitions(connection, made.schema, await _without_timeline(connection, made))
    await build_indexes(pool, made, "generation_keys")


async def new_timeline(connection: Connection, made: Generation, number: int) -> str:
    """A table for the facts of a partition that has none: nobody sees it before this transaction ends. Where the generation was made
    before there were such tables, or this one is there already, the timeline.
    """
    if number not in await _without_timeline(connection, made):
        return TIMELINE.name
    await connection.execute(sql("generation_partition", made.schema, number))
    return f"{TIMELINE.name}_{number}"


async def attach_timeline(connection: Connection, made: Generation, number: int) -> None:
    """A partition's new table becomes a part of the timeline: until this transaction ends, no other one does, and this one waits for
    those before it, however long they take.
    """
    patience = await connection.fetchval("select current_setting('lock_timeout')")
    await connection.execute("set local lock_timeout = 0")
    await connection.execute(sql("generation_partition_attached", made.schema, number))
    await connection.execute("select set_config('lock_timeout', $1, true)", patience)


async def _without_timeline(connection: Connection, made: Generation) -> list[int]:
    """The partitions whose facts have no table yet; none where the timeline is one table for all, as it was once."""
    rows = await connection.fetch(
        f"select partition from {made.schema}.checkpoint where to_regclass($1 || '_' || partition) is null"
        " and (select relkind = 'p' from pg_class where oid = to_regclass($1)) order by partition",
        f"{made.schema}.{TIMELINE.name}",
    )
    return [row["partition"] for row in rows]


async def _all(pool: Pool, script: str) -> None:
    """Statements that do not need each other, `AT_ONCE` at a time: one leaves a processor idle now and then."""
    left = deque(filter(str.strip, script.split(";")))

    async def some() -> None:
        async with pool.acquire() as connection:
            await connection.execute("set lock_timeout = 0")
            try:
                while left:
                    await connection.execute(left.popleft(), timeout=None)
            finally:
                await connection.execute("set lock_timeout = '2s'")

    under_way = [asyncio.create_task(some()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*under_way)
    finally:
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def has_keys(connection: Connection, made: Generation) -> bool:
    """Whether rows can be changed, and persons read back, without a look at everybody's."""
    names = [f"{made.schema}.{name}" for name in INDEX.findall(sql("generation_keys", made.schema))]
    return bool(
        await connection.fetchval("select bool_and(to_regclass(name) is not null) from unnest($1::text[]) name", names)
    )


async def partitions_with_people(connection: Connection, made: Generation) -> set[int]:
    """The partitions of which somebody has rows, be it by what other partitions left for them."""
    return {row["partition"] for row in await connection.fetch(f"select distinct partition from {made.schema}.patient")}


async def stand_still(connection: Connection, old: Generation) -> None:
    """Until this transaction ends, nobody moves this generation on: its projectors wait for a moment, and try again.

    One of them may be in the middle of a stretch (decision 0013), which is waited for.
    """
    await connection.execute("set local lock_timeout = '60s'")
    await connection.execute(f"select 1 from {old.schema}.checkpoint order by partition for update")
    await connection.execute("set local lock_timeout = '2s'")


async def activate(connection: Connection, made: Generation) -> None:
    """From now on this generation is the one that is read."""
    await connection.execute("update parcours.generation set state = 'old' where state = 'active'")
    await connection.execute("update parcours.generation set state = 'active' where id = $1", made.id)


async def show(connection: Connection, made: Generation) -> None:
    """The views. The last step of a switch: readers wait for what has these locks."""
    await connection.execute(sql("views", made.schema))


async def unsaid(connection: Connection, made: Generation) -> list[Person]:
    """Persons of whom the tables find what nobody was told, or the reverse."""
    rows = await connection.fetch(
        "select distinct tenant, patient from (select coalesce(f.tenant, a.tenant) as tenant, coalesce(f.patient, a.patient) as patient"
        f" from {made.schema}.finding f full join parcours.announced a on a.tenant = f.tenant and a.finding = f.id"
        " where (coalesce(f.is_open, false) and not f.is_old) is distinct from coalesce(a.is_raised, false)"
        " or (a.is_raised and f.level is distinct from a.level)) d order by tenant, patient"
    )
    return [(row["tenant"], row["patient"]) for row in rows]


async def reopen(connection: Connection, before: Generation) -> None:
    """An old generation is built on."""
    await connection.execute("update parcours.generation set state = 'building' where id = $1", before.id)


async def unfinished(connection: Connection, *, aside: bool = False) -> list[int]:
    """Generations whose building was interrupted, or is under way: of rebuilds, or those made `aside` to be compared."""
    rows = await connection.fetch(
        "select id from parcours.generation where state = 'building' and is_aside = $1 order by id", aside
    )
    return [row["id"] for row in rows]


async def move_places(connection: Connection, now: Callable[[int, int], int]) -> None:
    """The records of a log that was put back stand where `now` says, of a partition and an offset: so do those the tables know."""
    for one in await connection.fetch("select 'g' || id as schema from parcours.generation"):
        schema = one["schema"]
        rows = await connection.fetch(f"select partition, next_offset from {schema}.checkpoint")
        await connection.executemany(
            f"update {schema}.checkpoint set next_offset = $2 where partition = $1",
            [(row["partition"], now(row["partition"], row["next_offset"])) for row in rows],
        )
        parked = await connection.fetch(
            f'select partition, "offset" as place from {schema}.parked where "offset" < $1 order by 1, 2', BEYOND
        )
        await connection.executemany(  # one after another, from the lowest on: none takes the place of another
            f'update {schema}.parked set "offset" = $3 where partition = $1 and "offset" = $2',
            [(row["partition"], row["place"], now(row["partition"], row["place"])) for row in parked],
        )


async def size(connection: Connection, schema: str) -> int:
    """How many bytes the tables of a generation take, indexes included."""
    found: int = await connection.fetchval(
        "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind = 'r'",
        schema,
    )
    return found


async def state_of(connection: Connection, number: int) -> str | None:
    """building, active or old; None for a generation that is not there."""
    found: str | None = await connection.fetchval("select state from parcours.generation where id = $1", number)
    return found


async def remove(connection: Connection, number: int) -> None:
    """Its tables, and that it ever was."""
    await connection.execute(f"drop schema if exists g{int(number)} cascade")
    await connection.execute("delete from parcours.generation where id = $1", number)


# -- comparing -------------------------------------------------------------------------------------------------------------

COMPARED = {
    "timeline": "subject, source, id, md5(raw), is_conflicting",
    "patient": "partition, bounced, cases, claims, facts",
    "case_path": "case_id, topic, path, handoffs, hops, distinct_departments, returns, direct_returns, alternation, sterile, carried,"
    " level, bounced, state, department, since, substantive_answer_at",
    "claim": "claim_id, case_id, jurisdiction, t0, state, is_over, unanswered, ladder, chases, answered_at, due_at, answered_late,"
    " department, clocks",
    "contact": "contact_id, at, topic, channel, department, case_id, courtesy",
    "alert_act": "alert, fact, kind, at, by, until, reason",
    "finding": "id, kind, case_id, claim_id, topic, department, level, is_open, opened_at",
}
Digests = dict[str, dict[Person, str]]


async def digests(connection: Connection, schema: str) -> Digests:
    """A digest of every person's rows, table by table."""
    found: Digests = {}
    for table, columns in COMPARED.items():
        rows = await connection.fetch(
            f"select tenant, patient, md5(string_agg(r, '|' order by r)) as digest from"
            f" (select tenant, patient, row({columns})::text as r from {schema}.{table}) t group by tenant, patient"
        )
        found[table] = {(row["tenant"], row["patient"]): row["digest"] for row in rows}
    return found


async def on_their_way(connection: Connection) -> int:
    """Facts between partitions."""
    return int(await connection.fetchval("select count(*) from parcours.inbox"))


async def difference(connection: Connection, now: str, then: str) -> list[dict[str, Any]]:
    """Which findings differ between the tables of two generations, and how."""
    rows = await connection.fetch(
        "select coalesce(n.tenant, o.tenant) as tenant, coalesce(n.id, o.id) as id, coalesce(n.kind, o.kind) as kind,"
        " coalesce(n.patient, o.patient) as patient, o.level as level_now, n.level as level_then, o.is_open as open_now,"
        " n.is_open as open_then, coalesce(n.reasons, o.reasons) as reasons,"
        " case when o.id is null then 'appears' when n.id is null then 'vanishes' else 'changes' end as what"
        f" from {now}.finding o full join {then}.finding n on o.tenant = n.tenant and o.id = n.id"
        " where o.id is null or n.id is null or o.level is distinct from n.level or o.is_open <> n.is_open"
        " order by what, kind, tenant, id"
    )
    return [dict(row) for row in rows]
