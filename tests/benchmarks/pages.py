"""Every page and API answer over a million cases and twenty million facts, at twenty requests a second.

`make pages`, or CASES=100000 FACTS_A_CASE=20. Loads the read tables directly (as a rebuild would leave them), prints p50 and p95 of
each address, and the plans of its hot queries that hold a sequential scan.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import orjson
import uvloop

from deploy.embedded import postgres_server
from services.instance import Options, running
from services.security import Visitor, create_link, create_token
from services.settings import Settings
from services.tables import active_generation, connected, sql

RATE, EACH = 20, 150
DEPARTMENTS, TOPICS = 40, 400
LOAD = (
    """
    insert into {s}.case_path select 'default', 'p-' || n, 'c-' || n, 't-' || (n::bigint * 7919 % {topics}), path, cardinality(path) - 1,
        cardinality(path) - 1, (select count(distinct x) from unnest(path) x), greatest(0, cardinality(path) - 2), 0,
        least(cardinality(path), 4), 0, 0, level, coalesce(level >= 'B2', false), state, path[cardinality(path)], at, null, at,
        at + (n % 20) * interval '1 hour', (select array_agg(at + i * interval '1 hour') from generate_series(1, cardinality(path)) i),
        array_fill(false, array[cardinality(path)]), array_fill(n % 50 = 0, array[cardinality(path)])
    from (select n, timestamptz '2026-01-01' + n * interval '25 seconds' as at, case when n % 100 = 0 then 'B4' when n % 40 = 0 then 'B3'
        when n % 20 = 0 then 'B2' when n % 10 = 0 then 'B1' end as level, case when n % 25 = 0 then 'open' else 'closed' end as state,
        (select array_agg('dept-' || ((n + (i % 2) * (1 + i / 3)) % {departments})) from generate_series(0, case when n % 100 = 0 then 5
         when n % 10 = 0 then 2 else n % 2 end) i) as path from generate_series(1, {cases}) n) made
    """,
    """
    insert into {s}.patient select 'default', 'p-' || n, n % 24, n % 20 = 0, 1, (n % 30 = 0)::int, {facts},
        case when n % 30 = 0 then timestamptz '2027-01-01' + n * interval '1 second' end, timestamptz '2026-01-01' + n * interval '25 seconds',
        false from generate_series(1, {cases}) n
    """,
    """
    insert into {s}.claim select 'default', 'p-' || n, 'k-' || n, 'c-' || n, 'default', at, case when n % 60 = 0 then 'open' else 'answered' end,
        n % 60 <> 0, n % 120 = 0, case when n % 60 <> 0 then 'U0' when n % 240 = 0 then 'U4' when n % 120 = 0 then 'U3' else 'U1' end,
        n % 3, null, at + interval '28 days', null, 'dept-' || n % {departments}, '[]'
    from (select n, timestamptz '2026-01-01' + n * interval '25 seconds' as at from generate_series(30, {cases}, 30) n) made
    """,
    """
    insert into {s}.finding select 'default', 'bounced_case:p-' || n || ':c-' || n || ':1', 'bounced_case', 'p-' || n, 'c-' || n, null, null,
        'dept-' || n % {departments}, case when n % 100 = 0 then 'B4' when n % 40 = 0 then 'B3' else 'B2' end, n % 100 = 0, at, at, false,
        '[{{"code": "path", "text_en": "5 unplanned moves", "text_fr": "5 passages non prévus", "evidence": []}}]'
    from (select n, timestamptz '2026-01-01' + n * interval '25 seconds' as at from generate_series(20, {cases}, 20) n) made
    """,
    """
    insert into parcours.announced (tenant, finding, patient, n, level, is_raised, said_at, raised_at)
    select tenant, id, patient, 1, level, is_open, shown_at, shown_at from {s}.finding
    """,
    """
    insert into parcours.outbox (partition, tenant, patient, key, value, finding, act, number, sent_at, routed_at)
    select 0, tenant, patient, tenant || '|' || patient, '{{}}', id, 'raised', row_number() over (order by shown_at), now(), now()
    from {s}.finding
    """,
    """
    insert into {s}.contact select 'default', 'p-' || n, 'm-' || n, timestamptz '2026-01-01' + n * interval '25 seconds',
        't-' || (n::bigint * 7919 % {topics}), 'phone', 'dept-' || n % {departments}, 'c-' || n, false from generate_series(1, {cases}, 3) n
    """,
    """
    insert into {s}.timeline select 'default', 'p-' || n, 'p-' || n, '/bench', 'f-' || n || '-' || i, 'parcours.case.worked.v1', at, at,
        n % 24, true, false, convert_to(format('{{"specversion":"1.0","id":"f-%s-%s","source":"/bench","type":"parcours.case.worked.v1",'
        '"subject":"p-%s","time":"%s","recordedtime":"%s","data":{{"case":"c-%s","department":"dept-%s"}}}}', n, i, n,
        to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), n,
        (n + i % 2) % {departments}), 'UTF8')
    from (select n, i, timestamptz '2026-01-01' + n * interval '25 seconds' + i * interval '1 hour' as at
        from generate_series(1, {cases}) n, generate_series(1, {facts}) i) made
    """,
)
DROP = ("patient_key", "patient_due", "patient_set_aside", "case_key", "contact_key", "claim_key", "timeline_by_patient", "case_by_age", "case_by_level",
        "case_open_by_level", "case_open_by_level_in", "case_open", "case_open_in", "case_by_topic", "contact_by_topic", "claim_open", "claim_due", "finding_by_case", "finding_open_since",
        "case_by_id", "claim_by_ladder", "claim_by_id")  # fmt: skip


async def load(postgres: str, cases: int, facts: int) -> None:
    """The tables of a generation, filled by the database itself."""
    async with connected(postgres, "bench") as connection:
        found = await active_generation(connection)
        assert found is not None
        await connection.execute(
            "set work_mem = '256MB'; set maintenance_work_mem = '512MB'; set synchronous_commit = off"
        )
        for name in DROP:
            await connection.execute(f"drop index if exists {found.schema}.{name}")
        for text in LOAD:
            started = time.perf_counter()
            made = text.format(s=found.schema, cases=cases, facts=facts, departments=DEPARTMENTS, topics=TOPICS)
            done = await connection.execute(made, timeout=None)
            sys.stderr.write(f"{done} in {time.perf_counter() - started:.0f} s\n")
        await connection.execute(sql("generation_keys", found.schema), timeout=None)
        await connection.execute(sql("generation_indexes", found.schema), timeout=None)
        await connection.execute(f"update {found.schema}.checkpoint set watermark = '2026-12-01'")
        await connection.execute("vacuum (analyze)", timeout=None)  # as tables are that were not filled a minute ago
        await connection.execute("checkpoint", timeout=None)


def addresses(random: Random, cases: int) -> dict[str, Any]:
    """Every kind of page and answer, with an example that changes."""

    def one() -> int:
        return random.randrange(1, cases)

    return {
        "/v1/cases": lambda: "/v1/cases?limit=100",
        "/v1/cases?department": lambda: f"/v1/cases?department=dept-{one() % DEPARTMENTS}",
        "/v1/cases?topic": lambda: f"/v1/cases?state=all&topic=t-{one() % TOPICS}&sort=age",
        "/v1/cases?min_level&all": lambda: "/v1/cases?state=all&min_level=B3",
        "/v1/cases?sort=age": lambda: "/v1/cases?sort=age",
        "/v1/cases/{id}": lambda: f"/v1/cases/c-{one()}",
        "/v1/claims": lambda: "/v1/claims?overdue=true",
        "/v1/claims?due": lambda: "/v1/claims?due_within_hours=48",
        "/v1/patients/{id}": lambda: f"/v1/patients/p-{one()}",
        "/v1/departments": lambda: "/v1/departments",
        "/v1/flows": lambda: "/v1/flows",
        "/v1/findings": lambda: "/v1/findings",
        "/v1/alerts": lambda: "/v1/alerts",
        "/v1/summary": lambda: "/v1/summary",
        "/fr": lambda: "/fr",
        "/fr/cases": lambda: "/fr/cases",
        "/fr/cases/{id}": lambda: f"/fr/cases/c-{one()}",
        "/fr/claims": lambda: "/fr/claims",
        "/fr/departments": lambda: "/fr/departments",
        "/fr/departments/{name}": lambda: f"/fr/departments/dept-{one() % DEPARTMENTS}",
        "/fr/topics": lambda: "/fr/topics",
        "/fr/alerts": lambda: "/fr/alerts",
        "/fr/system": lambda: "/fr/system",
    }


async def measure(api: str, postgres: str, cases: int) -> dict[str, Any]:
    """Each kind in its turn, RATE a second in all, mixed."""
    random = Random(1)
    async with connected(postgres, "bench") as connection:
        _, token = await create_token(connection, "default", "reader", "bench")
        key = await create_link(connection, Visitor("bench", "default", "operator", None))
    client = httpx2.AsyncClient(
        base_url=api, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=120
    )
    await client.get(f"/login?key={key}")
    kinds = addresses(random, cases)
    found: dict[str, list[float]] = {name: [] for name in kinds}
    first: dict[str, float] = {}

    async def ask(name: str) -> None:
        started = time.perf_counter()
        answer = await client.get(kinds[name]())
        assert answer.status_code == 200, (name, answer.status_code, answer.text[:200])
        took = 1000 * (time.perf_counter() - started)
        if name in first:
            found[name].append(took)
        else:
            first[name] = took

    for name in kinds:
        await ask(name)
    plan = [name for name in kinds for _ in range(EACH)]
    random.shuffle(plan)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n, name in enumerate(plan):
            await asyncio.sleep(max(0.0, started + n / RATE - time.perf_counter()))
            group.create_task(ask(name))
    await client.aclose()
    result = {}
    for name, times in found.items():
        times.sort()
        result[name] = {
            "p50_ms": round(times[len(times) // 2], 1),
            "p95_ms": round(times[int(len(times) * 0.95)], 1),
            "first_ms": round(first[name], 1),
        }
    return result


async def scans(postgres: str) -> list[dict[str, Any]]:
    """Tables that were read from end to end, and how often: the kept answers alone may."""
    async with connected(postgres, "bench") as connection:
        rows = await connection.fetch(
            "select relname, seq_scan, idx_scan from pg_stat_user_tables where schemaname ~ '^g[0-9]+$' and seq_scan > 0 order by seq_tup_read desc"
        )
    return [dict(row) for row in rows]


async def run(cases: int, facts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as home:
        try:
            async with running(Settings(Path(home)), Options(clock=False)) as instance:
                url = instance.servers.postgres_url
                await load(url, cases, facts)
                async with connected(url, "bench") as connection:
                    await connection.execute("select pg_stat_reset()")
                answers = await measure(instance.api, url, cases)
                return {
                    "cases": cases,
                    "timeline": cases * facts,
                    "answers": answers,
                    "whole_table_reads": await scans(url),
                }
        finally:
            postgres_server.remove(Path(home) / "postgres")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(run(int(os.environ.get("CASES", "1000000")), int(os.environ.get("FACTS_A_CASE", "20"))))
    for name, one in told["answers"].items():
        sys.stdout.write(
            f"{name:28} p50 {one['p50_ms']:8.1f} ms   p95 {one['p95_ms']:8.1f} ms   first {one['first_ms']:8.1f} ms\n"
        )
    sys.stdout.write(f"read from end to end: {told['whole_table_reads']}\n")
    sys.stdout.write(orjson.dumps(told).decode() + "\n")
