"""What the projector reads and writes in Postgres, in its one transaction a batch. DESIGN section 4."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from projections.announcing import Announced, Shown
from services import tables_people as people
from services.projector.changes import Changes, Person, Row
from services.projector.encoding import HEAD, KINDS, TAIL, encoded
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
    connection: Connection, schema: str, persons: Sequence[Person]
) -> dict[Person, list[tuple[bytes, bool]]]:
    """The facts of persons (raw, and whether their identity came with two contents)."""
    rows = await connection.fetch(
        f"select w.tenant, w.patient, t.raw, t.is_conflicting from {OF_EACH} (select raw, is_conflicting from {schema}.timeline t"
        " where t.tenant = w.tenant and t.patient = w.patient offset 0) t",
        [tenant for tenant, _ in persons], [patient for _, patient in persons],
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


# -- writing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the projector writes it: its columns and their types; the first `keys` of them are its key."""

    name: str
    keys: int
    columns: tuple[str, ...]
    kinds: list[int]


def _table(name: str, keys: int, **columns: str) -> Table:
    return Table(name, keys, tuple(columns), [KINDS[kind] for kind in columns.values()])


TIMELINE = _table(
    "timeline", 0, tenant="text", patient="text", subject="text", source="text", id="text", type="text",
    occurred_at="timestamptz", recorded_at="timestamptz", partition="smallint", is_known="boolean",
    is_conflicting="boolean", raw="bytea",
)  # fmt: skip
PATIENT = _table(
    "patient", 2, tenant="text", patient="text", partition="smallint", bounced="boolean", cases="integer", claims="integer",
    facts="integer", next_due_at="timestamptz", last_sign="timestamptz", is_quarantined="boolean",
)  # fmt: skip
CASE = _table(
    "case_path", 3, tenant="text", patient="text", case_id="text", topic="text", path="text[]", handoffs="integer",
    hops="integer", distinct_departments="integer", returns="integer", direct_returns="integer", alternation="integer",
    sterile="integer", carried="integer", level="text", bounced="boolean", state="text", department="text",
    since="timestamptz", substantive_answer_at="timestamptz", first_sign="timestamptz", last_sign="timestamptz",
    visits_at="timestamptz[]", visits_planned="boolean[]", visits_sterile="boolean[]",
)  # fmt: skip
CLAIM = _table(
    "claim", 3, tenant="text", patient="text", claim_id="text", case_id="text", jurisdiction="text", t0="timestamptz",
    state="text", is_over="boolean", unanswered="boolean", ladder="text", chases="integer", answered_at="timestamptz",
    due_at="timestamptz", answered_late="boolean", department="text", clocks="jsonb",
)  # fmt: skip
FINDING = _table(
    "finding", 2, tenant="text", id="text", kind="text", patient="text", case_id="text", claim_id="text", topic="text",
    department="text", level="text", is_open="boolean", opened_at="timestamptz", shown_at="timestamptz", is_old="boolean",
    reasons="jsonb",
)  # fmt: skip
CONTACT = _table(
    "contact", 3, tenant="text", patient="text", contact_id="text", at="timestamptz", topic="text", channel="text",
    department="text", case_id="text", courtesy="boolean",
)  # fmt: skip
ANNOUNCED = _table(
    "announced", 2, tenant="text", finding="text", patient="text", n="integer", level="text", is_raised="boolean",
    said_at="timestamptz", cause="text", raised_at="timestamptz",
)  # fmt: skip
OUTBOX = _table(
    "outbox", 0, partition="integer", tenant="text", patient="text", key="text", value="bytea", finding="text", act="text",
    number="bigint",
)  # fmt: skip
ACT = ("tenant", "patient", "alert", "fact", "kind", "at", "by", "until", "reason")
LOST = (
    ("case_path", "case_id"),
    ("claim", "claim_id"),
    ("contact", "contact_id"),
)  # fmt: skip
FEW = 50
AT_ONCE = 1_000


def upsert(schema: str, table: str, columns: Sequence[str], keys: int, source: str, **otherwise: str) -> str:
    """An upsert of whole rows from `source`; the first columns are the key. `otherwise`: how a column changes that is kept."""
    names = ", ".join(columns)
    changes = ", ".join(f"{name} = {otherwise.get(name, f'excluded.{name}')}" for name in columns[keys:])
    return f"insert into {schema}.{table} ({names}) {source} on conflict ({', '.join(columns[:keys])}) do update set {changes}"


def _insert(schema: str, table: Table) -> str:
    marks = ", ".join(f"${n + 1}" for n in range(len(table.columns)))
    return f"insert into {schema}.{table.name} ({', '.join(table.columns)}) values ({marks})"


async def write(connection: Connection, schema: str, changes: Changes, *, doubting: bool = False) -> None:
    """Everything a batch found, after its checkpoint was moved in the same transaction.

    Rows of keys that the tables do not hold are copied straight into them; with `doubting`, nothing is believed to be new.
    """
    await _forget(connection, schema, changes)
    if changes.acts:
        await connection.copy_records_to_table("alert_act", schema_name=schema, columns=ACT, records=changes.acts)
        await connection.execute("select pg_notify('parcours_outbox', '')")
    await write_facts(connection, schema, changes.facts)
    await _correct_timeline(connection, schema, changes)
    for table, rows in (
        (PATIENT, changes.patients),
        (CASE, changes.cases),
        (CLAIM, changes.claims),
        (FINDING, changes.findings),
        (CONTACT, changes.contacts),
    ):
        if doubting or len(rows.new) + len(rows.known) <= FEW:
            await _put(connection, schema, table, [*rows.new, *rows.known])
            continue
        if rows.new:
            await _copy(connection, f"{schema}.{table.name}", table, rows.new)
        await _put(connection, schema, table, rows.known)
    await _write_rare(connection, schema, changes)
    await _write_said(connection, changes)


async def write_facts(connection: Connection, schema: str, facts: Sequence[Row]) -> None:
    """Facts that no timeline holds yet."""
    if len(facts) > FEW:
        await _copy(connection, f"{schema}.timeline", TIMELINE, facts)
    elif facts:
        await connection.executemany(_insert(schema, TIMELINE), facts)


async def _forget(connection: Connection, schema: str, changes: Changes) -> None:
    if changes.emptied:
        for table in ("case_path", "claim", "finding", "contact"):
            await connection.execute(
                f"delete from {schema}.{table} t using unnest($1::text[], $2::text[]) as w(tenant, patient)"
                " where t.tenant = w.tenant and t.patient = w.patient",
                [tenant for tenant, _ in changes.emptied], [patient for _, patient in changes.emptied],
            )  # fmt: skip
    if changes.gone:
        await connection.executemany(f"delete from {schema}.patient where tenant = $1 and patient = $2", changes.gone)
    for (table, name), lost in zip(LOST, (changes.lost_cases, changes.lost_claims, changes.lost_contacts), strict=True):
        if lost:
            await connection.executemany(
                f"delete from {schema}.{table} where tenant = $1 and patient = $2 and {name} = $3", lost
            )
    if changes.lost_findings:
        await connection.executemany(
            f"delete from {schema}.finding where tenant = $1 and id = $2", changes.lost_findings
        )
    if changes.forgotten_acts:
        await connection.executemany(
            f"delete from {schema}.alert_act where tenant = $1 and patient = $2", changes.forgotten_acts
        )


async def _copy(connection: Connection, into: str, table: Table, rows: Sequence[Row]) -> None:
    """Rows straight into a table. Raises asyncpg.DataError for what no column can hold."""
    schema, _, name = into.rpartition(".")
    await connection.copy_to_table(
        name, schema_name=schema, columns=table.columns, source=_payload(table, rows), format="binary"
    )


async def _payload(table: Table, rows: Sequence[Row]) -> AsyncIterator[bytes]:
    yield HEAD
    try:
        for start in range(0, len(rows), AT_ONCE):
            yield encoded(rows[start : start + AT_ONCE], table.kinds)
    except (ValueError, OverflowError) as wrong:
        raise asyncpg.DataError(f"{table.name}: {wrong}") from wrong
    yield TAIL


async def _put(connection: Connection, schema: str, table: Table, rows: Sequence[Row], **otherwise: str) -> None:
    """Upsert rows: a few one by one; many by one COPY aside and one statement for all of them."""
    if len(rows) <= FEW:
        marks = ", ".join(f"${n + 1}" for n in range(len(table.columns)))
        if rows:
            upserting = upsert(schema, table.name, table.columns, table.keys, f"values ({marks})", **otherwise)
            await connection.executemany(upserting, rows)
        return
    aside, names = f"aside_{schema}_{table.name}", ", ".join(table.columns)
    await connection.execute(
        f"create temp table if not exists {aside} on commit delete rows as select {names} from {schema}.{table.name} with no data"
    )
    is_used = await connection.fetchval(f"select exists (select from {aside})")
    if is_used:  # a rebuild writes part after part in one transaction
        await connection.execute(f"truncate {aside}")
    await _copy(connection, f"pg_temp.{aside}", table, rows)
    await connection.execute(
        upsert(schema, table.name, table.columns, table.keys, f"select {names} from {aside}", **otherwise)
    )


async def _correct_timeline(connection: Connection, schema: str, changes: Changes) -> None:
    """All of a kind at once: in tables that have no index yet, each by itself would cost a look at every fact."""
    same = "t.tenant = w.tenant and t.patient = w.patient and t.subject = w.subject and t.source = w.source and t.id = w.id"
    if restored := {row[:5]: row for row in changes.restored}:
        await connection.execute(
            f"delete from {schema}.timeline t"
            " using unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as w(tenant, patient, subject, source, id)"
            f" where {same}",
            *map(list, zip(*restored, strict=True)),
        )
        await write_facts(connection, schema, list(restored.values()))
    if changes.replaced:
        await connection.execute(
            f"update {schema}.timeline t set type = w.type, occurred_at = w.occurred_at, recorded_at = w.recorded_at,"
            " is_known = w.is_known, raw = w.raw from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],"
            " $6::text[], $7::timestamptz[], $8::timestamptz[], $9::boolean[], $10::bytea[])"
            " as w(tenant, patient, subject, source, id, type, occurred_at, recorded_at, is_known, raw)"
            f" where {same}",
            *map(list, zip(*{row[:5]: row for row in changes.replaced}.values(), strict=True)),
        )
    if changes.conflicting:
        await connection.execute(
            f"update {schema}.timeline t set is_conflicting = true"
            " from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as w(tenant, patient, subject, source, id)"
            f" where {same}",
            *map(list, zip(*changes.conflicting, strict=True)),
        )


async def _write_said(connection: Connection, changes: Changes) -> None:
    if changes.announced:
        await _put(
            connection, "parcours", ANNOUNCED, _last_said(changes.announced),
            raised_at="coalesce(excluded.raised_at, announced.raised_at)",
        )  # fmt: skip
    await write_outbox(connection, changes.outbox)


async def write_outbox(connection: Connection, outbox: Sequence[Row]) -> None:
    """What is to be said, each with its number: the first of them locks those of its tenant until the transaction ends."""
    if outbox:
        numbers = await _numbers(connection, [row[1] for row in outbox])
        rows = [(*row, number) for row, number in zip(outbox, numbers, strict=True)]
        await _copy(connection, "parcours.outbox", OUTBOX, rows)
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
    if changes.returned:
        await people.forget_erased(connection, schema, changes.returned)
