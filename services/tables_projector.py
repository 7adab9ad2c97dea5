"""Where a projector stands, and what it reads back, in its one transaction a batch. DESIGN section 4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from projections.announcing import Announced, Shown
from services.projector.changes import Person
from services.tables import Connection, Generation

Waiting = tuple[int, int, str, str, bytes | None, bool]
"""Of the inbox: id, partition, tenant, person, the raw fact (None: regroup), whether its identity came with two contents."""


class FenceLost(RuntimeError):
    """Somebody else moved the checkpoint: what was folded is not to be written."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition stands: the next offset, the watermark, the last record's hash, and whose transaction was the last."""

    next_offset: int
    watermark: datetime | None
    last_record_hash: bytes | None
    batch: UUID | None = None


async def positions(connection: Connection, schema: str, topic: str, partitions: Iterable[int]) -> dict[int, Position]:
    """The checkpoints of some partitions."""
    rows = await connection.fetch(
        f"select partition, next_offset, watermark, last_record_hash, batch_id from {schema}.checkpoint"
        " where topic = $1 and partition = any($2::smallint[])",
        topic, list(partitions),
    )  # fmt: skip
    return {
        row["partition"]: Position(row["next_offset"], row["watermark"], row["last_record_hash"], row["batch_id"])
        for row in rows
    }


async def move(
    connection: Connection,
    generation: Generation,
    topic: str,
    expected: Mapping[int, Position],
    to: Mapping[int, Position],
    owner: str,
    batch: UUID,
) -> None:
    """The compare-and-set of a transaction: every position moves on from where we believe it is, or `FenceLost`.

    The last transaction is compared as well as the offset: one that fires deadlines moves no offset, and whoever has not seen
    it would say its alerts again. A generation that has handed over is moved by nobody any more.
    """
    numbers, schema = sorted(to), generation.schema
    moved = await connection.fetch(
        "with wanted as (select * from unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bytea[], $11::uuid[])"
        " as w(partition, expected, next_offset, watermark, hash, batch)),"
        f" locked as (select c.partition from {schema}.checkpoint c join wanted w using (partition)"
        " where c.topic = $1 and c.next_offset = w.expected and c.batch_id is not distinct from w.batch"
        " and exists (select 1 from parcours.generation g where g.id = $9 and g.state = $10)"
        " order by c.partition for update of c)"
        f" update {schema}.checkpoint c set next_offset = w.next_offset, watermark = w.watermark, last_record_hash = w.hash,"
        " owner = $7, batch_id = $8, moved_at = now() from wanted w join locked l using (partition)"
        " where c.topic = $1 and c.partition = w.partition and c.next_offset = w.expected returning c.partition",
        topic,
        numbers,
        [expected[n].next_offset for n in numbers],
        [to[n].next_offset for n in numbers],
        [to[n].watermark for n in numbers],
        [to[n].last_record_hash for n in numbers],
        owner,
        batch,
        generation.id,
        generation.state,
        [expected[n].batch for n in numbers],
    )
    if len(moved) != len(numbers):
        lost = sorted(set(numbers) - {row["partition"] for row in moved})
        raise FenceLost(f"partitions {lost} have moved on under another owner")


async def stop_partition(connection: Connection, partition: int, reason: str) -> None:
    """Note that a partition is stopped, for everybody: also for whoever is assigned it next."""
    await connection.execute(
        "insert into parcours.setting (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
        f"stopped:{partition}", reason,
    )  # fmt: skip


async def stopped_partitions(connection: Connection) -> set[int]:
    """The partitions that are stopped."""
    rows = await connection.fetch("select name from parcours.setting where name like 'stopped:%'")
    return {int(row["name"].partition(":")[2]) for row in rows}


async def release_partition(connection: Connection, partition: int) -> bool:
    """Let a stopped partition go on; False if it was not stopped."""
    done = await connection.execute("delete from parcours.setting where name = $1", f"stopped:{partition}")
    return bool(done != "DELETE 0")


async def take_retry_wish(connection: Connection) -> bool:
    """Whether somebody wished parked records to be tried again; the wish is taken."""
    return bool(await connection.execute("delete from parcours.setting where name = 'retry_parked'") != "DELETE 0")


async def was_committed(
    connection: Connection, schema: str, topic: str, partitions: Iterable[int], batch: UUID
) -> bool:
    """Whether a batch's transaction happened although its answer was lost."""
    wanted = list(partitions)
    found = await connection.fetchval(
        f"select count(*) from {schema}.checkpoint where topic = $1 and partition = any($2::smallint[]) and batch_id = $3",
        topic, wanted, batch,
    )  # fmt: skip
    return bool(found == len(wanted))


# -- reading -------------------------------------------------------------------------------------------------------------


OF_EACH = "unnest($1::text[], $2::text[]) as w(tenant, patient) cross join lateral"
"""For each of some persons, with `offset 0` in what follows: one step into an index each. A join would read a whole table wherever its
statistics are old, as they are while somebody catches up.
"""


async def timelines(
    connection: Connection, schema: str, persons: Mapping[Person, int]
) -> dict[Person, list[tuple[bytes, bool]]]:
    """The facts of persons (raw, and whether their identity came with two contents), who are each of a partition."""
    rows = await connection.fetch(
        "select w.tenant, w.patient, t.raw, t.is_conflicting from unnest($1::text[], $2::text[], $3::smallint[])"
        f" as w(tenant, patient, number) cross join lateral (select raw, is_conflicting from {schema}.timeline t"
        " where t.partition = w.number and t.tenant = w.tenant and t.patient = w.patient offset 0) t",
        [tenant for tenant, _ in persons], [patient for _, patient in persons], [*persons.values()],
    )  # fmt: skip
    found: dict[Person, list[tuple[bytes, bool]]] = {}
    for row in rows:
        found.setdefault((row["tenant"], row["patient"]), []).append((row["raw"], row["is_conflicting"]))
    return found


async def shown(connection: Connection, schema: str, persons: Sequence[Person]) -> dict[Person, dict[str, Shown]]:
    """When the findings of persons could first be seen."""
    rows = await connection.fetch(
        f"select w.tenant, w.patient, f.id, f.shown_at, f.is_old from {OF_EACH} (select id, shown_at, is_old from {schema}.finding f"
        " where f.tenant = w.tenant and f.patient = w.patient offset 0) f",
        [tenant for tenant, _ in persons], [patient for _, patient in persons],
    )  # fmt: skip
    found: dict[Person, dict[str, Shown]] = {}
    for row in rows:
        found.setdefault((row["tenant"], row["patient"]), {})[row["id"]] = Shown(row["shown_at"], row["is_old"])
    return found


async def said(connection: Connection, persons: Sequence[Person]) -> dict[Person, dict[str, Announced]]:
    """What was said of persons so far; it belongs to no generation."""
    rows = await connection.fetch(
        f"select w.tenant, w.patient, a.finding, a.n, a.level, a.is_raised from {OF_EACH} (select finding, n, level, is_raised"
        " from parcours.announced a where a.tenant = w.tenant and a.patient = w.patient offset 0) a",
        [tenant for tenant, _ in persons], [patient for _, patient in persons],
    )  # fmt: skip
    found: dict[Person, dict[str, Announced]] = {}
    for row in rows:
        one = Announced(row["n"], row["level"], row["is_raised"])
        found.setdefault((row["tenant"], row["patient"]), {})[row["finding"]] = one
    return found


async def overdue(
    connection: Connection, schema: str, persons: Sequence[Person], marks: Sequence[datetime | None]
) -> set[Person]:
    """Persons whose rows are not what their facts say: a deadline of theirs has passed since, or their fold failed."""
    rows = await connection.fetch(
        f"select p.tenant, p.patient from {schema}.patient p"
        " join unnest($1::text[], $2::text[], $3::timestamptz[]) as w(tenant, patient, mark) using (tenant, patient)"
        " where p.next_due_at <= w.mark or p.is_quarantined",
        [tenant for tenant, _ in persons], [patient for _, patient in persons], marks,
    )  # fmt: skip
    return {(row["tenant"], row["patient"]) for row in rows}


async def due(connection: Connection, schema: str, watermarks: Mapping[int, datetime], limit: int) -> list[Person]:
    """Persons somebody has to look at because their partition's watermark has reached their next deadline."""
    rows = await connection.fetch(
        "select p.tenant, p.patient from unnest($1::smallint[], $2::timestamptz[]) as w(partition, watermark)"
        " cross join lateral (select tenant, patient, next_due_at"
        f" from {schema}.patient p where p.partition = w.partition and p.next_due_at <= w.watermark"
        " and not p.is_quarantined order by p.next_due_at limit $3) p"
        " order by p.next_due_at, p.tenant, p.patient limit $3",
        list(watermarks), list(watermarks.values()), limit,
    )  # fmt: skip
    return [(row["tenant"], row["patient"]) for row in rows]


async def look_again(connection: Connection, schema: str, persons: Sequence[tuple[int, str, str]]) -> None:
    """Have the owners of these persons (partition, tenant, patient) look at them anew."""
    await connection.executemany(
        f"insert into {schema}.inbox (partition, tenant, person, raw, is_conflicting) values ($1, $2, $3, null, false)",
        persons,
    )


async def inbox(connection: Connection, schema: str, partitions: Iterable[int], limit: int) -> list[Waiting]:
    """What other partitions left for the persons of ours, oldest first."""
    rows = await connection.fetch(
        f"select id, partition, tenant, person, raw, is_conflicting from {schema}.inbox where partition = any($1::smallint[])"
        " order by id limit $2",
        list(partitions), limit,
    )  # fmt: skip
    return [
        (row["id"], row["partition"], row["tenant"], row["person"], row["raw"], row["is_conflicting"]) for row in rows
    ]
