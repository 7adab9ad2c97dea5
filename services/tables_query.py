"""What the API and the console read: lists by keyset, and who read whose file. Every list begins at an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from projections.announcing import LOSING
from projections.rows import Row, stamp
from services.reading import case_json, claim_json, finding_json
from services.tables import Connection

LEVELS = ("B4", "B3", "B2", "B1", None)
LADDER = ("U5", "U4", "U3", "U2", "U1", "U0")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which cases are wanted. `departments` is what the asker may see; None is everything. `text` begins a case's or a patient's id."""

    tenant: str
    state: str | None = "open"
    min_level: str | None = None
    department: str | None = None
    topic: str | None = None
    patient: str | None = None
    text: str | None = None
    older_than: datetime | None = None
    departments: Sequence[str] | None = None

    @property
    def levels(self) -> tuple[str | None, ...]:
        return LEVELS if self.min_level is None else LEVELS[: LEVELS.index(self.min_level) + 1]


class Conditions:
    """Conditions and the values they are bound to; only those that are asked for, so that an index can be chosen for them."""

    def __init__(self, *first: tuple[str, Any]) -> None:
        self.texts: list[str] = []
        self.values: list[Any] = []
        for text, value in first:
            self.add(text, value)

    def add(self, text: str, *values: Any) -> None:
        """Every `?` of the text stands for one of the values, in order; a single value that is None asks for nothing."""
        if len(values) == 1 and values[0] is None:
            return
        for value in values:
            self.values.append(value)
            text = text.replace("?", f"${len(self.values)}", 1)
        self.texts.append(text)

    def bind(self, value: Any) -> str:
        """A value outside the conditions."""
        self.values.append(value)
        return f"${len(self.values)}"

    def __str__(self) -> str:
        return " and ".join(self.texts)


def _asked_for(asked: Asked) -> Conditions:
    found = Conditions(("c.tenant = ?", asked.tenant))
    if asked.state is not None:
        found.texts.append("c.state = 'open'" if asked.state == "open" else "c.state = 'closed'")
    found.add("c.department = ?", asked.department)
    found.add("c.topic = ?", asked.topic)
    found.add("c.patient = ?", asked.patient)
    found.add("c.first_sign < ?", asked.older_than)
    if asked.departments is not None:
        found.add(
            "(c.department = any(?::text[]) or c.path && ?::text[])", list(asked.departments), list(asked.departments)
        )
    if asked.text is not None:
        found.add("(c.case_id ^@ ? or c.patient ^@ ?)", asked.text, asked.text)
    return found


def told(row: Any) -> Row:
    """A case of a list."""
    return case_json(row) | {"first_sign": stamp(row["first_sign"]), "last_sign": stamp(row["last_sign"])}


async def cases_by_level(
    connection: Connection, asked: Asked, limit: int, after: Key | None
) -> tuple[list[Row], Key | None]:
    """Worst first, then the longest there: each level is one walk along an index. A page, and the key of the next."""
    found: list[Any] = []
    start = None if after is None else after[0]
    levels = asked.levels
    if after is not None:
        levels = levels[levels.index(start) :] if start in levels else ()
    for level in levels:
        begin = after[1:] if after is not None and level == start else None
        conditions = _asked_for(asked)
        if level is None:
            conditions.texts.append("c.level is null")
        else:
            conditions.add("c.level = ?", level)
        rows = await _walk(connection, conditions, limit + 1 - len(found), begin)
        found += rows
        if len(found) > limit:
            break
    page = found[:limit]
    more = (
        (page[-1]["level"], page[-1]["first_sign"], page[-1]["patient"], page[-1]["case_id"])
        if len(found) > limit
        else None
    )
    return [told(row) for row in page], more


async def cases_by_age(
    connection: Connection, asked: Asked, limit: int, after: Key | None
) -> tuple[list[Row], Key | None]:
    """The oldest first."""
    conditions = _asked_for(asked)
    conditions.add("c.level >= ?", asked.min_level)
    rows = await _walk(connection, conditions, limit + 1, after)
    page = rows[:limit]
    more = (page[-1]["first_sign"], page[-1]["patient"], page[-1]["case_id"]) if len(rows) > limit else None
    return [told(row) for row in page], more


async def names(connection: Connection, tenant: str, what: Literal["department", "topic"], most: int) -> list[str]:
    """Departments that hold an open case, or topics of cases, in their order: one look into an index for each, however many cases."""
    which = "c.state = 'open' and c.department" if what == "department" else "c.topic"
    nearest = f"select c.{what} from parcours.case_path c where c.tenant = $1 and {which}"
    rows = await connection.fetch(
        f"with recursive named(name) as (({nearest} > '' order by 1 limit 1)"
        f" union all select ({nearest} > n.name order by 1 limit 1) from named n where n.name is not null)"
        " select name from named where name is not null limit $2",
        tenant, most,
    )  # fmt: skip
    return [str(row["name"]) for row in rows]


async def owing(connection: Connection, tenant: str, most: int) -> list[str]:
    """Departments that owe something to an open claim, in their order."""
    rows = await connection.fetch(
        "select distinct k.department from parcours.claim k where k.tenant = $1 and not k.is_over and k.department > ''"
        " order by 1 limit $2",
        tenant, most,
    )  # fmt: skip
    return [str(row["department"]) for row in rows]


async def _walk(connection: Connection, conditions: Conditions, limit: int, after: Key | None) -> list[Any]:
    if after is not None:
        conditions.add("(c.first_sign, c.patient, c.case_id) > (?::timestamptz, ?, ?)", *after)
    return list(
        await connection.fetch(
            f"select c.* from parcours.case_path c where {conditions}"
            f" order by c.first_sign, c.patient, c.case_id limit {conditions.bind(limit)}",
            *conditions.values,
        )
    )


async def cases_of(connection: Connection, tenant: str, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    """Some cases, by patient and id."""
    rows = await connection.fetch(
        "select c.* from parcours.case_path c join unnest($2::text[], $3::text[]) as w(patient, case_id) using (patient, case_id)"
        " where c.tenant = $1",
        tenant, [patient for patient, _ in pairs], [case for _, case in pairs],
    )  # fmt: skip
    return {(row["patient"], row["case_id"]): told(row) for row in rows}


def claim_told(row: Any) -> Row:
    """A claim of a list."""
    return claim_json(row) | {"due_at": stamp(row["due_at"]), "department": row["department"]}


async def claims(
    connection: Connection, tenant: str, limit: int, after: Key | None, *, ladder: str | None = None, overdue: bool = False,
    due_before: datetime | None = None, department: str | None = None, departments: Sequence[str] | None = None,
) -> tuple[list[Row], Key | None]:  # fmt: skip
    """Claims that are not over, the furthest step first, then those that have waited longest."""
    mine = None if departments is None else list(departments)
    found: list[Any] = []
    steps = [ladder] if ladder else [step for step in LADDER if not overdue or step >= "U3"]
    if after is not None:
        steps = steps[steps.index(after[0]) :] if after[0] in steps else []
    for step in steps:
        begin = after[1:] if after is not None and step == after[0] else None
        conditions = Conditions(("k.tenant = ?", tenant), ("k.ladder = ?", step), ("k.department = ?", department))
        conditions.add("k.department = any(?::text[])", mine)
        conditions.add("k.due_at < ?", due_before)
        if begin is not None:
            conditions.add("(k.t0, k.patient, k.claim_id) > (?::timestamptz, ?, ?)", *begin)
        found += await connection.fetch(
            f"select k.* from parcours.claim k where {conditions} and not k.is_over"
            f" order by k.t0, k.patient, k.claim_id limit {conditions.bind(limit + 1 - len(found))}",
            *conditions.values,
        )
        if len(found) > limit:
            break
    page = found[:limit]
    more = (
        (page[-1]["ladder"], page[-1]["t0"], page[-1]["patient"], page[-1]["claim_id"]) if len(found) > limit else None
    )
    return [claim_told(row) for row in page], more


async def claims_called(
    connection: Connection, tenant: str, text: str, limit: int, departments: Sequence[str] | None = None
) -> list[Row]:
    """Claims whose ids, or whose patient's, begin with a text, over or not, by id: each kind is one walk along an index."""
    mine = None if departments is None else list(departments)
    one = "k.tenant = $1 and ($3::text[] is null or k.department = any($3))"
    rows = await connection.fetch(
        f"(select k.* from parcours.claim k where {one} and k.claim_id ^@ $2 order by k.claim_id, k.patient limit $4)"
        f" union all (select k.* from parcours.claim k where {one} and k.patient ^@ $2 and not k.claim_id ^@ $2"
        " order by k.patient, k.claim_id limit $4) limit $4",
        tenant, text, mine, limit,
    )  # fmt: skip
    return [claim_told(row) for row in rows]


async def patients_called(
    connection: Connection, tenant: str, text: str, limit: int, departments: Sequence[str] | None = None
) -> list[str]:
    """Patients without a case whose ids begin with a text; of those limited to departments, whom these have met."""
    mine = None if departments is None else list(departments)
    rows = await connection.fetch(
        "select p.patient from parcours.patient p where p.tenant = $1 and p.patient ^@ $2 and p.cases = 0 and p.facts > 0"
        " and ($3::text[] is null or exists (select 1 from parcours.contact t where t.tenant = p.tenant and t.patient = p.patient"
        "  and t.department = any($3))) order by p.patient limit $4",
        tenant, text, mine, limit,
    )  # fmt: skip
    return [row["patient"] for row in rows]


async def due_soon(
    connection: Connection, tenant: str, before: datetime, limit: int, departments: Sequence[str] | None = None
) -> list[Row]:
    """Answers that fall due before an instant, the step first, then the chases, then the earliest start."""
    mine = None if departments is None else list(departments)
    rows = await connection.fetch(
        "select * from (select k.* from parcours.claim k where k.tenant = $1 and not k.is_over and not k.unanswered and k.due_at < $2"
        " and ($3::text[] is null or k.department = any($3)) order by k.due_at limit 1000) k"
        " order by k.ladder desc, k.chases desc, k.t0 limit $4",
        tenant, before, mine, limit,
    )  # fmt: skip
    return [claim_told(row) for row in rows]


async def open_findings(
    connection: Connection, tenant: str, limit: int, *, kind: str | None = None, department: str | None = None,
    departments: Sequence[str] | None = None, opened: tuple[datetime | None, datetime | None] = (None, None),
    open_only: bool = True, after: tuple[datetime, str] | None = None,
) -> list[Row]:  # fmt: skip
    """Findings `opened` after and before some instants, the newest first; `after` the one opened then, of that id."""
    mine = None if departments is None else list(departments)
    rows = await connection.fetch(
        "select f.* from parcours.finding f where f.tenant = $1 and ($2::text is null or f.kind = $2)"
        " and ($3::text is null or f.department = $3) and ($4::text[] is null or f.department = any($4))"
        " and ($5::timestamptz is null or f.opened_at > $5) and ($6::timestamptz is null or f.opened_at < $6)"
        " and ($8::timestamptz is null or f.opened_at < $8 or (f.opened_at = $8 and f.id > $9))"
        + (" and f.is_open" if open_only else "")
        + " order by f.opened_at desc, f.id limit $7",
        tenant, kind, department, mine, *opened, limit, *(after or (None, None)),
    )  # fmt: skip
    return [finding_json(row) | {"reasons": row["reasons"], "shown_at": stamp(row["shown_at"])} for row in rows]


async def unsaid(connection: Connection, tenant: str, departments: Sequence[str] | None, most: int) -> tuple[int, int]:
    """How many bounced cases or patients, and unanswered claims, are open and raised with nobody: old history, or seen a moment ago.
    Counted up to `most` of each.
    """
    mine = None if departments is None else list(departments)
    row = await connection.fetchrow(
        "select count(*) filter (where kind like 'bounced%') as bounced, count(*) filter (where kind = 'unanswered_claim') as claims"
        " from (select f.kind from parcours.finding f where f.tenant = $1 and f.is_open"
        "  and f.kind in ('bounced_case', 'bounced_patient', 'unanswered_claim') and ($2::text[] is null or f.department = any($2))"
        "  and not exists (select 1 from parcours.announced a where a.tenant = f.tenant and a.finding = f.id and a.is_raised)"
        "  limit $3) u",
        tenant, mine, most,
    )  # fmt: skip
    return (0, 0) if row is None else (row["bounced"], row["claims"])


WORST = """
select s.finding as alert, s.tenant, s.patient, s.level, s.said_at, coalesce(s.raised_at, s.said_at) as raised_at, s.n,
    s.is_raised, s.cause, f.kind, f.case_id, f.claim_id, f.topic, f.department, f.opened_at, f.reasons, c.path, c.first_sign,
    c.last_sign, c.carried, c.returns, k.chases, k.ladder, k.t0, k.due_at, o.number,
    a.kind as act, a.by as act_by, a.at as act_at, a.until as act_until, a.reason as act_reason
from parcours.announced s
join parcours.finding f on f.tenant = s.tenant and f.id = s.finding
left join parcours.case_path c on c.tenant = f.tenant and c.patient = f.patient and c.case_id = f.case_id
left join parcours.claim k on k.tenant = f.tenant and k.patient = f.patient and k.claim_id = f.claim_id
left join lateral (select number from parcours.outbox o where o.tenant = s.tenant and o.finding = s.finding
    order by id desc limit 1) o on true
left join lateral (select * from parcours.alert_act a where a.tenant = s.tenant and a.alert = s.finding
    and a.at >= coalesce(s.raised_at, s.said_at) order by a.at desc limit 1) a on true
where s.tenant = $1 and s.is_raised and f.kind = any($2)
    and ($3::text[] is null or f.department = any($3) or c.path && $3)
    and (a.kind is null or (a.kind = 'silenced' and a.until is not null and a.until <= now()))
order by case when s.level in ('U5', 'B4') then 4 when s.level in ('U4', 'B3') or f.kind = 'deemed_decision' then 3
    when s.level in ('U3', 'B2') or f.kind = 'bounced_patient' then 2 else 1 end desc,
    coalesce(k.chases, 0) + coalesce(c.carried, 0) + coalesce(c.returns, 0) desc, coalesce(k.t0, c.first_sign, f.opened_at), s.finding
limit $4
"""


async def to_call(connection: Connection, tenant: str, limit: int, departments: Sequence[str] | None) -> list[Any]:
    """Who needs a call today: raised, taken by nobody; worst first by what the patient has endured."""
    mine = None if departments is None else list(departments)
    return list(await connection.fetch(WORST, tenant, list(LOSING), mine, limit))


TAKEN = """
select s.finding as alert, s.patient, s.level, f.kind, f.case_id, f.claim_id, f.topic, f.department, a.kind as act, a.at as act_at,
    a.by as act_by, a.until as act_until
from (select distinct alert from parcours.alert_act where tenant = $1 and kind in ('acknowledged', 'silenced')) t
join parcours.announced s on s.tenant = $1 and s.finding = t.alert and s.is_raised
join parcours.finding f on f.tenant = $1 and f.id = s.finding
left join parcours.case_path c on c.tenant = $1 and c.patient = f.patient and c.case_id = f.case_id
join lateral (select * from parcours.alert_act a where a.tenant = $1 and a.alert = s.finding
    and a.at >= coalesce(s.raised_at, s.said_at) order by a.at desc limit 1) a
    on a.kind = 'acknowledged' or a.kind = 'silenced' and a.until > now()
where $2::text[] is null or f.department = any($2) or c.path && $2
order by a.at desc, s.finding limit $3
"""


async def taken(connection: Connection, tenant: str, limit: int, departments: Sequence[str] | None) -> list[Any]:
    """What somebody has taken on or silenced and is not over, by whom and when, the latest first."""
    mine = None if departments is None else list(departments)
    return list(await connection.fetch(TAKEN, tenant, mine, limit))


async def stopped_moving(
    connection: Connection, tenant: str, before: datetime, limit: int, departments: Sequence[str] | None
) -> list[Row]:
    """Open cases that had moved about and of which nothing was heard for long: they stopped quietly."""
    mine = None if departments is None else list(departments)
    rows = await connection.fetch(
        "select c.* from parcours.case_path c where c.tenant = $1 and c.state = 'open' and c.level in ('B1', 'B2', 'B3', 'B4')"
        " and c.last_sign < $2 and c.substantive_answer_at is null and ($3::text[] is null or c.department = any($3))"
        " order by c.last_sign desc limit $4",
        tenant, before, mine, limit,
    )  # fmt: skip
    return [told(row) for row in rows]


async def watermark(connection: Connection) -> datetime | None:
    found: datetime | None = await connection.fetchval("select min(watermark) from parcours.checkpoint")
    return found


async def accesses(connection: Connection, tenant: str, patient: str | None, limit: int) -> list[Row]:
    """Who read whose file, the newest first."""
    rows = await connection.fetch(
        "select at, who, patient, what, why from parcours.access where tenant = $1 and ($2::text is null or patient = $2)"
        " order by id desc limit $3",
        tenant, patient, limit,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def note_access(connection: Connection, who: str, tenant: str, patient: str, what: str, why: str | None) -> None:
    """A patient's file was read: by whom, when, what of it, why."""
    await connection.execute(
        "insert into parcours.access (who, tenant, patient, what, why) values ($1, $2, $3, $4, $5)",
        who, tenant, patient, what, why,
    )  # fmt: skip
