"""How fast, beside its own limits in the same run: `make bench`, or FACTS=1000000 RUNS=1 make bench.

Prints a table, and JSON as last line: medians of the runs, and the spread from the slowest to the fastest where there are several.
LIVE=0 leaves the live run out: for a log of millions, of which only the rebuild is asked. AT_ONCE: how many records are read at once,
16,000 as by a projector that catches up.

`commit_p50`, `commit_p99`: from when a fact was written to the log, which is when the door answers, to its committed rows, at 1,000 facts
a second, ten at a time; `append_commit_…`: from when the log took it, its own flush to disk included.

`ratio_to_limit`: of what it would take to consume and decode the log and then to COPY the same rows, every table with its indexes and
what was said, without any fold or change of a row. `ratio_to_timeline_limit`: where only the timeline is copied.
"""

import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from events.catalogue import decoded
from events.envelope import Recorded, Refused
from events.native import is_used
from projections.patient import PatientFile
from projections.policy import Policy
from services.collector import calm_collector
from services.log import FETCHING, Outgoing, Record, full_batch
from services.log_writing import LogWriter
from services.projector.batch import Projecting
from services.projector.held import Memory
from services.projector.rebuild import Rebuilding, begin, fill, fill_in_processes, index
from services.projector.records import Reader
from services.projector.stretch import Stretching
from services.projector.turns import Turns
from services.servers import Servers
from services.settings import Settings
from services.tables import Generation, connected, ensure_base
from services.tables_shapes import TIMELINE
from tests.benchmarks import doors
from tests.benchmarks.limits import same_rows
from tests.benchmarks.logs import START, log
from tests.line import Line

PARTITIONS, SAMPLE, HELD_FACTS = 24, 100_000, 400_000
TRICKLE = START + timedelta(days=121)
PEOPLE = 10_000  # of whom the limits copy every row: some 120,000 facts
AT_ONCE = int(os.environ.get("AT_ONCE", str(Settings(Path()).max_records)))


async def batches(
    line: Line, take: Any, at_once: int = AT_ONCE, work: Stretching | None = None, numbers: Sequence[int] | None = None
) -> tuple[int, float]:
    """Read a topic, or some partitions of it, with `getmany` as a projector would, giving each batch to `take`, and to `work` what is
    far behind; records and seconds.
    """
    parts = {n: TopicPartition(line.topic, n) for n in (range(line.partitions) if numbers is None else numbers)}
    turns = Turns(HELD_FACTS // 2)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=line.kafka, enable_auto_commit=False, auto_offset_reset="earliest", **FETCHING
    )
    await consumer.start()
    try:
        consumer.assign(list(parts.values()))
        ends = await consumer.end_offsets(list(parts.values()))
        left, done, started = sum(ends.values()), 0, time.perf_counter()
        behind = {part.partition: end for part, end in ends.items()}
        while done < left:
            waits, goes_on = turns.change(behind)
            consumer.pause(*(parts[n] for n in waits))
            consumer.resume(*(parts[n] for n in goes_on))
            found = await full_batch(consumer, at_once)
            far = {n: some for n, some in found.items() if work and (n in turns.reading or n in work.gathering)}
            if far and work:
                until = {part.partition: end for part, end in ends.items()}
                await work.take_far(far, until, lambda _: None, goes_on=bool(turns.waiting))
            if near := {n: some for n, some in found.items() if n not in far}:
                await take(near)
            if found:
                done += sum(map(len, found.values()))
                behind |= {n: behind[n] - len(some) for n, some in found.items()}
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


async def copy_only(line: Line, facts: Iterable[Recorded]) -> float:
    """Rows a second by COPY into a table like the timeline, with its index, and nothing else."""
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
                    "copied", columns=TIMELINE.columns, records=rows[start : start + AT_ONCE]
                )
        return len(rows) / (time.perf_counter() - started)


def fold_only(facts: list[Recorded]) -> dict[str, int]:
    """Facts a second of CPU time, decoded already: folded one by one as they come, and a whole file at once."""
    policy, last = Policy(), max(fact.recorded_at for fact in facts)
    files: dict[str, PatientFile] = {}
    started = time.process_time()
    for fact in facts:
        file = files.get(fact.subject)
        if file is None:
            file = files[fact.subject] = PatientFile(fact.tenant, fact.subject, policy)
        file.apply(fact)
    for file in files.values():
        file.refresh()
    one_by_one = len(facts) / (time.process_time() - started)
    files.clear()
    theirs: dict[str, list[Recorded]] = {}
    for fact in facts:
        theirs.setdefault(fact.subject, []).append(fact)
    started = time.process_time()
    for subject, some in theirs.items():
        PatientFile("default", subject, policy, watermark=last).fill(some)
    at_once = len(facts) / (time.process_time() - started)
    return {"facts_per_s": round(one_by_one), "whole_files_per_s": round(at_once)}


@dataclass(slots=True)
class Delays:
    """Milliseconds until a fact's rows are committed: from when the log took it, and from when its door could say so."""

    of_append: list[float]
    of_accepted: list[float]


async def latency(line: Line, work: Projecting, rate: int, seconds: int) -> Delays:
    """Ten facts at a time at a steady rate, written as the door writes them: it answers once `write` returns."""
    accepted: dict[tuple[int, int], float] = {}
    committed: dict[tuple[int, int], float] = {}
    appended: list[float] = []
    parts = [TopicPartition(line.topic, n) for n in range(line.partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=line.kafka, enable_auto_commit=False, auto_offset_reset="latest", fetch_max_wait_ms=100
    )
    await consumer.start()
    consumer.assign(parts)
    for part in parts:
        consumer.seek(part, work.positions[part.partition].next_offset)
    writer, facts = LogWriter(line.kafka), list(log(rate * seconds, seed=99, begins=TRICKLE))

    async def send() -> None:
        started = time.perf_counter()
        for start in range(0, len(facts), 10):
            chunk = [
                Outgoing(raw, f"default|{orjson.loads(raw)['subject']}".encode()) for raw in facts[start : start + 10]
            ]
            written = await writer.write(line.topic, chunk)
            accepted.update(((at.partition, at.offset), time.time() * 1000) for at in written)
            await asyncio.sleep(max(0.0, started + start / rate - time.perf_counter()))

    async def read() -> None:
        while len(committed) < len(facts):
            some = await consumer.getmany(timeout_ms=200, max_records=AT_ONCE)
            if some:
                await work.project({part.partition: records for part, records in some.items()})
                now = time.time() * 1000
                for records in some.values():
                    committed.update(((record.partition, record.offset), now) for record in records)
                    appended.extend(now - record.timestamp for record in records)

    try:
        await asyncio.gather(send(), read())
    finally:
        await consumer.stop()
        await writer.close()
    return Delays(appended, [max(0.0, committed[at] - moment) for at, moment in accepted.items()])


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
                return await measure(line, size)
        finally:
            servers.remove()


async def measure(line: Line, size: int) -> dict[str, Any]:
    started = time.perf_counter()
    written = await line.publish(log(size))
    published = sum(written.ends.values()) / (time.perf_counter() - started)
    calm_collector()
    found: dict[str, Any] = {}
    tables: dict[str, Generation] = {}
    if os.environ.get("LIVE") != "0":
        found |= await live(line)
        tables["live"] = line.generation
    found["rebuild"], tables["rebuild"] = await rebuilt(line, written.ends)
    sample = []
    for raw in islice(log(size), SAMPLE):
        try:
            sample.append(decoded(raw))
        except Refused:
            continue
    found["fold"] = fold_only(sample)
    raw_rate, decode_rate = [n / s for n, s in [await batches(line, nothing), await batches(line, decode_only)]]
    copied = {"timeline": await copy_only(line, sample)}
    for name, made in tables.items():
        copied[name] = await same_rows(line, made, PEOPLE, live=name == "live")
    limits = {name: 1 / (1 / decode_rate + 1 / rate) for name, rate in copied.items()}
    for name in tables:
        reached = found[name]["facts_per_s"]
        found[name]["ratio_to_limit"] = round(reached / limits[name], 3)
        found[name]["ratio_to_timeline_limit"] = round(reached / limits["timeline"], 3)
    return found | {
        "limits": {
            "getmany": round(raw_rate), "decode": round(decode_rate),
            "copy": {name: round(rate) for name, rate in copied.items()},
            "decode_then_copy": {name: round(rate) for name, rate in limits.items()},
        },
        "publish": {"facts_per_s": round(published)},
    }  # fmt: skip


async def live(line: Line) -> dict[str, Any]:
    """One projector, from the first record to the last, with every index and every alert; then a steady trickle."""
    reader = Reader(Policy(), PARTITIONS, clock_rule=False)
    work = line.projecting = Stretching(line.pool, line.generation, line.topic, reader, Memory(HELD_FACTS), "b")
    await work.take(range(PARTITIONS))
    cpu = time.process_time()
    n, seconds = await batches(line, partial(work.follow, more=True), work=work)
    started = time.perf_counter()
    await work.settle()
    seconds += time.perf_counter() - started
    cpu = time.process_time() - cpu
    memory = psutil.Process().memory_info().rss / 1e6
    share = {name: round(getattr(work.spent, name) / seconds, 2) for name in ("decode", "fold", "load", "write")}
    steady = await latency(line, work, 1_000, 10)
    since_append = {f"append_commit_p{n}": round(percentile(steady.of_append, n / 100), 1) for n in (50, 99)}
    since_accepted = {f"commit_p{n}": round(percentile(steady.of_accepted, n / 100), 1) for n in (50, 99)}
    return {
        "live": {"facts_per_s": round(n / seconds), "facts_per_cpu_s": round(n / cpu), "rss_mb": round(memory), "share": share},
        "latency_ms": since_accepted | since_append,
    }  # fmt: skip


async def rebuilt(line: Line, ends: dict[int, int]) -> tuple[dict[str, Any], Generation]:
    """The whole log again into new tables, in as many processes as there are cores; the indexes come last."""
    one = Rebuilding(line.kafka, line.pool, line.topic, False, lambda _a, _b: None, line.database)  # noqa: FBT003
    started = time.perf_counter()
    made = await begin(one, Policy(), resume=False)
    largest = [0.0]
    watching = asyncio.create_task(_watch(largest))
    await fill_in_processes(one, made, ends, os.cpu_count() or 1)
    watching.cancel()
    await fill(one, made, ends)
    filled = time.perf_counter() - started
    await index(one, made)
    seconds = time.perf_counter() - started
    n = sum(ends.values())
    found = {"facts_per_s": round(n / seconds), "before_indexes_per_s": round(n / filled), "rss_mb": round(largest[0])}
    return found, made


async def _watch(largest: list[float]) -> None:
    """The most memory that one of our processes of the rebuild has taken, in MB."""
    while True:
        for child in psutil.Process().children():
            try:
                if any("services.projector.part" in word for word in child.cmdline()):
                    largest[0] = max(largest[0], child.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
        await asyncio.sleep(0.2)


def medians(runs: list[Any]) -> Any:
    """The median of every figure over the runs; with several runs, its spread beside it."""
    if isinstance(runs[0], dict):
        return {name: medians([run[name] for run in runs]) for name in runs[0]}
    middle = statistics.median(runs)
    return middle if len(runs) == 1 else {"median": middle, "from": min(runs), "to": max(runs)}


async def main(size: int, times: int) -> dict[str, Any]:
    measured: dict[str, Any] = medians([await run(size) for _ in range(times)])
    served = await doors.run()
    measured.setdefault("latency_ms", {}).update(served.pop("latency_ms"))
    made = "machine code" if is_used() else "interpreted"
    ran_on = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, folds {made}"
    return {"facts": size, "runs": times} | measured | served | {"ran_on": ran_on}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        said = runner.run(main(int(os.environ.get("FACTS", "100000")), int(os.environ.get("RUNS", "3"))))
    for name, value in said.items():
        sys.stdout.write(f"{name:12} {value}\n")
    sys.stdout.write(orjson.dumps(said).decode() + "\n")
