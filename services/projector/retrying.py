"""Parked records and quarantined patients, tried once more. DESIGN section 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from events.envelope import Recorded, partition_key
from events.partitions import partition_of
from services.projector.records import REFUSED_BY_TABLES, Reader
from services.tables import Connection, NoGeneration, active_generation


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A parked record in the shape Kafka gave it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


async def retry(connection: Connection, *, clock_rule: bool) -> dict[str, int]:
    """Read every parked record again under what is in force now; one that is a fact goes to its person's partition, late.

    A rebuild reads the log by the same rules, so live and rebuilt stay the same. What the tables refused is a fact already: only
    a rebuild can take it in, by tables that keep it.
    """
    generation = await active_generation(connection)
    if generation is None:
        raise NoGeneration("there are no read tables yet: parcours up")
    partitions = await connection.fetchval("select count(*) from parcours.checkpoint")
    reader = Reader(generation.policy, partitions, clock_rule)
    rows = await connection.fetch(
        f"select * from {generation.schema}.parked where not is_taken and code <> $1", REFUSED_BY_TABLES
    )
    taken = 0
    for row in rows:
        one = KeptRecord(
            row["partition"],
            row["offset"],
            row["key"],
            row["value"],
            _headers(row["headers"]),
            _millis(row["appended_at"]),
        )
        fact = reader.read(one)
        if isinstance(fact, Recorded):
            taken += 1
            async with connection.transaction():
                await _take(connection, generation.schema, partitions, fact, row["partition"], row["offset"])
    sick = await connection.execute(
        f"update {generation.schema}.patient set is_quarantined = false, next_due_at = '-infinity' where is_quarantined"
    )
    return {"tried": len(rows), "taken": taken, "patients": int(sick.rpartition(" ")[2])}


async def _take(
    connection: Connection, schema: str, partitions: int, fact: Recorded, partition: int, offset: int
) -> None:
    person = (
        await connection.fetchval(
            f"select person from {schema}.alias where tenant = $1 and subject = $2", fact.tenant, fact.subject
        )
        or fact.subject
    )
    home = partition_of(partition_key(fact.tenant, person).encode(), partitions)
    await connection.execute(
        f"insert into {schema}.inbox (partition, tenant, person, raw) values ($1, $2, $3, $4)",
        home,
        fact.tenant,
        person,
        fact.raw,
    )
    await connection.execute(
        f'update {schema}.parked set is_taken = true, retried_at = now() where partition = $1 and "offset" = $2',
        partition,
        offset,
    )


def _headers(kept: list[list[str | None]]) -> list[tuple[str, bytes]]:
    return [(str(name), bytes.fromhex(value)) for name, value in kept if value is not None]


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)
