"""A hundred thousand open claims whose answers fall due within one day: do all fire, once, and what is left for facts meanwhile?

`python -m tests.benchmarks.deadlines`, or CLAIMS=10000. Prints rates and whether anything was missed or said twice.
"""

import asyncio
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import uvloop

from projections.policy import Policy
from services.collector import calm_collector
from services.servers import Servers
from services.settings import Settings
from services.tables import connected, ensure_base
from tests.benchmarks.bench import batches
from tests.builders import lines, tick
from tests.line import Line

BEGINS, DUE_DAY = datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)


def claims(size: int) -> list[bytes]:
    """One claim a patient, the answers due one after another through a day."""
    step = timedelta(days=1) / size
    return [
        orjson.dumps(
            {
                "specversion": "1.0", "id": f"d-{n}", "source": "/bench", "type": "parcours.claim.registered.v1", "subject": f"q-{n}",
                "time": BEGINS.isoformat(), "recordedtime": BEGINS.isoformat(), "datacontenttype": "application/json",
                "data": {"claim": f"k-{n}", "kind": "complaint", "jurisdiction": "us-cms", "due_at": (DUE_DAY + n * step).isoformat()},
            }
        )
        for n in range(size)
    ]  # fmt: skip


def facts(hour: int, size: int) -> list[bytes]:
    """Ordinary facts of other people, one after another through an hour."""
    begins, step = DUE_DAY + timedelta(hours=hour), timedelta(hours=1) / size
    return [
        orjson.dumps(
            {
                "specversion": "1.0", "id": f"o-{hour}-{n}", "source": "/bench", "type": "parcours.case.worked.v1", "subject": f"o-{n % 2000}",
                "time": (begins + n * step).isoformat(), "recordedtime": (begins + n * step).isoformat(),
                "datacontenttype": "application/json", "data": {"case": f"c-{n % 2000}", "department": "A"},
            }
        )
        for n in range(size)
    ]  # fmt: skip


async def measure(line: Line, size: int) -> int:
    line.projecting = await line.projector("bench", held_facts=400_000)
    calm_collector()
    started = time.perf_counter()
    await line.publish(claims(size))
    n, seconds = await batches(line, line.projecting.project)
    sys.stdout.write(f"{size} open claims taken in: {n / seconds:,.0f} facts/s\n")
    await line.projecting.settle()
    beside = max(1_000, size // 24)
    fired, spent, done = 0.0, 0.0, 0
    for hour in range(1, 25):
        await line.publish([*facts(hour - 1, beside), *lines(tick(DUE_DAY + timedelta(hours=hour)))])
        records = [r for r in await line.records() if r.offset >= line.projecting.positions[r.partition].next_offset]
        batch: dict[int, list[object]] = {}
        for record in records:
            batch.setdefault(record.partition, []).append(record)
        before = time.perf_counter()
        await line.projecting.project(batch)  # type: ignore[arg-type]
        spent += time.perf_counter() - before
        done += beside
        before = time.perf_counter()
        await line.projecting.settle()
        fired += time.perf_counter() - before
    await line.publish([fact for hour in range(24, 28) for fact in facts(hour, 20_000)])
    waiting = [r for r in await line.records() if r.offset >= line.projecting.positions[r.partition].next_offset]
    before = time.perf_counter()
    for start in range(0, len(waiting), 4_000):
        some: dict[int, list[object]] = {}
        for record in waiting[start : start + 4_000]:
            some.setdefault(record.partition, []).append(record)
        await line.projecting.project(some)  # type: ignore[arg-type]
        await line.projecting.settle()
    sys.stdout.write(
        f"facts in full batches over {size} open claims: {len(waiting) / (time.perf_counter() - before):,.0f}/s\n"
    )
    sys.stdout.write(
        f"facts in batches of {beside} between them: {done / spent:,.0f}/s; all in {time.perf_counter() - started:.0f} s\n"
    )
    return await faults(line, size, fired)


async def faults(line: Line, size: int, seconds: float) -> int:
    """How many claims did not fire at their own moment, once, in order within their partition."""
    (row,) = await line.fetch(
        "select count(*) as n, count(distinct patient) as patients,"
        " count(*) filter (where opened_at <> $1::timestamptz + substr(patient, 3)::int * $2::interval) as amiss"
        " from parcours.finding where kind = 'unanswered_claim'",
        DUE_DAY, timedelta(days=1) / size,
    )  # fmt: skip
    (said,) = await line.fetch(
        "select count(*) as n, count(distinct f) as once, count(*) filter (where f_before > f) as disordered from ("
        " select f, lag(f) over (partition by partition order by id) as f_before from ("
        "  select id, partition, substr(patient, 3)::int as f from parcours.outbox"
        "  where convert_from(value, 'UTF8')::jsonb ->> 'type' = 'parcours.alert.raised.v1'"
        "  and convert_from(value, 'UTF8')::jsonb #>> '{data,rule}' = 'unanswered_claim') raised) ordered"
    )
    sys.stdout.write(
        f"deadlines fired {row['n']} of {row['patients']} patients, {row['amiss']} at another moment than theirs:"
        f" {row['n'] / seconds:,.0f}/s; raised {said['n']} ({said['once']} claims), {said['disordered']} out of order\n"
    )
    wrong = row["amiss"] + said["disordered"] + abs(size - row["n"]) + abs(size - row["patients"])
    return int(bool(wrong or said["n"] != said["once"] or said["n"] != size))


async def run(size: int) -> int:
    with tempfile.TemporaryDirectory() as home:
        servers = Servers(Settings(Path(home)))
        servers.start()
        try:
            base = servers.postgres_url.rpartition("/")[0]
            async with connected(servers.postgres_url, "bench") as connection:
                await connection.execute("create database deadlines")
            async with connected(f"{base}/deadlines", "bench") as connection:
                await ensure_base(connection)
            async with Line(servers.kafka_address, f"{base}/deadlines", "deadlines", 24, Policy()) as line:
                return await measure(line, size)
        finally:
            servers.remove()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(int(os.environ.get("CLAIMS", "100000")))))
