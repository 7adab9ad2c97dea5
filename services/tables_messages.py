"""Alerts as messages to subscribers in Postgres: who is told what, in which message, and what became of it. DESIGN section 2."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from services.tables import Connection
from services.tables_alerts import Subscription, ring, set_setting, setting

LEASE = timedelta(seconds=20)
HELD = """m.why <> 'notice' and exists (select 1 from parcours.setting b where b.name = 'brake'
    and not coalesce(b.value -> 'released', '[]') ? m.tenant)"""
"""Whether the brake holds a message: all but those that say that it does, unless it was released for their establishment."""


@dataclass(frozen=True, slots=True)
class Unrouted:
    """An alert that nobody has been looked for yet."""

    id: int
    tenant: str
    patient: str
    finding: str
    act: str
    value: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """A message to one subscriber, and the alerts it carries (raw envelopes, oldest first)."""

    id: int
    name: str
    rule: str
    severity: str
    why: str
    attempts: int
    alerts: tuple[bytes, ...]


# -- routing -----------------------------------------------------------------------------------------------------------------


async def unrouted(connection: Connection, limit: int) -> list[Unrouted]:
    """The oldest alerts nobody was looked for, locked."""
    rows = await connection.fetch(
        "select id, tenant, patient, coalesce(finding, '') as finding, coalesce(act, '') as act, value, created_at"
        " from parcours.outbox where routed_at is null order by id limit $1 for update",
        limit,
    )
    return [Unrouted(**dict(row)) for row in rows]


async def mark_routed(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute("update parcours.outbox set routed_at = now() where id = any($1::bigint[])", list(ids))


async def silences(connection: Connection, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], datetime | None]:
    """Alerts silenced by their last act, and until when (None: until they rise again)."""
    wanted = list(pairs)
    rows = await connection.fetch(
        "select distinct on (a.tenant, a.alert) a.tenant, a.alert, a.kind, a.until from parcours.alert_act a"
        " join unnest($1::text[], $2::text[]) as w(tenant, alert) using (tenant, alert)"
        " join parcours.announced s on s.tenant = a.tenant and s.finding = a.alert"
        " where a.kind = 'silenced' and (a.until > now() or (a.until is null and a.at >= coalesce(s.raised_at, a.at)))"
        " order by a.tenant, a.alert, a.at desc",
        [tenant for tenant, _ in wanted], [alert for _, alert in wanted],
    )  # fmt: skip
    return {(row["tenant"], row["alert"]): row["until"] for row in rows}


async def raised_of_case(connection: Connection, tenant: str, patient: str, case: str) -> list[tuple[str, str | None]]:
    """Kind and level of the findings of a case that were said and are open."""
    rows = await connection.fetch(
        "select f.kind, f.level from parcours.finding f"
        " where f.tenant = $1 and f.patient = $2 and f.case_id = $3 and f.is_open",
        tenant, patient, case,
    )  # fmt: skip
    return [(row["kind"], row["level"]) for row in rows]


async def was_told(connection: Connection, subscription: str, tenant: str, finding: str, resolved: int) -> bool:
    """Whether a subscriber was told, or may have been, of a finding that an outbox row resolves, since it was last resolved before."""
    return bool(
        await connection.fetchval(
            "select exists (select 1 from parcours.delivery d join parcours.outbox o on o.id = d.outbox"
            " join parcours.message m on m.id = d.message where d.subscription = $1 and o.tenant = $2 and o.finding = $3"
            " and o.act in ('raised', 'revised') and o.id < $4 and m.state <> 'dropped' and (m.state = 'delivered' or m.attempts > 0)"
            " and o.id > coalesce((select max(e.id) from parcours.outbox e where e.tenant = $2 and e.finding = $3 and e.id < $4"
            "  and e.act = 'resolved'), 0))",
            subscription, tenant, finding, resolved,
        )
    )  # fmt: skip


async def take_back(connection: Connection, subscription: str, tenant: str, finding: str, why: str) -> None:
    """What was not said yet of a finding is not said any more; it stays listed, with the reason."""
    rows = await connection.fetch(
        "update parcours.delivery d set message = null, muted = $4 from parcours.outbox o, parcours.message m"
        " where o.id = d.outbox and m.id = d.message and d.subscription = $1 and o.tenant = $2 and o.finding = $3"
        " and m.state in ('waiting', 'held') and m.attempts = 0 returning m.id",
        subscription, tenant, finding, why,
    )  # fmt: skip
    await connection.execute(
        "update parcours.message m set state = 'dropped', last_answer = $2 where id = any($1::bigint[])"
        " and not exists (select 1 from parcours.delivery d where d.message = m.id)",
        [row["id"] for row in rows], why,
    )  # fmt: skip


async def mute(connection: Connection, subscription: str, outbox: int, why: str) -> None:
    """An alert a subscriber is not told of, and why: it stays listed."""
    await connection.execute(
        "insert into parcours.delivery (subscription, outbox, muted) values ($1, $2, $3) on conflict do nothing",
        subscription, outbox, why,
    )  # fmt: skip


async def open_group(connection: Connection, subscription: str, group: str, patient: str) -> int | None:
    """The message of a group that still takes alerts of a patient in: none where a later message speaks of them already."""
    found: int | None = await connection.fetchval(
        "select id from parcours.message m where subscription = $1 and group_key = $2 and attempts = 0"
        " and state in ('waiting', 'held') and not_before > now() and not exists (select 1 from parcours.message e"
        "  where e.subscription = $1 and e.id > m.id and e.state in ('waiting', 'held') and $3 = any(e.patients))"
        " order by id desc limit 1 for update",
        subscription, group, patient,
    )  # fmt: skip
    return found


async def last_of_group(connection: Connection, subscription: str, group: str) -> datetime | None:
    """When the group was last told."""
    found: datetime | None = await connection.fetchval(
        "select max(greatest(not_before, coalesce(sent_at, not_before))) from parcours.message"
        " where subscription = $1 and group_key = $2 and state in ('waiting', 'delivered')",
        subscription, group,
    )  # fmt: skip
    return found


async def new_message(
    connection: Connection, listener: Subscription, rule: str, group: str, severity: str, not_before: datetime,
    *, why: str = "raised", held: bool = False, note: str | None = None,
) -> int:  # fmt: skip
    """A message without alerts yet, under a name that stays the same at every attempt."""
    number: int = await connection.fetchval(
        "insert into parcours.message (name, subscription, tenant, rule, group_key, severity, patients, why, state, not_before,"
        " last_answer) values ($1, $2, $3, $4, $5, $6, '{}', $7, $8, $9, $10) returning id",
        f"msg_{uuid4().hex}", listener.id, listener.tenant, rule, group, severity, why, "held" if held else "waiting",
        not_before, note,
    )  # fmt: skip
    return number


async def put_in(
    connection: Connection, message: int, outbox: int, subscription: str, patient: str, severity: str
) -> None:
    """One more alert in a message; the message is as severe as its most severe alert."""
    await connection.execute(
        "insert into parcours.delivery (subscription, outbox, message) values ($1, $2, $3) on conflict do nothing",
        subscription, outbox, message,
    )  # fmt: skip
    await connection.execute(
        "update parcours.message set patients = case when $2 = any(patients) then patients else patients || $2 end,"
        " severity = case when array_position(array['low','medium','high','critical'], $3)"
        " > array_position(array['low','medium','high','critical'], severity) then $3 else severity end where id = $1",
        message, patient, severity,
    )  # fmt: skip


async def hasten(connection: Connection, subscription: str, patient: str, at: datetime) -> None:
    """What waits of a patient for its group's sake need not wait longer than until an instant."""
    await connection.execute(
        "update parcours.message set not_before = least(not_before, $3) where subscription = $1 and $2 = any(patients)"
        " and state = 'waiting' and attempts = 0 and last_answer is null",
        subscription, patient, at,
    )  # fmt: skip


async def messages_lately(connection: Connection, tenant: str, seconds: int) -> int:
    """How many groups of raised alerts became messages lately; the same group to several subscribers is one."""
    found: int = await connection.fetchval(
        "select count(distinct group_key) from parcours.message where tenant = $1 and why = 'raised'"
        " and created_at > now() - make_interval(secs => $2)",
        tenant, float(seconds),
    )  # fmt: skip
    return found


async def messages_since(connection: Connection, tenant: str, role: str, since: datetime) -> int:
    """How many messages a role was sent since an instant."""
    found: int = await connection.fetchval(
        "select count(*) from parcours.message m join parcours.subscription s on s.id = m.subscription"
        " where m.tenant = $1 and s.role = $2 and m.created_at >= $3 and m.state <> 'dropped'",
        tenant, role, since,
    )  # fmt: skip
    return found


# -- sending -----------------------------------------------------------------------------------------------------------------


async def claim_messages(connection: Connection, subscription: str, limit: int) -> list[Message]:
    """Messages due to a subscriber, taken for a while; never one whose patient has an earlier one still waiting, nor any alert while
    the brake is on.

    Taken is not sent: if whoever took them dies, they are taken again when the lease is over, under the same name.
    """
    rows = await connection.fetch(
        "with due as (select m.id from parcours.message m where m.subscription = $1 and m.state = 'waiting'"
        f" and m.not_before <= now() and not ({HELD})"
        " and not exists (select 1 from parcours.message e where e.subscription = m.subscription and e.id < m.id"
        "  and e.state = 'waiting' and e.patients && m.patients)"
        " order by m.id limit $2 for update skip locked)"
        " update parcours.message m set attempts = m.attempts + 1, not_before = now() + $3 from due where m.id = due.id"
        " returning m.id, m.name, m.rule, m.severity, m.why, m.attempts",
        subscription, limit, LEASE,
    )  # fmt: skip
    if not rows:
        return []
    carried = await connection.fetch(
        "select d.message, o.value from parcours.delivery d join parcours.outbox o on o.id = d.outbox"
        " where d.message = any($1::bigint[]) order by o.id",
        [row["id"] for row in rows],
    )
    alerts: dict[int, list[bytes]] = {}
    for one in carried:
        alerts.setdefault(one["message"], []).append(one["value"])
    found = [Message(**dict(row), alerts=tuple(alerts.get(row["id"], ()))) for row in rows]
    return sorted(found, key=lambda message: message.id)


async def note_attempt(
    connection: Connection, message: int, state: str, answer: str, seconds: float, again_at: datetime | None
) -> None:
    """What came of an attempt. Only what the receiver accepted is called delivered; what would be tried again is held by the brake."""
    await connection.execute(
        "insert into parcours.attempt (message, answer, seconds) values ($1, $2, $3)", message, answer[:300], seconds
    )
    await connection.execute(
        f"update parcours.message m set state = case when $2 = 'waiting' and {HELD} then 'held' else $2 end, last_answer = $3,"
        " not_before = coalesce($4, not_before),"
        " sent_at = case when $2 = 'delivered' then now() else sent_at end where id = $1",
        message, state, answer[:300], again_at,
    )  # fmt: skip


async def note_health(connection: Connection, subscription: str, *, works: bool) -> None:
    """Since when a subscriber fails."""
    await connection.execute(
        "update parcours.subscription set failing_since = case when $2 then null else coalesce(failing_since, now()) end"
        " where id = $1 and ($2 = (failing_since is not null))",
        subscription, works,
    )  # fmt: skip


async def next_due(connection: Connection) -> datetime | None:
    """When the next message may be sent."""
    found: datetime | None = await connection.fetchval(
        "select min(not_before) from parcours.message m join parcours.subscription s on s.id = m.subscription"
        " where m.state = 'waiting' and s.state = 'active'"
    )
    return found


# -- repeating and escalating --------------------------------------------------------------------------------------------------


async def unanswered_alerts(connection: Connection) -> list[dict[str, Any]]:
    """Alerts that are raised and that nobody has taken, silenced or dismissed since."""
    rows = await connection.fetch(
        "select s.tenant, s.finding, s.patient, s.n, s.level, coalesce(s.raised_at, s.said_at) as raised_at, s.said_at,"
        " o.id as outbox, o.value"
        " from parcours.announced s join lateral (select id, value, created_at from parcours.outbox o where o.tenant = s.tenant"
        "  and o.finding = s.finding and o.act in ('raised', 'revised') order by id desc limit 1) o on true"
        " where s.is_raised and not exists (select 1 from parcours.alert_act a where a.tenant = s.tenant and a.alert = s.finding"
        "  and (a.kind <> 'silenced' or a.until is null or a.until > now()) and a.at >= coalesce(s.raised_at, s.said_at))"
        " and o.created_at > now() - interval '60 days'"
    )
    return [dict(row) for row in rows]


async def repeated(connection: Connection) -> dict[tuple[str, str, str], tuple[datetime, int]]:
    """When raised alerts (tenant, finding) were last repeated to a subscription since they were raised, and how often."""
    rows = await connection.fetch(
        "select r.tenant, r.finding, split_part(r.kind, ' ', 3) as subscription, max(r.at) as at, count(*) as times"
        " from parcours.reminder r join parcours.announced s using (tenant, finding)"
        " where s.is_raised and r.kind like 'repeat %' and r.at >= coalesce(s.raised_at, s.said_at) group by 1, 2, 3"
    )
    return {(row["tenant"], row["finding"], row["subscription"]): (row["at"], row["times"]) for row in rows}


async def remember(connection: Connection, tenant: str, finding: str, n: int, kind: str) -> bool:
    """Note that something was repeated or escalated; False if it was already."""
    done = await connection.execute(
        "insert into parcours.reminder (tenant, finding, n, kind) values ($1, $2, $3, $4) on conflict do nothing",
        tenant, finding, n, kind,
    )  # fmt: skip
    return bool(done == "INSERT 0 1")


# -- what became of them -------------------------------------------------------------------------------------------------------


async def deliveries(
    connection: Connection, tenant: str | None, state: str | None, limit: int = 500
) -> list[dict[str, Any]]:
    """Messages and what became of them, the newest first; and alerts that went into none, with the reason."""
    rows = await connection.fetch(
        "select m.id, m.name, m.tenant, m.subscription, s.kind, m.rule, m.group_key, m.severity, m.why, m.state, m.attempts,"
        " m.last_answer, m.created_at, case when m.state = 'waiting' then m.not_before end as next_try_at, m.sent_at,"
        " (select count(*) from parcours.delivery d where d.message = m.id) as alerts"
        " from parcours.message m join parcours.subscription s on s.id = m.subscription"
        " where ($1::text is null or m.tenant = $1) and ($2::text is null or m.state = $2) order by m.id desc limit $3",
        tenant, state, limit,
    )  # fmt: skip
    found = [dict(row) for row in rows]
    if state in (None, "muted"):
        muted = await connection.fetch(
            "select null::bigint as id, o.finding as name, o.tenant, d.subscription, s.kind, null as rule, null as group_key,"
            " null as severity, o.act as why, 'muted' as state, 0 as attempts, d.muted as last_answer, o.created_at,"
            " null::timestamptz as next_try_at, null::timestamptz as sent_at, 1 as alerts from parcours.delivery d"
            " join parcours.outbox o on o.id = d.outbox join parcours.subscription s on s.id = d.subscription"
            " where d.message is null and ($1::text is null or o.tenant = $1) order by o.id desc limit $2",
            tenant, limit,
        )  # fmt: skip
        found += [dict(row) for row in muted]
    return found


async def undelivered(connection: Connection) -> tuple[int, str | None]:
    """How many messages were tried and have not arrived, and what the latest of them was answered."""
    row = await connection.fetchrow(
        "select count(*) as n, (array_agg(last_answer order by id desc))[1] as answer from parcours.message"
        " where state = 'failed' or (state = 'waiting' and attempts > 0)"
    )
    assert row is not None  # noqa: S101 - a count is always one row
    return row["n"], row["answer"]


async def attempts(connection: Connection, message: int) -> list[dict[str, Any]]:
    rows = await connection.fetch(
        "select at, answer, seconds from parcours.attempt where message = $1 order by at", message
    )
    return [dict(row) for row in rows]


async def hold_waiting(connection: Connection) -> None:
    """What waits is held, also what is to be tried again."""
    await connection.execute(f"update parcours.message m set state = 'held' where m.state = 'waiting' and {HELD}")


async def release_held(connection: Connection, tenant: str | None, *, send: bool) -> int:
    """Send held messages after all, or drop them; how many. Of one establishment: the brake holds the others' as before."""
    done = await connection.execute(
        "update parcours.message set state = $2, not_before = least(not_before, now()), last_answer = $3"
        " where state = 'held' and ($1::text is null or tenant = $1)",
        tenant, "waiting" if send else "dropped", None if send else "dropped by hand",
    )  # fmt: skip
    if tenant is None or not await connection.fetchval(
        "select exists (select 1 from parcours.message where state = 'held')"
    ):
        await set_setting(connection, "brake", None)
    elif (brake := await setting(connection, "brake")) is not None:
        await set_setting(connection, "brake", brake | {"released": sorted({*brake.get("released", ()), tenant})})
    await ring(connection)
    return int(done.rpartition(" ")[2])


async def send_again(connection: Connection, subscription: str | None, message: int | None) -> int:
    """Failed messages wait again, from the start of their schedule; how many."""
    done = await connection.execute(
        "update parcours.message set state = 'waiting', attempts = 0, not_before = now() where state in ('failed', 'waiting')"
        " and ($1::text is null or subscription = $1) and ($2::bigint is null or id = $2)",
        subscription, message,
    )  # fmt: skip
    await ring(connection)
    return int(done.rpartition(" ")[2])
