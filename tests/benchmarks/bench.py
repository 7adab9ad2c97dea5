"""How fast, beside its own limits in the same run: `make bench`, or FACTS=1000000 make bench. Prints a table, and JSON as last line."""

import asyncio
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from events.catalogue import decoded
from events.envelope import Refused
from projections.patient import PatientFile
from projections.policy import Policy
from services.instance import Servers
from services.log import LogWriter, Outgoing, Record, full_batch
from services.projector.app import calm_collector
from services.projector.batch import Projecting
from services.projector.held import Memory
from services.projector.rebuild import Rebuilding, begin, fill, fill_in_processes, index
from services.projector.records import Reader
from services.settings import Settings
from services.tables import connected, ensure_base
from services.tables_projector import TIMELINE
from tests.benchmarks.logs import START, log
from tests.line import Line

PARTITIONS, AT_ONCE = 24, 4_000


async def batches(line: Line, take: Any) -> tuple[int, float]:
    """Read the whole topic with `getmany`, giving each batch to `take`; records and seconds."""
    parts = [TopicPartition(line.topic, n) for n in range(line.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=line.kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        left, done, started = sum(ends.values()), 0, time.perf_counter()
        while done < left:
            found = await full_batch(consumer, AT_ONCE)
            if found:
                await take(found)
                done += sum(map(len, found.values()))
        return done, time.perf_counter() - started
    finally:
        await consumer.stop()


async def nothing(_: dict[int, list[Record]]) -> None:
    return


async def decode_only(batch: dict[int, list[Record]]) -> None:
    reader = Reader(Policy(), PARTITIONS, clock_rule=False)
    for records in batch.values():
        for record in records:
            reader.read(record)


async def copy_only(line: Line, facts: list[Any]) -> float:
    """Seconds to COPY the timeline's rows of the same facts into a table with the same index, and nothing else."""
    rows = [
        (f.tenant, f.subject, f.subject, f.source, f.id, f.type, f.occurred_at, f.recorded_at, 0, True, False, f.raw)
        for f in {f.identity: f for f in facts}.values()
    ]
    async with line.pool.acquire() as connection:
        await connection.execute(f"create table copied (like {line.generation.schema}.timeline including all)")
        started = time.perf_counter()
        for start in range(0, len(rows), AT_ONCE):
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "copied", columns=TIMELINE, records=rows[start : start + AT_ONCE]
                )
        return time.perf_counter() - started


def fold_only(facts: list[Any]) -> float:
    """Seconds of the pure fold, facts decoded already."""
    files: dict[str, PatientFile] = {}
    policy = Policy()
    started = time.perf_counter()
    for fact in facts:
        file = files.get(fact.subject)
        if file is None:
            file = files[fact.subject] = PatientFile(fact.tenant, fact.subject, policy)
        file.apply(fact)
    return time.perf_counter() - started


async def latency(line: Line, work: Projecting, rate: int, seconds: int) -> list[float]:
    """Milliseconds from the log's append to the committed row, at a steady rate."""
    found: list[float] = []
    parts = [TopicPartition(line.topic, n) for n in range(line.partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=line.kafka, enable_auto_commit=False, auto_offset_reset="latest", fetch_max_wait_ms=100
    )
    await consumer.start()
    consumer.assign(parts)
    for part in parts:
        consumer.seek(part, work.positions[part.partition].next_offset)
    writer, facts = LogWriter(line.kafka), list(log(rate * seconds, seed=99, begins=START + timedelta(days=121)))

    async def send() -> None:
        started = time.perf_counter()
        for start in range(0, len(facts), 10):
            chunk = [
                Outgoing(raw, f"default|{orjson.loads(raw)['subject']}".encode()) for raw in facts[start : start + 10]
            ]
            await writer.write(line.topic, chunk)
            await asyncio.sleep(max(0.0, started + start / rate - time.perf_counter()))

    async def read() -> None:
        n = 0
        while n < len(facts):
            some = await consumer.getmany(timeout_ms=200, max_records=AT_ONCE)
            if some:
                await work.project({part.partition: records for part, records in some.items()})
                now = time.time() * 1000
                for records in some.values():
                    n += len(records)
                    found.extend(now - record.timestamp for record in records)

    try:
        await asyncio.gather(send(), read())
    finally:
        await consumer.stop()
        await writer.close()
    return found


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


async def run(size: int) -> dict[str, Any]:
    """Everything once, on servers of its own."""
    with tempfile.TemporaryDirectory() as home:
        servers = Servers(Settings(Path(home)))
        servers.start()
        try:
            base = servers.postgres_url.rpartition("/")[0]
            async with connected(servers.postgres_url, "bench") as connection:
                await connection.execute("create database bench")
            async with connected(f"{base}/bench", "bench") as connection:
                await ensure_base(connection)
            async with Line(servers.kafka_address, f"{base}/bench", "bench", PARTITIONS, Policy()) as line:
                return await measure(line, list(log(size)))
        finally:
            servers.remove()


async def measure(line: Line, facts: list[bytes]) -> dict[str, Any]:
    started = time.perf_counter()
    await line.publish(facts)
    published = len(facts) / (time.perf_counter() - started)
    known = []
    for raw in facts:
        try:
            known.append(decoded(raw))
        except Refused:
            continue
    fold = len(known) / fold_only(known)
    raw_rate = [n / s for n, s in [await batches(line, nothing) for _ in range(3)]]
    decode_rate = [n / s for n, s in [await batches(line, decode_only) for _ in range(2)]]
    copied = len(known) / await copy_only(line, known)
    del known
    calm_collector()
    line.projecting = Projecting(
        line.pool, line.generation, line.topic, Reader(Policy(), PARTITIONS, clock_rule=False), Memory(400_000), "b"
    )
    await line.projecting.take(range(PARTITIONS))
    cpu = time.process_time()
    n, seconds = await batches(line, line.projecting.project)
    started = time.perf_counter()
    await line.projecting.settle()
    seconds += time.perf_counter() - started
    cpu = time.process_time() - cpu
    limit = 1 / (1 / statistics.median(decode_rate) + 1 / copied)
    spent = {
        name: round(getattr(line.projecting.spent, name) / seconds, 2) for name in ("decode", "fold", "load", "write")
    }
    steady = await latency(line, line.projecting, 1_000, 10)
    one = Rebuilding(line.kafka, line.pool, line.topic, False, lambda _a, _b: None, line.database)  # noqa: FBT003
    until = {number: position.next_offset for number, position in line.projecting.positions.items()}
    started = time.perf_counter()
    made = await begin(one, Policy(), resume=False)
    await fill_in_processes(one, made, until, os.cpu_count() or 1)
    await fill(one, made, until)
    await index(one, made)
    rebuilt = sum(until.values()) / (time.perf_counter() - started)
    return {
        "facts": len(facts),
        "limits": {"getmany": round(statistics.median(raw_rate)), "decode": round(statistics.median(decode_rate)), "copy": round(copied)},
        "publish": {"facts_per_s": round(published)},
        "live": {
            "facts_per_s": round(n / seconds), "ratio_to_limit": round(n / seconds / limit, 3), "facts_per_cpu_s": round(n / cpu),
            "rss_mb": round(psutil.Process().memory_info().rss / 1e6),
            "share": spent,
        },
        "rebuild": {"facts_per_s": round(rebuilt)},
        "fold": {"facts_per_s": round(fold)},
        "latency_ms": {"commit_p50": round(percentile(steady, 0.5), 1), "commit_p99": round(percentile(steady, 0.99), 1)},
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "ran_on": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }  # fmt: skip


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(int(os.environ.get("FACTS", "100000"))))
    for name, value in found.items():
        sys.stdout.write(f"{name:12} {value}\n")
    sys.stdout.write(orjson.dumps(found).decode() + "\n")
