"""One topic, one machine, one after another: `make beside`, or FACTS=1000000 RUNS=3 make beside.

The task is small on purpose: how often the case of each fact changed department, per patient and case, durable and exactly once.
Kafka Streams, Quix and Pathway keep it their way; `by_hand` is one script for PostgreSQL that does only this; Parcours keeps the
timeline, every detector, findings, reasons and, live, alerts; its rebuild of a topic uses two processes, as Kafka Streams two threads,
and so do two live projectors.
Seconds run from the first record to the last commit, without starting up.
Prints a table, and JSON as last line. What cannot be had on this machine (no javac, no wheel) is named and left out.
"""

import asyncio
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson
import uvloop

from deploy.embedded import kafka_jars, kafka_server, postgres_server
from projections.policy import Policy
from services.log import end_offsets
from services.log_topics import ensure_topics
from services.servers import Servers
from services.settings import Settings
from tests.benchmarks.logs import log
from tests.line import Line

HERE = Path(__file__).parent
PARTITIONS, PATIENCE = 24, 1_800
NAMES = {
    "ours": "Parcours, every detector, one live projector",
    "shared": "Parcours, every detector, two live projectors",
    "rebuilt": "Parcours, every detector, rebuild in two processes",
    "by_hand": "by hand, this task alone, to PostgreSQL",
    "streams": "Kafka Streams, exactly_once_v2, two threads",
    "quix": "Quix Streams, exactly-once",
    "pathway": "Pathway, with persistence",
}


def others(cache: Path) -> Path:
    """A Python of its own with Quix and Pathway, which Parcours does not need."""
    home = cache / "beside"
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        wanted = ["--quiet", "--require-hashes", "-r", str(HERE / "requirements.txt")]
        subprocess.run([str(home / "bin" / "pip"), "install", *wanted], check=True)
        (home / "ready").touch()
    return home / "bin" / "python"


def streams(cache: Path, folder: Path) -> list[str]:
    """Kafka Streams compiled here, and how to run it."""
    if shutil.which("javac") is None:
        raise FileNotFoundError("javac, a compiler for Java")
    prepared = kafka_server.prepare(cache)
    jars = kafka_jars.ensure_jars(cache, HERE / "streams.lock.json")
    path = os.pathsep.join([prepared.class_path, *map(str, jars), str(folder)])
    command = ["javac", "-d", str(folder), "-cp", path, "--release", "17", str(HERE / "Streams.java")]
    subprocess.run(command, check=True)
    return [str(prepared.java), "-Xmx1g", "-XX:+UseSerialGC", "-cp", path, "Streams"]


def command(name: str, cache: Path, folder: Path, line: Line, total: int) -> list[str]:
    """How to run one of them; its state goes into a folder of its own."""
    common = [line.kafka, line.topic, str(total)]
    match name:
        case "ours" | "shared" | "rebuilt":
            own = [sys.executable, "-m", f"tests.benchmarks.beside.{'rebuilt' if name == 'rebuilt' else 'ours'}"]
            return [*own, line.kafka, line.topic, str(PARTITIONS), line.database, "2" if name == "shared" else "1"]
        case "by_hand":
            return [sys.executable, "-m", "tests.benchmarks.beside.by_hand", *common, line.database]
        case "streams":
            return [*streams(cache, folder), *common, str(folder / "state"), "exactly_once_v2"]
        case _:
            return [str(others(cache)), str(HERE / f"with_{name}.py"), *common, str(folder / "state")]


def told(name: str, cache: Path, line: Line, total: int) -> dict[str, Any]:
    """What one of them says of its run."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            wanted = command(name, cache, Path(folder), line, total)
            done = subprocess.run(wanted, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except (FileNotFoundError, subprocess.SubprocessError) as wrong:
            return {"left_out": str(wrong)}
    if done.returncode != 0:
        return {"left_out": done.stderr[-600:]}
    found: dict[str, Any] = orjson.loads(done.stdout.strip().splitlines()[-1])
    return found | {"facts_per_s": found["records"] / found["seconds"]}


async def run(size: int, runs: int, names: list[str]) -> dict[str, Any]:
    """Every contender, `runs` times in turn, on one topic."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(Path(home))
        servers = Servers(settings)
        servers.start()
        try:
            line = Line(servers.kafka_address, servers.postgres_url, "beside", PARTITIONS, Policy())
            await ensure_topics(line.kafka, [line.topic], PARTITIONS)
            await line.publish(log(size))
            total = sum((await end_offsets(line.kafka, line.topic)).values())
            for _ in range(runs):
                for name in names:
                    found[name].append(await asyncio.to_thread(told, name, settings.cache, line, total))
        finally:
            servers.stop()
            postgres_server.remove(Path(home) / "postgres")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"facts": size, "runs": runs, "machine": machine, "found": found}


def shown(made: dict[str, Any]) -> str:
    """The table: facts a second, and Parcours as a multiple of each."""
    rates = {
        name: statistics.median([one["facts_per_s"] for one in runs])
        for name, runs in made["found"].items() if all("facts_per_s" in one for one in runs)
    }  # fmt: skip
    rows = [f"{made['facts']:,} facts, median of {made['runs']}, {made['machine']}"]
    for name, runs in made["found"].items():
        if name in rates:
            ratio = rates["ours"] / rates[name] if "ours" in rates else float("nan")
            rows.append(f"{NAMES[name]:52} {rates[name]:>9,.0f} facts/s   {ratio:5.2f}   bounced {runs[0]['bounced']}")
        else:
            rows.append(f"{NAMES[name]:52} left out: {next(one['left_out'] for one in runs if 'left_out' in one)}")
    return "\n".join(rows)


if __name__ == "__main__":
    chosen = os.environ.get("ONLY", ",".join(NAMES)).split(",")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(int(os.environ.get("FACTS", "200000")), int(os.environ.get("RUNS", "3")), chosen))
    sys.stdout.write(shown(result) + "\n" + orjson.dumps(result).decode() + "\n")
