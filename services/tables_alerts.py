"""What the notifier keeps in Postgres: subscriptions, messages, attempts, the brake. None of it is a fact. DESIGN section 2."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from projections.announcing import gravity
from services.tables import Connection

CHANNEL = "parcours_outbox"
MESSAGES = "parcours_messages"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told, by which way, of what."""

    id: str
    tenant: str
    kind: str
    target: str
    role: str
    language: str
    filters: dict[str, Any]
    hours: dict[str, Any] | None
    digest: str | None
    secrets: tuple[str, ...]
    state: str
    notice: str | None = None


# -- settings of the instance ------------------------------------------------------------------------------------------------


async def setting(connection: Connection, name: str) -> Any:
    """A setting of the instance; None if nobody set it."""
    return await connection.fetchval("select value from parcours.setting where name = $1", name)


async def is_held(connection: Connection, tenant: str) -> bool:
    """Whether the brake is on for an establishment."""
    brake = await setting(connection, "brake")
    return brake is not None and tenant not in brake.get("released", ())


async def set_setting(connection: Connection, name: str, value: Any) -> None:
    """Set it; None removes it."""
    if value is None:
        await connection.execute("delete from parcours.setting where name = $1", name)
        return
    await connection.execute(
        "insert into parcours.setting (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
        name, value,
    )  # fmt: skip


# -- the relay ---------------------------------------------------------------------------------------------------------------


async def lock_relay(connection: Connection) -> bool:
    """Whether this connection is now the one that relays alerts; it stays so until it ends or is given back."""
    return bool(await connection.fetchval("select pg_try_advisory_lock(7204)"))


async def unsent(connection: Connection, limit: int) -> list[Any]:
    """The oldest alerts of every partition that are not noted as being in Kafka."""
    return list(
        await connection.fetch(
            "select id, key, value, created_at from parcours.outbox where sent_at is null order by partition, id limit $1",
            limit,
        )
    )


async def mark_sent(connection: Connection, ids: list[int]) -> None:
    """These alerts are in Kafka. Locked in their order, as those who hand them out do: in any other the two would block each other."""
    await connection.execute(
        "update parcours.outbox o set sent_at = now() from"
        " (select id from parcours.outbox where id = any($1::bigint[]) order by id for update) w where o.id = w.id",
        ids,
    )


# -- subscriptions -----------------------------------------------------------------------------------------------------------


async def subscriptions(connection: Connection, tenant: str | None = None) -> list[Subscription]:
    """Every subscription, oldest first."""
    rows = await connection.fetch(
        "select id, tenant, kind, target, role, language, filters, hours, digest, secrets, state, notice"
        " from parcours.subscription where $1::text is null or tenant = $1 order by created_at, id",
        tenant,
    )
    return [Subscription(**(dict(row) | {"secrets": tuple(row["secrets"])})) for row in rows]


async def add_subscription(connection: Connection, one: Subscription) -> None:
    await connection.execute(
        "insert into parcours.subscription (id, tenant, kind, target, role, language, filters, hours, digest, secrets)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        one.id, one.tenant, one.kind, one.target, one.role, one.language, one.filters, one.hours, one.digest, list(one.secrets),
    )  # fmt: skip
    await ring(connection)


async def set_state(
    connection: Connection, number: str, state: str, notice: str | None, tenant: str | None = None
) -> bool:
    """Pause, resume or disable; False if there is no such subscription."""
    done = await connection.execute(
        "update parcours.subscription set state = $2, notice = $3, failing_since = case when $2 = 'active' then null"
        " else failing_since end where id = $1 and ($4::text is null or tenant = $4)",
        number, state, notice, tenant,
    )  # fmt: skip
    await ring(connection)
    return bool(done != "UPDATE 0")


async def remove_subscription(connection: Connection, number: str, tenant: str | None = None) -> bool:
    done = await connection.execute(
        "delete from parcours.subscription where id = $1 and ($2::text is null or tenant = $2)", number, tenant
    )
    return bool(done != "DELETE 0")


async def set_secrets(connection: Connection, number: str, secrets: Sequence[str]) -> None:
    await connection.execute("update parcours.subscription set secrets = $2 where id = $1", number, list(secrets))


async def ring(connection: Connection) -> None:
    """Wake the senders."""
    await connection.execute("select pg_notify($1, '')", MESSAGES)


# -- reading for people --------------------------------------------------------------------------------------------------------

ALERT = """
with s as (select * from parcours.announced n where {chosen})
select s.tenant, s.finding as alert, s.patient, s.n, s.level, s.is_raised, s.said_at, coalesce(s.raised_at, s.said_at) as raised_at,
    s.cause, f.kind, f.case_id, f.claim_id, f.topic, f.department, f.opened_at, f.reasons, o.number,
    coalesce(k.chases, 0) + coalesce(c.carried, 0) + coalesce(c.returns, 0) as endured,
    coalesce(k.t0, c.first_sign, f.opened_at, s.said_at) as since,
    a.kind as act, a.by as act_by, a.at as act_at, a.until as act_until, a.reason as act_reason
from s
left join lateral (select * from parcours.finding f where f.tenant = s.tenant and f.id = s.finding offset 0) f on true
left join lateral (select * from parcours.case_path c where c.tenant = f.tenant and c.patient = f.patient and c.case_id = f.case_id
    offset 0) c on true
left join lateral (select * from parcours.claim k where k.tenant = f.tenant and k.patient = f.patient and k.claim_id = f.claim_id
    offset 0) k on true
left join lateral (select number from parcours.outbox o where o.tenant = s.tenant and o.finding = s.finding
    order by id desc limit 1) o on true
left join lateral (select * from parcours.alert_act a where a.tenant = s.tenant and a.alert = s.finding
    and a.at >= coalesce(s.raised_at, s.said_at) order by a.at desc limit 1) a on true
order by s.said_at desc, s.finding
"""
"""What there is to say of the alerts that are `chosen` among n, what was announced: a look at each of these, and at no other."""
WITHIN = "exists (select 1 from parcours.finding f where f.tenant = n.tenant and f.id = n.finding and f.department = any($3))"
"""Of some departments."""


def alert_state(row: Any, now: datetime) -> str:
    """raised, acknowledged, silenced, dismissed or resolved."""
    if not row["is_raised"]:
        return "resolved"
    if row["act"] == "silenced" and row["act_until"] is not None and row["act_until"] <= now:
        return "raised"
    return row["act"] or "raised"


async def alerts(
    connection: Connection, tenant: str | None, *, raised_only: bool = False, department: str | None = None,
    departments: Sequence[str] | None = None, limit: int = 1_000, after: tuple[datetime, str] | None = None,
) -> list[Any]:  # fmt: skip
    """What was said and what people did with it, the newest first; `after` the one said then, of that name."""
    within = departments
    if department is not None:
        within = [department] if departments is None or department in departments else []
    found = list[Any]()
    while True:
        # what is not asked is no condition on an alert: with "or", one plan would be made for both
        chosen = (
            "n.tenant = $1" if tenant is not None else "$1::text is null",
            "n.is_raised" if raised_only else "true",
            WITHIN if within is not None else "$3::text[] is null",
            "(n.said_at < $4 or n.said_at = $4 and n.finding > $5)" if after else "$4::timestamptz is null and $5::text is null",
        )  # fmt: skip
        most = limit - len(found)
        rows = await connection.fetch(
            ALERT.format(chosen=f"{' and '.join(chosen)} order by n.said_at desc, n.finding limit $2"),
            tenant, most, None if within is None else list(within), *(after or (None, None)),
        )  # fmt: skip
        found += await _not_erased(connection, rows)
        if len(rows) < most or len(found) >= limit:
            return found
        after = (rows[-1]["said_at"], rows[-1]["alert"])


async def _not_erased(connection: Connection, rows: Sequence[Any]) -> list[Any]:
    """Without what was said of persons of whom nothing is left: that it ever was is no alert. Asked of these rows alone."""
    over = list({(row["tenant"], row["patient"]) for row in rows if not row["is_raised"]})
    gone = {
        (one["tenant"], one["patient"])
        for one in await connection.fetch(
            "select w.tenant, w.patient from unnest($1::text[], $2::text[]) as w(tenant, patient)"
            " cross join lateral (select 1 from parcours.erased_fact e where e.tenant = w.tenant and e.subject = w.patient limit 1) e"
            " where not exists (select 1 from parcours.patient p where p.tenant = w.tenant and p.patient = w.patient)",
            [tenant for tenant, _ in over], [patient for _, patient in over],
        )
    }  # fmt: skip
    return [row for row in rows if row["is_raised"] or (row["tenant"], row["patient"]) not in gone]


async def standing(
    connection: Connection, tenant: str, patient: str, departments: Sequence[str] | None = None
) -> list[Any]:
    """The alerts about a patient that stand."""
    return list(
        await connection.fetch(
            ALERT.format(
                chosen=f"n.tenant = $1 and n.patient = $2 and n.is_raised and ($3::text[] is null or {WITHIN})"
            ),
            tenant, patient, None if departments is None else list(departments),
        )
    )  # fmt: skip


def worst_first(rows: Iterable[Any]) -> list[Any]:
    """Alerts in the order of the list of who is to be called: the gravest, of these who has endured most, then who has waited longest."""
    return sorted(rows, key=_place)


def _place(row: Any) -> tuple[Any, ...]:
    severity, is_losing = gravity(row["alert"].partition(":")[0], row["level"])
    return -severity, not is_losing, -row["endured"], row["since"], row["alert"]


async def alert(connection: Connection, tenant: str | None, finding: str) -> list[Any]:
    """One alert, in every tenant that has one of that id."""
    rows = await connection.fetch(
        ALERT.format(chosen="n.finding = $2 and ($1::text is null or n.tenant = $1)"), tenant, finding
    )
    return await _not_erased(connection, rows)


async def acts_of(connection: Connection, tenant: str, finding: str) -> list[dict[str, Any]]:
    """What people did with an alert, in order."""
    rows = await connection.fetch(
        "select kind, at, by, until, reason from parcours.alert_act where tenant = $1 and alert = $2 order by at",
        tenant, finding,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def sent_of(connection: Connection, tenant: str, finding: str) -> list[dict[str, Any]]:
    """Who was told of an alert, and what became of it, in the order of what was said."""
    rows = await connection.fetch(
        "select o.n as number, o.act, d.subscription, m.name as message, coalesce(m.state, 'muted') as state,"
        " coalesce(d.muted, m.last_answer) as answer, m.attempts, m.sent_at"
        " from (select id, number as n, act from parcours.outbox where tenant = $1 and finding = $2) o"
        " join parcours.delivery d on d.outbox = o.id left join parcours.message m on m.id = d.message order by o.n",
        tenant, finding,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def quality(connection: Connection, tenant: str | None) -> list[dict[str, Any]]:
    """Of each rule, department and month: what was raised, what people found useful, what they dismissed.

    Useful: taken on, or resolved without having been dismissed. Undecided ones count for neither.
    """
    rows = await connection.fetch(
        "select s.tenant, split_part(s.finding, ':', 1) as rule, coalesce(f.department, '') as department,"
        " to_char(coalesce(s.raised_at, s.said_at), 'YYYY-MM') as month, count(*) as raised,"
        " count(*) filter (where d.dismissed) as dismissed,"
        " count(*) filter (where not d.dismissed and (d.taken or (not s.is_raised and s.cause is distinct from 'corrected'))) as useful,"
        " count(*) filter (where not s.is_raised and s.cause = 'corrected') as corrected"
        " from parcours.announced s left join parcours.finding f on f.tenant = s.tenant and f.id = s.finding"
        " cross join lateral (select coalesce(bool_or(a.kind = 'dismissed'), false) as dismissed,"
        "  coalesce(bool_or(a.kind = 'acknowledged'), false) as taken from parcours.alert_act a"
        "  where a.tenant = s.tenant and a.alert = s.finding) d"
        " where $1::text is null or s.tenant = $1 group by 1, 2, 3, 4 order by 1, 4 desc, 2, 3",
        tenant,
    )  # fmt: skip
    found = []
    for row in rows:
        decided = row["useful"] + row["dismissed"]
        found.append(dict(row) | {"useful_share": round(row["useful"] / decided, 3) if decided else None})
    return found


async def said_after(connection: Connection, tenant: str, number: int, limit: int) -> list[tuple[int, bytes]]:
    """What was said to a tenant after a number, in order."""
    rows = await connection.fetch(
        "select number, value from parcours.outbox where tenant = $1 and number > $2 order by number limit $3",
        tenant, number, limit,
    )  # fmt: skip
    return [(row["number"], row["value"]) for row in rows]


async def last_number(connection: Connection, tenant: str) -> int:
    found: int = await connection.fetchval(
        "select coalesce(max(last), 0) from parcours.alert_number where tenant = $1", tenant
    )
    return found
