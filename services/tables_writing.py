"""What a batch found, written in its transaction: what is new by COPY, the rest set by set. DESIGN section 4."""

from collections.abc import AsyncIterator, Sequence

import asyncpg

from services import tables_people as people
from services.projector.changes import Changes, Row, Rows
from services.projector.encoding import HEAD, TAIL, encoded
from services.tables import Connection
from services.tables_shapes import ANNOUNCED, CASE, CLAIM, CONTACT, FINDING, OUTBOX, PATIENT, TIMELINE, Table

ACT = ("tenant", "patient", "alert", "fact", "kind", "at", "by", "until", "reason")
LOST = (
    ("case_path", "case_id"),
    ("claim", "claim_id"),
    ("contact", "contact_id"),
)  # fmt: skip
FEW = 50
AT_ONCE = 1_000
A_PIECE = 64_000
"""How many bytes are handed to the connection at once."""


def upsert(schema: str, table: str, columns: Sequence[str], keys: int, source: str, **otherwise: str) -> str:
    """An upsert of whole rows from `source`; the first columns are the key. `otherwise`: how a column changes that is kept."""
    names = ", ".join(columns)
    changes = ", ".join(f"{name} = {otherwise.get(name, f'excluded.{name}')}" for name in columns[keys:])
    return f"insert into {schema}.{table} ({names}) {source} on conflict ({', '.join(columns[:keys])}) do update set {changes}"


def _insert(schema: str, table: Table, into: str) -> str:
    marks = ", ".join(f"${n + 1}" for n in range(len(table.columns)))
    return f"insert into {schema}.{into} ({', '.join(table.columns)}) values ({marks})"


async def write(
    connection: Connection, schema: str, changes: Changes, *, doubting: bool = False, keyed: bool = True
) -> None:
    """Everything a batch found, after its checkpoint was moved in the same transaction.

    Rows of keys that the tables do not hold are copied straight into them; with `doubting`, nothing is believed to be new. Not `keyed`:
    the tables have no keys yet, and what may be in them is taken out before. Facts that go to a partition's own table, made in this
    transaction, are frozen in it.
    """
    await _forget(connection, schema, changes)
    if changes.acts:
        await connection.copy_records_to_table("alert_act", schema_name=schema, columns=ACT, records=changes.acts)
        await connection.execute("select pg_notify('parcours_outbox', '')")
    await copy_packed(connection, schema, TIMELINE, changes)
    await write_facts(connection, schema, changes.facts, changes.timeline)
    await _correct_timeline(connection, schema, changes)
    for table, rows in _rows(changes):
        await copy_packed(connection, schema, table, changes)
        if keyed or table is FINDING:
            await _put_rows(connection, schema, table, rows, doubting=doubting)
        else:
            await _replace(connection, schema, table, rows, doubting=doubting)
    await _write_rare(connection, schema, changes)
    await _put_rows(
        connection, "parcours", ANNOUNCED, _last_said(changes.announced), doubting=doubting,
        raised_at="coalesce(excluded.raised_at, announced.raised_at)",
    )  # fmt: skip
    await write_outbox(connection, changes.outbox)


def _rows(changes: Changes) -> tuple[tuple[Table, Rows], ...]:
    return (
        (PATIENT, changes.patients),
        (CASE, changes.cases),
        (CLAIM, changes.claims),
        (FINDING, changes.findings),
        (CONTACT, changes.contacts),
    )


def pack(changes: Changes) -> None:
    """What is new becomes what COPY takes, while the processor still has it at hand: rows and what they are made of can be let go.

    Raises asyncpg.DataError for what no column can hold.
    """
    _pack(changes, TIMELINE, changes.facts)
    for table, rows in _rows(changes):
        _pack(changes, table, rows.new)


def _pack(changes: Changes, table: Table, rows: list[Row]) -> None:
    if rows:
        changes.packed.setdefault(table.name, []).append(_encoded(table, rows))
        rows.clear()


def _encoded(table: Table, rows: Sequence[Row]) -> bytes:
    try:
        return encoded(rows, table.kinds)
    except (ValueError, OverflowError) as wrong:
        raise asyncpg.DataError(f"{table.name}: {wrong}") from wrong


async def _put_rows(
    connection: Connection, schema: str, table: Table, rows: Rows, *, doubting: bool, **otherwise: str
) -> None:  # fmt: skip
    if doubting or len(rows.new) + len(rows.known) <= FEW:
        await _put(connection, schema, table, [*rows.new, *rows.known], **otherwise)
        return
    if rows.new:
        await _copy(connection, f"{schema}.{table.name}", table, rows.new)
    await _put(connection, schema, table, rows.known, **otherwise)


async def _replace(connection: Connection, schema: str, table: Table, rows: Rows, *, doubting: bool) -> None:
    """As `_put_rows`, in a table without a key: a look at all of it for what may be there already, which is seldom anything."""
    known = [*rows.new, *rows.known] if doubting else rows.known
    if rows.new and not doubting:
        await _copy(connection, f"{schema}.{table.name}", table, rows.new)
    if known:
        names = table.columns[: table.keys]
        given = ", ".join(f"${n + 1}::text[]" for n in range(table.keys))
        same = " and ".join(f"t.{name} = w.{name}" for name in names)
        last = {row[: table.keys]: row for row in known}
        await connection.execute(
            f"delete from {schema}.{table.name} t using unnest({given}) as w({', '.join(names)}) where {same}",
            *map(list, zip(*last, strict=True)),
        )
        await _copy(connection, f"{schema}.{table.name}", table, list(last.values()))


async def write_facts(connection: Connection, schema: str, facts: Sequence[Row], into: str) -> None:
    """Facts that no timeline holds yet."""
    if len(facts) > FEW:
        await _copy(connection, f"{schema}.{into}", TIMELINE, facts)
    elif facts:
        await connection.executemany(_insert(schema, TIMELINE, into), facts)


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
    for start in range(0, len(rows), AT_ONCE):
        yield _encoded(table, rows[start : start + AT_ONCE])
    yield TAIL


async def copy_packed(connection: Connection, schema: str, table: Table, changes: Changes) -> None:
    """New rows of a table, as they were packed."""
    if found := changes.packed.get(table.name):
        into = changes.timeline if table is TIMELINE else table.name
        await connection.copy_to_table(
            into,
            schema_name=schema,
            columns=table.columns,
            source=_whole(found),
            format="binary",
            freeze=into != table.name,
        )


async def _whole(packed: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield HEAD
    some, size = list[bytes](), 0
    for one in packed:
        some.append(one)
        size += len(one)
        if size >= A_PIECE:
            yield b"".join(some)
            some, size = [], 0
    yield b"".join([*some, TAIL])


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
    timeline = f"{schema}.{changes.timeline}"
    same = "t.tenant = w.tenant and t.patient = w.patient and t.subject = w.subject and t.source = w.source and t.id = w.id"
    if restored := {row[:5]: row for row in changes.restored}:
        await connection.execute(
            f"delete from {timeline} t"
            " using unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as w(tenant, patient, subject, source, id)"
            f" where {same}",
            *map(list, zip(*restored, strict=True)),
        )
        await write_facts(connection, schema, list(restored.values()), changes.timeline)
    if changes.replaced:
        await connection.execute(
            f"update {timeline} t set type = w.type, occurred_at = w.occurred_at, recorded_at = w.recorded_at,"
            " is_known = w.is_known, raw = w.raw from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],"
            " $6::text[], $7::timestamptz[], $8::timestamptz[], $9::boolean[], $10::bytea[])"
            " as w(tenant, patient, subject, source, id, type, occurred_at, recorded_at, is_known, raw)"
            f" where {same}",
            *map(list, zip(*{row[:5]: row for row in changes.replaced}.values(), strict=True)),
        )
    if changes.conflicting:
        await connection.execute(
            f"update {timeline} t set is_conflicting = true"
            " from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as w(tenant, patient, subject, source, id)"
            f" where {same}",
            *map(list, zip(*changes.conflicting, strict=True)),
        )


async def write_outbox(connection: Connection, outbox: Sequence[Row]) -> None:
    """What is to be said, each with its number: the first of them locks those of its tenant until the transaction ends."""
    if outbox:
        numbers = await _numbers(connection, [row[1] for row in outbox])
        rows = [(*row, number) for row, number in zip(outbox, numbers, strict=True)]
        await _copy(connection, "parcours.outbox", OUTBOX, rows)
        await connection.execute("select pg_notify('parcours_outbox', '')")


def _last_said(rows: Rows) -> Rows:
    """The last thing said of each finding, since when it is raised: a batch may raise one, revise it and raise it again."""
    new, known = {row[:2]: row for row in rows.new}, dict[Row, Row]()
    for row in rows.known:
        last = new if row[:2] in new else known
        before = last.get(row[:2])
        raised_at = before[-1] if before is not None and row[-1] is None else row[-1]
        last[row[:2]] = (*row[:-1], raised_at)
    return Rows([*new.values()], [*known.values()])


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
