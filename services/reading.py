"""Reading the tables: what the command line and the API show. Only the read tables are touched."""

from datetime import datetime, timedelta
from typing import Any

from projections.rows import Row, ordered, stamp
from services.tables import Connection

SUMMARY = """
select count(*) as cases, coalesce(sum(handoffs), 0) as handoffs, coalesce(sum(hops), 0) as hops,
    coalesce(sum(returns), 0) as returns, coalesce(sum(direct_returns), 0) as direct_returns,
    count(*) filter (where returns >= 1) as cases_with_returns,
    count(*) filter (where returns >= 2) as cases_with_2_returns,
    count(*) filter (where returns >= 3) as cases_with_3_returns,
    count(*) filter (where direct_returns >= 1) as cases_with_aba,
    count(*) filter (where alternation >= 4) as cases_with_abab,
    count(*) filter (where hops >= 3) as cases_with_3_hops,
    count(*) filter (where cardinality(path) = 0) as cases_without_department,
    coalesce(max(hops), 0) as max_hops,
    count(*) filter (where level = 'B1') as b1, count(*) filter (where level = 'B2') as b2,
    count(*) filter (where level = 'B3') as b3, count(*) filter (where level = 'B4') as b4,
    count(*) filter (where bounced) as bounced_cases
from parcours.case_path where $1::text is null or tenant = $1
"""
CLAIMS = """
select count(*) filter (where not is_over) as open, count(*) filter (where unanswered) as overdue,
    count(*) filter (where answered_late = false) as answered_in_time,
    count(*) filter (where answered_late) as answered_late,
    count(*) filter (where state = 'withdrawn') as withdrawn
from parcours.claim where $1::text is null or tenant = $1
"""


async def watermark(connection: Connection) -> str | None:
    """The smallest watermark over the partitions."""
    return stamp(await connection.fetchval("select min(watermark) from parcours.checkpoint"))


async def summary(connection: Connection, tenant: str | None) -> Row:
    """The figures of a tenant (or of all) as `parcours summary` gives them."""
    found = dict(await connection.fetchrow(SUMMARY, tenant) or {})
    levels = {f"B{n}": int(found.pop(f"b{n}")) for n in range(1, 5)}
    bounced_cases = int(found.pop("bounced_cases"))
    events = await connection.fetchval(
        "select count(*) from parcours.timeline where $1::text is null or tenant = $1", tenant
    )
    patients = await connection.fetchval(
        "select count(*) from parcours.patient where bounced and ($1::text is null or tenant = $1)", tenant
    )
    claims = dict(await connection.fetchrow(CLAIMS, tenant) or {})
    return {
        "tenant": tenant, "watermark": await watermark(connection), "events": events,
        **{name: int(value) for name, value in found.items()},
        "levels": levels, "bounced_cases": bounced_cases, "bounced_patients": patients, "claims": claims,
    }  # fmt: skip


async def export(connection: Connection, tenant: str | None) -> Row:
    """The read tables as the object of EVENTS section 6."""
    one = "where $1::text is null or tenant = $1"
    cases = await connection.fetch(f"select * from parcours.case_path {one}", tenant)
    patients = await connection.fetch(f"select * from parcours.patient {one}", tenant)
    claims = await connection.fetch(f"select * from parcours.claim {one}", tenant)
    found = await connection.fetch(f"select * from parcours.finding {one}", tenant)
    rows = {
        "cases": [case_json(row) for row in cases],
        "patients": [
            {name: row[name] for name in ("tenant", "patient", "bounced", "cases", "claims")} for row in patients
        ],
        "claims": [claim_json(row) for row in claims],
        "findings": [finding_json(row) for row in found],
    }
    return (
        {"watermark": await watermark(connection)}
        | {name: ordered(name, listed) for name, listed in rows.items()}
        | {"errors": await errors(connection, tenant)}
    )


async def errors(connection: Connection, tenant: str | None) -> Row:
    """What could not be taken as it came, counted by distinct facts."""
    one = "($1::text is null or tenant = $1)"
    conflicts = await connection.fetchval(
        f"select (select count(*) from parcours.timeline where is_conflicting and {one})"
        f" + (select count(*) from parcours.erased_fact where is_conflicting and {one})",
        tenant,
    )
    parked = await connection.fetchval(
        f"select count(distinct digest) from parcours.parked where not is_taken and ({one} or tenant is null)"
        " and digest not in (select digest from parcours.parked_decision)",
        tenant,
    )
    cycles = await connection.fetchval(
        f"select coalesce(sum(cycles), 0) from parcours.merge_cycles where {one}", tenant
    )
    unknown = await connection.fetch(
        f"select type, count(*) as n from (select type from parcours.timeline where not is_known and {one} union all"
        f" select unknown_type from parcours.erased_fact where unknown_type is not null and {one}) t group by type order by type",
        tenant,
    )
    return {
        "conflicting_ids": conflicts, "parked": parked, "merge_cycles": int(cycles),
        "unknown_types": {row["type"]: row["n"] for row in unknown},
    }  # fmt: skip


def case_json(row: Any) -> Row:
    """A case of the tables in the shape of EVENTS section 6."""
    return {
        "tenant": row["tenant"], "case": row["case_id"], "patient": row["patient"], "topic": row["topic"],
        "path": list(row["path"]), "handoffs": row["handoffs"], "hops": row["hops"],
        "distinct": row["distinct_departments"], "returns": row["returns"], "direct_returns": row["direct_returns"],
        "alternation": row["alternation"], "sterile": row["sterile"], "carried": row["carried"], "level": row["level"],
        "bounced": row["bounced"], "state": row["state"], "department": row["department"],
        "since": stamp(row["since"]), "substantive_answer_at": stamp(row["substantive_answer_at"]),
    }  # fmt: skip


def claim_json(row: Any) -> Row:
    """A claim of the tables in the shape of EVENTS section 6."""
    return {
        "tenant": row["tenant"], "claim": row["claim_id"], "patient": row["patient"], "case": row["case_id"],
        "jurisdiction": row["jurisdiction"], "t0": stamp(row["t0"]), "state": row["state"],
        "unanswered": row["unanswered"], "ladder": row["ladder"], "chases": row["chases"],
        "answered_at": stamp(row["answered_at"]), "clocks": row["clocks"],
    }  # fmt: skip


def finding_json(row: Any) -> Row:
    """A finding of the tables in the shape of EVENTS section 6."""
    return {
        "tenant": row["tenant"], "id": row["id"], "kind": row["kind"], "patient": row["patient"], "case": row["case_id"],
        "claim": row["claim_id"], "topic": row["topic"], "department": row["department"], "level": row["level"],
        "open": row["is_open"], "opened_at": stamp(row["opened_at"]),
    }  # fmt: skip


RANK = "case level when 'B4' then 4 when 'B3' then 3 when 'B2' then 2 when 'B1' then 1 else 0 end"


async def bounced_cases(connection: Connection, tenant: str | None, min_level: str) -> list[Row]:
    """Cases at or above a level, worst first, with the reasons of the current path's finding."""
    rows = await connection.fetch(
        f"select c.*, f.is_open, f.opened_at, f.reasons, f.id as finding from parcours.case_path c"
        " left join lateral (select * from parcours.finding f where f.tenant = c.tenant and f.patient = c.patient"
        " and f.case_id = c.case_id and f.kind = 'bounced_case' order by length(f.id) desc, f.id desc limit 1) f on true"
        f" where c.level is not null and {RANK.replace('level', 'c.level')} >= $2 and ($1::text is null or c.tenant = $1)"
        f" order by {RANK.replace('level', 'c.level')} desc, coalesce(f.is_open, false) desc, f.opened_at, c.tenant, c.case_id",
        tenant, int(min_level[1]),
    )  # fmt: skip
    return [
        case_json(row)
        | {
            "finding": row["finding"],
            "open": bool(row["is_open"]),
            "opened_at": stamp(row["opened_at"]),
            "reasons": row["reasons"] or [],
        }
        for row in rows
    ]


async def bounced_patients(connection: Connection, tenant: str | None) -> list[Row]:
    """Findings of patients bounced without a case, open ones first."""
    rows = await connection.fetch(
        "select * from parcours.finding where kind = 'bounced_patient' and ($1::text is null or tenant = $1)"
        " order by is_open desc, opened_at, tenant, id",
        tenant,
    )
    return [finding_json(row) | {"reasons": row["reasons"]} for row in rows]


async def claims(connection: Connection, tenant: str | None, *, overdue: bool) -> list[Row]:
    """Claims that are not over, by step of the ladder and how long they have waited."""
    rows = await connection.fetch(
        "select k.*, f.reasons from parcours.claim k left join parcours.finding f on f.tenant = k.tenant"
        " and f.id = 'unanswered_claim:' || k.patient || ':' || k.claim_id"
        " where not k.is_over and (not $2 or k.unanswered) and ($1::text is null or k.tenant = $1)"
        " order by k.ladder desc, k.t0, k.tenant, k.claim_id",
        tenant, overdue,
    )  # fmt: skip
    return [
        claim_json(row)
        | {"due_at": stamp(row["due_at"]), "department": row["department"], "reasons": row["reasons"] or []}
        for row in rows
    ]


async def patients_with_case(connection: Connection, tenant: str | None, patient: str | None, case: str) -> list[Any]:
    """Whose case an id is: two patients may share it."""
    return list(
        await connection.fetch(
            "select tenant, patient from parcours.case_path where case_id = $3 and ($1::text is null or tenant = $1)"
            " and ($2::text is null or patient = $2) order by tenant, patient",
            tenant, patient, case,
        )
    )  # fmt: skip


async def patients_with_claim(connection: Connection, tenant: str | None, patient: str | None, claim: str) -> list[Any]:
    """Whose claim an id is: two patients may share it."""
    return list(
        await connection.fetch(
            "select tenant, patient from parcours.claim where claim_id = $3 and ($1::text is null or tenant = $1)"
            " and ($2::text is null or patient = $2) order by tenant, patient",
            tenant, patient, claim,
        )
    )  # fmt: skip


async def owed(connection: Connection, tenant: str | None, within: timedelta | None) -> list[Row]:
    """Open clocks of claims, each with its due moment and the share of its time used, by what the patient has endured.

    Endured: the step of the ladder, then the chases, then how long the claim has waited; never the order of arrival.
    """
    rows = await connection.fetch(
        "select k.*, p.partition, c.watermark from parcours.claim k join parcours.patient p using (tenant, patient)"
        " join parcours.checkpoint c on c.partition = p.partition"
        " where not k.is_over and ($1::text is null or k.tenant = $1) order by k.ladder desc, k.chases desc, k.t0, k.tenant, k.claim_id",
        tenant,
    )
    found = []
    for row in rows:
        now = row["watermark"]
        for clock in row["clocks"]:
            if clock["state"] not in ("running", "paused"):
                continue
            due, started = datetime.fromisoformat(clock["due_at"]), datetime.fromisoformat(clock["started_at"])
            if within is not None and due - now > within:
                continue
            used = (now - started) / (due - started) if due > started else 1.0
            found.append(
                {
                    "tenant": row["tenant"], "claim": row["claim_id"], "patient": row["patient"], "department": row["department"],
                    "ladder": row["ladder"], "chases": row["chases"], "t0": stamp(row["t0"]), "used": round(used, 3),
                    "jurisdiction": row["jurisdiction"],
                    **{name: clock[name] for name in ("clock", "instance", "state", "due_at")},
                }
            )  # fmt: skip
    return found
