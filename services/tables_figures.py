"""What is counted when it is read: departments, flows, ages. Decision 0006."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from projections.rows import Row, stamp
from services.tables import Connection

WEEKS = 26


MOVES = """
select path[i] as here, path[i + 1] as there, count(*) as moves, count(*) filter (where visits_planned[i + 1]) as planned,
    count(*) filter (where path[i + 1] = any(path[1:i])) as returns,
    count(*) filter (where visits_sterile[i]) as sterile,
    sum(extract(epoch from visits_at[i + 1] - visits_at[i])) as held
from parcours.case_path, generate_series(1, cardinality(path) - 1) i where tenant = $1 group by 1, 2
"""
HOLDS = """
select department, count(*) as cases, min(since) as oldest, count(*) filter (where bounced) as bounced
from parcours.case_path where tenant = $1 and state = 'open' and department is not null group by 1
"""


async def departments(connection: Connection, tenant: str) -> Row:
    """Who sends to whom, what comes back, how long each holds, what it holds now. Seconds; shares of what it sent on."""
    moves = await connection.fetch(MOVES, tenant)
    holds = {row["department"]: row for row in await connection.fetch(HOLDS, tenant)}
    flow = [dict(row) | {"held": float(row["held"] or 0)} for row in moves]
    names = sorted({one["here"] for one in flow} | {one["there"] for one in flow} | set(holds))
    listed = []
    for name in names:
        out = [one for one in flow if one["here"] == name]
        sent, came = sum(one["moves"] for one in out), [one for one in flow if one["there"] == name]
        hold = holds.get(name)
        listed.append(
            {
                "department": name, "sent": sent, "received": sum(one["moves"] for one in came),
                "came_back": sum(one["returns"] for one in came),
                "returned_share": _share(sum(one["returns"] for one in came), sent),
                "sterile_share": _share(sum(one["sterile"] for one in out), sent),
                "held_hours": round(sum(one["held"] for one in out) / sent / 3600, 1) if sent else None,
                "holds": hold["cases"] if hold else 0, "holds_bounced": hold["bounced"] if hold else 0,
                "oldest_since": stamp(hold["oldest"]) if hold else None,
            }
        )  # fmt: skip
    return {
        "departments": listed,
        "moves": [
            {name: one[name] for name in ("here", "there", "moves", "planned", "returns", "sterile")} for one in flow
        ],
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


async def flows(
    connection: Connection, tenant: str, until: datetime | None, departments_: Sequence[str] | None = None
) -> list[Row]:
    """Contacts by topic and week over 26 weeks, or over as many as there have been contacts for (`of_weeks`), the smallest flows first; a
    mean of at most five a week is a small one.
    """
    if until is None:
        return []
    mine = None if departments_ is None else list(departments_)
    rows = await connection.fetch(
        "select topic, floor(extract(epoch from $2 - at) / 604800)::int as back, channel, count(*) as n from parcours.contact"
        f" where tenant = $1 and topic is not null and at > $2::timestamptz - interval '{WEEKS} weeks' and at <= $2"
        " and ($3::text[] is null or department = any($3)) group by 1, 2, 3",
        tenant, until, mine,
    )  # fmt: skip
    turned = await connection.fetch(
        "select t.topic, count(distinct f.patient) filter (where f.kind like 'bounced%' and (f.case_id = t.case_id or f.topic = t.topic))"
        " as bounced, count(distinct f.patient) filter (where f.kind = 'unanswered_claim') as unanswered"
        " from parcours.finding f join parcours.contact t on t.tenant = f.tenant and t.patient = f.patient"
        " where f.tenant = $1 and f.is_open and f.kind in ('bounced_case', 'bounced_patient', 'unanswered_claim')"
        " and ($2::text[] is null or t.department = any($2)) group by 1",
        tenant, mine,
    )  # fmt: skip
    bad = {row["topic"]: row for row in turned}
    found: dict[str, Row] = {}
    for row in rows:
        one = found.setdefault(
            row["topic"], {"topic": row["topic"], "weeks": [0] * WEEKS, "channels": {}, "contacts": 0}
        )
        one["weeks"][max(0, WEEKS - 1 - min(row["back"], WEEKS - 1))] += row["n"]
        channel = row["channel"] or "other"
        one["channels"][channel] = one["channels"].get(channel, 0) + row["n"]
        one["contacts"] += row["n"]
    weeks = max(
        (WEEKS - next(n for n, of_it in enumerate(one["weeks"]) if of_it) for one in found.values()), default=WEEKS
    )
    for name, one in found.items():
        turn = bad.get(name)
        one |= {
            "a_week": round(one["contacts"] / weeks, 2), "is_small": one["contacts"] <= 5 * weeks, "of_weeks": weeks,
            "bounced": turn["bounced"] if turn else 0, "unanswered": turn["unanswered"] if turn else 0,
        }  # fmt: skip
    return sorted(found.values(), key=lambda one: (one["contacts"], one["topic"]))


async def contacts_of(
    connection: Connection,
    tenant: str,
    topics: Sequence[str],
    since: datetime,
    departments_: Sequence[str] | None = None,
) -> list[Row]:
    """The contacts of some small topics, one by one, the 5,000 latest, and whether their patient is bounced or waits for an answer."""
    rows = await connection.fetch(
        "select t.topic, t.at, t.channel, t.department, t.patient, t.case_id,"
        " exists (select 1 from parcours.finding f where f.tenant = t.tenant and f.patient = t.patient and f.is_open"
        "  and f.kind in ('bounced_case', 'bounced_patient') and (f.case_id = t.case_id or f.topic = t.topic)) as bounced,"
        " exists (select 1 from parcours.finding f where f.tenant = t.tenant and f.patient = t.patient and f.is_open"
        "  and f.kind = 'unanswered_claim') as unanswered"
        " from parcours.contact t where t.tenant = $1 and t.topic = any($2) and t.at > $3"
        " and ($4::text[] is null or t.department = any($4)) order by t.at desc limit 5000",
        tenant, list(topics), since, None if departments_ is None else list(departments_),
    )  # fmt: skip
    return [dict(row) for row in reversed(rows)]


AGES = """
select department, first_sign, patient, case_id, level from parcours.case_path
where tenant = $1 and state = 'open' and department is not null and ($2::text[] is null or department = any($2))
order by first_sign limit $3
"""


async def ages(connection: Connection, tenant: str, departments_: Sequence[str] | None, limit: int) -> list[Any]:
    """Open cases for the ageing chart."""
    mine = None if departments_ is None else list(departments_)
    return list(await connection.fetch(AGES, tenant, mine, limit))


async def finished_ages(connection: Connection, tenant: str) -> tuple[float, float, float] | None:
    """The 50th, 85th and 95th percentile of the ages of finished cases, in days."""
    found = await connection.fetchval(
        "select percentile_cont(array[0.5, 0.85, 0.95]) within group (order by extract(epoch from last_sign - first_sign) / 86400)"
        " from (select last_sign, first_sign from parcours.case_path where tenant = $1 and state = 'closed' limit 200000) c",
        tenant,
    )
    return None if found is None or found[0] is None else (float(found[0]), float(found[1]), float(found[2]))
