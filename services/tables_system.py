"""What the tables say of the instance itself: heartbeats, positions, parked records, generations; and what people decide of them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from services.tables import Connection, Pool
from services.tables_alerts import set_setting

Row = dict[str, Any]
UNSEEN = "not p.is_taken and not exists (select 1 from parcours.parked_decision d where d.digest = p.digest)"
"""A parked record that nobody has seen to."""


async def tenants(connection: Connection, limit: int) -> tuple[str, ...]:
    """The establishments there are patients of."""
    rows = await connection.fetch("select distinct tenant from parcours.patient order by tenant limit $1", limit)
    return tuple(row["tenant"] for row in rows)


async def is_known(connection: Connection, tenant: str) -> bool:
    """Whether there is a patient of an establishment."""
    return bool(await connection.fetchval("select exists (select 1 from parcours.patient where tenant = $1)", tenant))


async def heartbeats(connection: Connection) -> list[Row]:
    """What every service of the last day said when it last said that it lives."""
    rows = await connection.fetch(
        "select service, pid, beat_at, detail from parcours.heartbeat where beat_at > now() - interval '1 day' order by service"
    )
    return [dict(row) for row in rows]


async def offsets(connection: Connection) -> dict[int, int]:
    """The next offset of every partition that the tables in use have read up to."""
    rows = await connection.fetch("select partition, next_offset from parcours.checkpoint")
    return {row["partition"]: row["next_offset"] for row in rows}


async def until_read(pool: Pool, partition: int, offset: int, seconds: float) -> bool | None:
    """Wait until the tables include a place in the log; False if they do not in time, None if there is no such partition."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        async with pool.acquire() as connection:
            at = (await offsets(connection)).get(partition)
            left = await connection.fetchval("select exists (select 1 from parcours.inbox)")
        if at is None:
            return None
        if at > offset and not left:
            return True
        if loop.time() > deadline:
            return False
        await asyncio.sleep(0.01)


async def generations(connection: Connection) -> list[Row]:
    """The generations of the read tables, the newest first."""
    rows = await connection.fetch(
        "select id, fold_version, state, created_at, policy from parcours.generation order by id desc"
    )
    return [dict(row) for row in rows]


async def parked(connection: Connection, tenant: str | None, limit: int | None) -> list[Row]:
    """Parked records nobody has seen to, the newest first: of a tenant and of none, or of all."""
    rows = await connection.fetch(
        f'select partition, "offset", code, field, rule, tenant, subject, appended_at from parcours.parked p where {UNSEEN}'
        " and ($1::text is null or tenant is null or tenant = $1)"
        ' order by appended_at desc, partition, "offset" desc limit $2',
        tenant, limit,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def parked_count(connection: Connection) -> int:
    """How many records are parked that nobody has seen to."""
    return int(await connection.fetchval(f"select count(*) from parcours.parked p where {UNSEEN}"))


async def parked_elsewhere(connection: Connection, tenant: str) -> dict[str, int]:
    """How many records that nobody has seen to are parked in each other establishment."""
    rows = await connection.fetch(
        f"select tenant, count(*) as n from parcours.parked p where {UNSEEN} and tenant <> $1 group by tenant order by tenant", tenant
    )  # fmt: skip
    return {row["tenant"]: row["n"] for row in rows}


async def parked_one(connection: Connection, partition: int, offset: int) -> Row | None:
    """One parked record, whole."""
    row = await connection.fetchrow(
        'select * from parcours.parked where partition = $1 and "offset" = $2', partition, offset
    )
    return None if row is None else dict(row)


async def discard_parked(connection: Connection, tenant: str | None, partition: int, offset: int, reason: str) -> bool:
    """Hide a parked record from the lists, with a reason; False if nothing is parked there."""
    done = await connection.execute(
        "insert into parcours.parked_decision (digest, decision, reason) select digest, 'discarded', $3 from parcours.parked"
        ' where partition = $1 and "offset" = $2 and ($4::text is null or tenant is null or tenant = $4)'
        " on conflict (digest) do update set reason = excluded.reason",
        partition, offset, reason, tenant,
    )  # fmt: skip
    return bool(done != "INSERT 0 0")


async def wish_retry(connection: Connection) -> None:
    """Have a projector try every parked record once more."""
    await set_setting(connection, "retry_parked", datetime.now(UTC).isoformat())
