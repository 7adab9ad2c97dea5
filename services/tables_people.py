"""Who is one person, and who is erased: what the projector reads and writes of people in Postgres. DESIGN section 4."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from events.catalogue import TYPES
from events.envelope import Recorded
from events.identity import bared, unreadable
from projections.known import CORRECTIONS, Identity
from services.projector.changes import Changes, Person, Row
from services.tables import Connection
from services.tables_projector import OF_EACH

CORRECTIVE = [kind for kind, model in TYPES.items() if model in CORRECTIONS]

# -- merging -------------------------------------------------------------------------------------------------------------


async def aliases(connection: Connection, schema: str, subjects: Sequence[Person]) -> dict[Person, str]:
    """The persons that subjects have become by merges; one short question where nobody was ever merged."""
    if not await connection.fetchval(f"select exists (select 1 from {schema}.alias)"):
        return {}
    rows = await connection.fetch(
        f"select a.tenant, a.subject, a.person from {schema}.alias a"
        " join unnest($1::text[], $2::text[]) as w(tenant, subject) using (tenant, subject)",
        [tenant for tenant, _ in subjects], [subject for _, subject in subjects],
    )  # fmt: skip
    return {(row["tenant"], row["subject"]): row["person"] for row in rows}


async def write_corrections(connection: Connection, schema: str, changes: Changes) -> None:
    """The batch's merges and voids, before all of the tenant's are judged together."""
    await connection.executemany(
        f"insert into {schema}.correction (tenant, subject, digest, is_merge, raw) values ($1, $2, $3, $4, $5)"
        " on conflict do nothing",
        changes.corrections,
    )


async def lock_merges(connection: Connection, tenant: str) -> None:
    """One transaction at a time judges the merges of a tenant."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 7202))", tenant)


async def corrections(connection: Connection, schema: str, tenant: str) -> list[bytes]:
    """The merges of a tenant and the voids of whoever was merged, raw."""
    rows = await connection.fetch(
        f"select raw from {schema}.correction c where tenant = $1 and subject in"
        f" (select subject from {schema}.correction where tenant = $1 and is_merge)",
        tenant,
    )
    return [row["raw"] for row in rows]


async def persons(connection: Connection, schema: str, tenant: str) -> dict[str, str]:
    """Every subject of a tenant that has become another person."""
    rows = await connection.fetch(f"select subject, person from {schema}.alias where tenant = $1", tenant)
    return {row["subject"]: row["person"] for row in rows}


async def set_persons(
    connection: Connection, schema: str, tenant: str, moved: Collection[str], now: Mapping[str, str]
) -> None:
    """Some subjects are somebody else now, or themselves again."""
    await connection.execute(f"delete from {schema}.alias where tenant = $1 and subject = any($2)", tenant, list(moved))
    await connection.executemany(
        f"insert into {schema}.alias (tenant, subject, person) values ($1, $2, $3)",
        [(tenant, subject, now[subject]) for subject in moved if subject in now],
    )


async def set_merge_cycles(connection: Connection, schema: str, tenant: str, cycles: int) -> None:
    """How many merges of a tenant would close a circle."""
    await connection.execute(
        f"insert into {schema}.merge_cycles (tenant, cycles) values ($1, $2)"
        " on conflict (tenant) do update set cycles = excluded.cycles",
        tenant, cycles,
    )  # fmt: skip


async def leave(connection: Connection, schema: str, person: Person, facts: Iterable[Recorded]) -> None:
    """Facts leave a person's timeline."""
    await connection.executemany(
        f"delete from {schema}.timeline where tenant = $1 and patient = $2 and subject = $3 and source = $4 and id = $5",
        [(*person, *fact.identity) for fact in facts],
    )


# -- erasing -------------------------------------------------------------------------------------------------------------


async def tombstones(connection: Connection, schema: str, persons: Sequence[Person]) -> dict[Person, datetime]:
    """Up to when persons are erased."""
    rows = await connection.fetch(
        f"select w.tenant, w.patient, t.erased_at from {OF_EACH} (select erased_at from {schema}.tombstone t"
        " where t.tenant = w.tenant and t.subject = w.patient offset 0) t",
        [tenant for tenant, _ in persons], [person for _, person in persons],
    )  # fmt: skip
    return {(row["tenant"], row["patient"]): row["erased_at"] for row in rows}


async def erased(connection: Connection, schema: str, persons: Sequence[Person]) -> dict[Person, dict[bytes, datetime]]:
    """The digests of the facts that persons were erased of, and when each was recorded: of all who are this person by now."""
    rows = await connection.fetch(
        f"select w.tenant, w.patient, e.digest, e.recorded_at from {OF_EACH} (select digest, recorded_at from {schema}.erased_fact e"
        " where e.tenant = w.tenant and e.subject = w.patient"
        f" and not exists (select 1 from {schema}.alias a where a.tenant = w.tenant and a.subject = w.patient)"
        f" union all select e.digest, e.recorded_at from {schema}.alias a join {schema}.erased_fact e using (tenant, subject)"
        " where a.tenant = w.tenant and a.person = w.patient offset 0) e",
        [tenant for tenant, _ in persons], [person for _, person in persons],
    )  # fmt: skip
    found: dict[Person, dict[bytes, datetime]] = {}
    for row in rows:
        found.setdefault((row["tenant"], row["patient"]), {})[row["digest"]] = row["recorded_at"]
    return found


async def what_was_erased(
    connection: Connection, schema: str, persons: Sequence[Person]
) -> tuple[dict[Person, datetime], dict[Person, dict[bytes, datetime]]]:
    """The tombstones of persons, and the digests of what they were erased of; one question where nobody was ever erased."""
    if not await connection.fetchval(
        f"select exists (select 1 from {schema}.tombstone) or exists (select 1 from {schema}.erased_fact)"
    ):
        return {}, {}
    return await tombstones(connection, schema, persons), await erased(connection, schema, persons)


async def bury(connection: Connection, schema: str, tombstones: Sequence[Row]) -> None:
    await connection.executemany(
        f"insert into {schema}.tombstone (tenant, subject, erased_at) values ($1, $2, $3) on conflict (tenant, subject)"
        " do update set erased_at = greatest(tombstone.erased_at, excluded.erased_at)",
        tombstones,
    )
    for tenant, person, _ in tombstones:
        await erase_parked(connection, schema, tenant, await subjects_of(connection, schema, (tenant, person)))


async def subjects_of(connection: Connection, schema: str, person: Person) -> set[str]:
    """Every subject that is this person by now."""
    rows = await connection.fetch(f"select subject from {schema}.alias where tenant = $1 and person = $2", *person)
    return {person[1]} | {row["subject"] for row in rows}


async def erase_parked(connection: Connection, schema: str, tenant: str, subjects: Collection[str]) -> None:
    """What was no fact, and may say all the more of somebody."""
    await connection.execute(
        f"delete from {schema}.parked where tenant = $1 and subject = any($2)", tenant, list(subjects)
    )


async def _may_hold(connection: Connection, schema: str, tenant: str, subjects: Sequence[str]) -> list[str]:
    """Under whose names a generation may have filed facts of these subjects: their own, whom they have become there, and those who have
    become the same; whoever is to be regrouped, of whom some facts have become somebody else's, and whoever was set aside meanwhile.
    """
    rows = await connection.fetch(
        "select unnest($2::text[]) as person"
        f" union select person from {schema}.alias where tenant = $1 and subject = any($2)"
        f" union select other.subject from {schema}.alias a join {schema}.alias other using (tenant, person)"
        " where a.tenant = $1 and a.subject = any($2)"
        f" union select person from {schema}.inbox where tenant = $1 and raw is null"
        f" union select patient from {schema}.patient where tenant = $1 and is_quarantined",
        tenant, subjects,
    )  # fmt: skip
    return [row["person"] for row in rows]


async def erase_elsewhere(
    connection: Connection,
    own: str,
    person: Person,
    facts: Sequence[Recorded],
    rows: Sequence[Row],
    until: datetime | None,
) -> None:
    """Erased means gone from every kept generation: the facts, of which only their digests stay, and what was made of them. Not where
    that generation knows a copy that was recorded before and occurred after the erasure: it counts, and is none of it.

    A generation that has taken the erasure in itself has its rows right: of what came after it, which is nobody's to delete.
    """
    tenant = person[0]
    subjects = sorted({fact.subject for fact in facts} | await subjects_of(connection, own, person))
    earliest: dict[Identity, datetime] = {}
    for fact in facts:
        earliest[fact.identity] = min(fact.recorded_at, earliest.get(fact.identity, fact.recorded_at))
    for row in await connection.fetch("select 'g' || id as schema from parcours.generation where 'g' || id <> $1", own):
        schema = row["schema"]
        there = await _may_hold(connection, schema, tenant, subjects)
        await _bare_there(connection, schema, tenant, there, subjects, until)
        identities = list(map(list, zip(*earliest, strict=True))) or [[], [], []]
        found = await connection.fetch(
            "with gone as (select * from unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[])"
            " as w(subject, source, id, recorded_at)),"
            f" deleted as (delete from {schema}.timeline t using gone w"
            " where t.tenant = $1 and t.patient = any($7) and t.subject = w.subject and t.source = w.source and t.id = w.id"
            " and (t.recorded_at >= w.recorded_at or coalesce(t.occurred_at <= $6::timestamptz, false)) returning t.patient)"
            " select distinct patient, null as subject, null as source, null as id from deleted union all"
            f" select null, t.subject, t.source, t.id from {schema}.timeline t join gone w using (subject, source, id)"
            " where t.tenant = $1 and t.patient = any($7) and t.recorded_at < w.recorded_at"
            " and not coalesce(t.occurred_at <= $6::timestamptz, false)",
            tenant, *identities, list(earliest.values()), until, there,
        )  # fmt: skip
        if await connection.fetchval("select to_regclass($1)", f"{schema}.erased_fact") is None:
            continue  # a generation that is being dropped
        counts_there = {
            unreadable(tenant, row["subject"], row["source"], row["id"]) for row in found if row["subject"] is not None
        }
        await keep_erased(connection, schema, [row for row in rows if row[2] not in counts_there])
        knows = until is None or await connection.fetchval(
            f"select exists (select 1 from {schema}.tombstone where tenant = $1 and subject = any($2) and erased_at >= $3)",
            tenant, subjects, until,
        )  # fmt: skip
        touched = {row["patient"] for row in found if row["patient"] is not None}
        if not knows:
            await erase_parked(connection, schema, tenant, subjects)
            await _forget_rows(connection, schema, tenant, {*subjects, *touched})
            touched -= {*subjects}
        await connection.execute(  # what it has made of facts that are gone now, it has to make anew
            f"insert into {schema}.inbox (partition, tenant, person, raw, is_conflicting)"
            f" select partition, tenant, patient, null, false from {schema}.patient where tenant = $1 and patient = any($2)",
            tenant, sorted(touched),
        )  # fmt: skip


async def _forget_rows(connection: Connection, schema: str, tenant: str, persons: Collection[str]) -> None:
    """What a generation has made of the facts of some persons."""
    for table in ("case_path", "claim", "finding", "contact", "alert_act"):
        if await connection.fetchval("select to_regclass($1)", f"{schema}.{table}") is None:
            continue  # a generation made before there was such a table
        await connection.execute(
            f"delete from {schema}.{table} where tenant = $1 and patient = any($2)", tenant, list(persons)
        )


async def _bare_there(
    connection: Connection, schema: str, tenant: str, persons: Sequence[str], subjects: Sequence[str], until: datetime | None
) -> None:  # fmt: skip
    """Of the merges, voids and erasures of these subjects no more stays in a generation than what makes them such."""
    rows = await connection.fetch(
        f"select patient, subject, source, id, raw from {schema}.timeline where tenant = $1 and patient = any($2) and subject = any($3)"
        " and occurred_at <= $4 and type = any($5)",
        tenant, persons, subjects, until, CORRECTIVE,
    )  # fmt: skip
    await connection.executemany(
        f"update {schema}.timeline set raw = $6 where tenant = $1 and patient = $2 and subject = $3 and source = $4 and id = $5",
        [
            (tenant, row["patient"], row["subject"], row["source"], row["id"], now)
            for row in rows if (now := bared(row["raw"])) != row["raw"]
        ],
    )  # fmt: skip


async def one_at_a_time(connection: Connection) -> None:
    """Erasures reach into the tables of every generation: whoever erases waits for the others, and nobody for each other."""
    await connection.execute("select pg_advisory_xact_lock(hashtext('parcours erasures'))")


async def erase_unsaid(connection: Connection, persons: Collection[Person]) -> None:
    """What was to be said of erased persons is not said any more; a message that was to say nothing else is dropped."""
    whom = [tenant for tenant, _ in persons], [person for _, person in persons]
    theirs = "unnest($1::text[], $2::text[]) as w(tenant, person) where o.tenant = w.tenant and o.patient = w.person"
    carried = await connection.fetch(
        f"select distinct d.message from parcours.delivery d join parcours.outbox o on o.id = d.outbox, {theirs} and d.message is not null",
        *whom,
    )
    await connection.execute(f"delete from parcours.outbox o using {theirs}", *whom)
    await connection.execute(
        "update parcours.message m set state = 'dropped', last_answer = 'erased' where m.id = any($1::bigint[])"
        " and m.state <> 'delivered' and not exists (select 1 from parcours.delivery d where d.message = m.id)",
        [row["message"] for row in carried],
    )


async def keep_erased(connection: Connection, schema: str, rows: Sequence[Row]) -> None:
    """Note erased facts: tenant, subject, digest, recorded_at, content's digest, unknown type, whether conflicting."""
    await connection.executemany(
        f"insert into {schema}.erased_fact as e (tenant, subject, digest, recorded_at, content, unknown_type, is_conflicting)"
        " values ($1, $2, $3, $4, $5, $6, $7) on conflict (tenant, digest)"
        " do update set is_conflicting = e.is_conflicting or excluded.is_conflicting or e.content <> excluded.content,"
        " unknown_type = case when excluded.recorded_at < e.recorded_at then excluded.unknown_type else e.unknown_type end,"
        " recorded_at = least(e.recorded_at, excluded.recorded_at)",
        rows,
    )


async def forget_erased(connection: Connection, schema: str, digests: Sequence[tuple[str, bytes]]) -> None:
    """Of these facts (tenant, digest) a copy has come that counts, and was not erased."""
    await connection.executemany(f"delete from {schema}.erased_fact where tenant = $1 and digest = $2", digests)
