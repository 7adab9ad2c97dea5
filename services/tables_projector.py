"""What the projector reads and writes in Postgres, in its one transaction a batch. DESIGN section 4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from projections.announcing import Announced, Shown
from services import tables_people as people
from services.projector.changes import Changes, Person, Row
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


async def timelines(
    connection: Connection, schema: str, persons: Sequence[Person]
) -> dict[Person, list[tuple[bytes, bool]]]:
    """The facts of persons (raw, and whether their identity came with two contents)."""
    rows = await connection.fetch(
        f"select t.tenant, t.patient, t.raw, t.is_conflicting from {schema}.timeline t"
        " join unnest($1::text[], $2::text[]) as w(tenant, patient) using (tenant, patient)",
        [tenant for tenant, _ in persons], [patient for _, patient in persons],
    )  # fmt: skip
    found: dict[Person, list[tuple[bytes, bool]]] = {}
    for row in rows:
        found.setdefault((row["tenant"], row["patient"]), []).append((row["raw"], row["is_conflicting"]))
    return found


async def shown(connection: Connection, schema: str, persons: Sequence[Person]) -> dict[Person, dict[str, Shown]]:
    """When the findings of persons could first be seen."""
    rows = await connection.fetch(
        f"select f.tenant, f.patient, f.id, f.shown_at, f.is_old from {schema}.finding f"
        " join unnest($1::text[], $2::text[]) as w(tenant, patient) using (tenant, patient)",
        [tenant for tenant, _ in persons], [patient for _, patient in persons],
    )  # fmt: skip
    found: dict[Person, dict[str, Shown]] = {}
    for row in rows:
        found.setdefault((row["tenant"], row["patient"]), {})[row["id"]] = Shown(row["shown_at"], row["is_old"])
    return found


async def said(connection: Connection, persons: Sequence[Person]) -> dict[Person, dict[str, Announced]]:
    """What was said of persons so far; it belongs to no generation."""
    rows = await connection.fetch(
        "select a.tenant, a.patient, a.finding, a.n, a.level, a.is_raised from parcours.announced a"
        " join unnest($1::text[], $2::text[]) as w(tenant, patient) using (tenant, patient)",
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
    """Persons whose rows are older than their partition's watermark: a deadline of theirs has passed and is not in them."""
    rows = await connection.fetch(
        f"select p.tenant, p.patient from {schema}.patient p"
        " join unnest($1::text[], $2::text[], $3::timestamptz[]) as w(tenant, patient, mark) using (tenant, patient)"
        " where p.next_due_at <= w.mark",
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


# -- writing -------------------------------------------------------------------------------------------------------------

TIMELINE = (
    "tenant", "patient", "subject", "source", "id", "type", "occurred_at", "recorded_at", "partition", "is_known",
    "is_conflicting", "raw",
)  # fmt: skip
CASE = (
    "tenant", "patient", "case_id", "topic", "path", "handoffs", "hops", "distinct_departments", "returns",
    "direct_returns", "alternation", "sterile", "carried", "level", "bounced", "state", "department", "since",
    "substantive_answer_at", "first_sign", "last_sign", "visits_at", "visits_planned", "visits_sterile",
)  # fmt: skip
CLAIM = (
    "tenant", "patient", "claim_id", "case_id", "jurisdiction", "t0", "state", "is_over", "unanswered", "ladder",
    "chases", "answered_at", "due_at", "answered_late", "department", "clocks",
)  # fmt: skip
FINDING = (
    "tenant", "id", "kind", "patient", "case_id", "claim_id", "topic", "department", "level", "is_open", "opened_at",
    "shown_at", "is_old", "reasons",
)  # fmt: skip
CONTACT = ("tenant", "patient", "contact_id", "at", "topic", "channel", "department", "case_id", "courtesy")
ACT = ("tenant", "patient", "alert", "fact", "kind", "at", "by", "until", "reason")
PATIENT = (
    "tenant", "patient", "partition", "bounced", "cases", "claims", "facts", "next_due_at", "last_sign",
    "is_quarantined",
)  # fmt: skip

ANNOUNCED = ("tenant", "finding", "patient", "n", "level", "is_raised", "said_at", "cause", "raised_at")
OUTBOX = ("partition", "tenant", "patient", "key", "value", "finding", "act", "number")

FEW = 50


def upsert(schema: str, table: str, columns: Sequence[str], keys: int, source: str, **otherwise: str) -> str:
    """An upsert of whole rows from `source`; the first columns are the key. `otherwise`: how a column changes that is kept."""
    names = ", ".join(columns)
    changes = ", ".join(f"{name} = {otherwise.get(name, f'excluded.{name}')}" for name in columns[keys:])
    return f"insert into {schema}.{table} ({names}) {source} on conflict ({', '.join(columns[:keys])}) do update set {changes}"


async def write(connection: Connection, schema: str, changes: Changes) -> None:
    """Everything a batch found, after its checkpoint was moved in the same transaction."""
    if changes.emptied:
        for table in ("case_path", "claim", "finding", "contact"):
            await connection.execute(
                f"delete from {schema}.{table} t using unnest($1::text[], $2::text[]) as w(tenant, patient)"
                " where t.tenant = w.tenant and t.patient = w.patient",
                [tenant for tenant, _ in changes.emptied], [patient for _, patient in changes.emptied],
            )  # fmt: skip
    if changes.gone:
        await connection.executemany(f"delete from {schema}.patient where tenant = $1 and patient = $2", changes.gone)
    if changes.lost_findings:
        await connection.executemany(
            f"delete from {schema}.finding where tenant = $1 and id = $2", changes.lost_findings
        )
    if changes.forgotten_acts:
        await connection.executemany(
            f"delete from {schema}.alert_act where tenant = $1 and patient = $2", changes.forgotten_acts
        )
    if changes.acts:
        await connection.copy_records_to_table("alert_act", schema_name=schema, columns=ACT, records=changes.acts)
        await connection.execute("select pg_notify('parcours_outbox', '')")
    if changes.facts:
        await connection.copy_records_to_table("timeline", schema_name=schema, columns=TIMELINE, records=changes.facts)
    await _correct_timeline(connection, schema, changes)
    for table, columns, keys, rows in (
        ("patient", PATIENT, 2, changes.patients),
        ("case_path", CASE, 3, changes.cases),
        ("claim", CLAIM, 3, changes.claims),
        ("finding", FINDING, 2, changes.findings),
        ("contact", CONTACT, 3, changes.contacts),
    ):
        await _put(connection, schema, table, columns, keys, rows)
    await _write_rare(connection, schema, changes)
    await _write_said(connection, changes)


async def _put(
    connection: Connection,
    schema: str,
    table: str,
    columns: Sequence[str],
    keys: int,
    rows: Sequence[Row],
    **otherwise: str,
) -> None:
    """Upsert rows: a few one by one; many by one COPY aside and one statement for all of them."""
    if len(rows) <= FEW:
        marks = ", ".join(f"${n + 1}" for n in range(len(columns)))
        if rows:
            await connection.executemany(upsert(schema, table, columns, keys, f"values ({marks})", **otherwise), rows)
        return
    aside, names = f"aside_{schema}_{table}", ", ".join(columns)
    await connection.execute(
        f"create temp table if not exists {aside} on commit delete rows as select {names} from {schema}.{table} with no data"
    )
    await connection.copy_records_to_table(aside, schema_name="pg_temp", columns=columns, records=rows)
    await connection.execute(upsert(schema, table, columns, keys, f"select {names} from {aside}", **otherwise))


async def _correct_timeline(connection: Connection, schema: str, changes: Changes) -> None:
    if changes.replaced:
        await connection.executemany(
            f"update {schema}.timeline set type = $6, occurred_at = $7, recorded_at = $8, is_known = $9, raw = $10"
            " where tenant = $1 and patient = $2 and subject = $3 and source = $4 and id = $5",
            changes.replaced,
        )
    if changes.conflicting:
        await connection.executemany(
            f"update {schema}.timeline set is_conflicting = true"
            " where tenant = $1 and patient = $2 and subject = $3 and source = $4 and id = $5",
            changes.conflicting,
        )


async def _write_said(connection: Connection, changes: Changes) -> None:
    if changes.announced:
        await _put(
            connection, "parcours", "announced", ANNOUNCED, 2, _last_said(changes.announced),
            raised_at="coalesce(excluded.raised_at, announced.raised_at)",
        )  # fmt: skip
    if changes.outbox:
        numbers = await _numbers(connection, [row[1] for row in changes.outbox])
        await connection.copy_records_to_table(
            "outbox", schema_name="parcours", columns=OUTBOX,
            records=[(*row, number) for row, number in zip(changes.outbox, numbers, strict=True)],
        )  # fmt: skip
        await connection.execute("select pg_notify('parcours_outbox', '')")


def _last_said(rows: Iterable[Row]) -> list[Row]:
    """The last thing said of each finding, since when it is raised: a batch may raise one, revise it and raise it again."""
    last: dict[Row, Row] = {}
    for row in rows:
        before = last.get(row[:2])
        raised_at = before[-1] if before is not None and row[-1] is None else row[-1]
        last[row[:2]] = (*row[:-1], raised_at)
    return list(last.values())


async def _numbers(connection: Connection, tenants: Sequence[str]) -> list[int]:
    """A number for each alert, without a gap within its tenant: whoever has seen one has missed none before it.

    The tenant's counter is locked until the transaction ends, so numbers appear in their order.
    """
    next_of: dict[str, int] = {}
    for tenant in sorted(set(tenants)):
        n = tenants.count(tenant)
        last = await connection.fetchval(
            "insert into parcours.alert_number as a (tenant, last) values ($1, $2)"
            " on conflict (tenant) do update set last = a.last + excluded.last returning last",
            tenant, n,
        )  # fmt: skip
        next_of[tenant] = last - n
    numbers = []
    for tenant in tenants:
        next_of[tenant] += 1
        numbers.append(next_of[tenant])
    return numbers


async def _write_rare(connection: Connection, schema: str, changes: Changes) -> None:
    if changes.parked:
        await connection.executemany(
            f'insert into {schema}.parked (partition, "offset", digest, code, field, rule, tenant, subject, key, value,'
            " headers, appended_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict do nothing",
            changes.parked,
        )
    if changes.inbox:
        await connection.executemany(
            f"insert into {schema}.inbox (partition, tenant, person, raw, is_conflicting) values ($1, $2, $3, $4, $5)",
            changes.inbox,
        )
    if changes.taken:
        await connection.execute(f"delete from {schema}.inbox where id = any($1::bigint[])", changes.taken)
    if changes.tombstones:
        await people.bury(connection, schema, changes.tombstones)
