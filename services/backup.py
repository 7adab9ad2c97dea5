"""Log and tables in a folder, and back: the tables are taken first, so that they are never newer than the log."""

import asyncio
import base64
import gzip
import os
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from deploy.embedded import postgres_server
from services.log import Outgoing, end_offsets, records_from
from services.log_topics import keeps_times
from services.log_writing import LogWriter
from services.settings import ALERTS, EVENTS
from services.tables import connected
from services.tables_generations import move_places

TOPICS = (EVENTS, ALERTS)
TABLES = "tables.dump"
INDEX = "backup.json"
AT_ONCE = 2_000
Step = Callable[[int, int], None]


class NotRestored(RuntimeError):
    """Why a backup cannot be taken or put back."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance's servers are."""

    kafka: str
    postgres: str


@dataclass(slots=True)
class Places:
    """Where the records of a log stand once it is put back: what ended a transaction is no record, and leaves no hole any more."""

    counts: dict[int, int] = field(default_factory=dict)
    steps: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def note(self, partition: int, offset: int) -> None:
        """The next record of a partition stood at an offset."""
        n = self.counts.get(partition, 0)
        steps = self.steps.setdefault(partition, [])
        if not steps or offset - steps[-1][0] != n - steps[-1][1]:
            steps.append((offset, n))
        self.counts[partition] = n + 1

    @property
    def have_moved(self) -> bool:
        """Whether any record stands elsewhere now."""
        return any(steps != [(0, 0)] for steps in self.steps.values())

    def now(self, partition: int, offset: int) -> int:
        """How many of a partition's records stood before an offset: where that is now."""
        steps = self.steps.get(partition, [])
        n = bisect_right(steps, offset, key=itemgetter(0))
        following = steps[n][1] if n < len(steps) else self.counts.get(partition, 0)
        return following if n == 0 else min(steps[n - 1][1] + offset - steps[n - 1][0], following)


async def back_up(one: Place, folder: Path, step: Step) -> dict[str, int]:
    """Write everything into a new folder, while the instance goes on; how many records of each topic. Raises `NotRestored`."""
    _make(folder)
    await _run(one.postgres, "pg_dump", "--format=custom", f"--file={folder / TABLES}")
    ends = {topic: await end_offsets(one.kafka, topic) for topic in TOPICS}
    total, counts = sum(sum(each.values()) for each in ends.values()), dict.fromkeys(TOPICS, 0)
    for topic in TOPICS:
        with gzip.open(folder / f"{topic}.gz", "wb", compresslevel=1) as file:
            async for record in records_from(one.kafka, topic, ends[topic]):
                file.write(orjson.dumps(_kept(record)) + b"\n")
                counts[topic] += 1
                if counts[topic] % AT_ONCE == 0:
                    step(sum(counts.values()), total)
    index = {"partitions": len(ends[EVENTS]), "records": counts}
    (folder / INDEX).write_bytes(orjson.dumps(index))  # the last: without it a backup is not whole
    return counts


def _make(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise NotRestored(f"{folder} is not empty: a backup never overwrites one. Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # also one that was there: what patients said is in it, and what opens the console


async def put_back(
    one: Place, folder: Path, step: Step, replication: int = 1, begins: Callable[[], None] = lambda: None
) -> dict[str, int]:
    """Write a backup into empty servers whose topics exist; how many records of each topic. `begins` is called before the first is
    written. Raises `NotRestored`.
    """
    index = index_of(folder)
    for topic in TOPICS:
        ends = await end_offsets(one.kafka, topic)
        if len(ends) != index["partitions"]:
            raise NotRestored(f"{topic} has {len(ends)} partitions, the backup {index['partitions']}")
        if any(ends.values()):
            raise NotRestored(f"{topic} holds records already: a backup is put back into empty servers only")
    async with connected(one.postgres, "restore") as connection:
        if await connection.fetchval("select to_regclass('parcours.token') is not null"):
            raise NotRestored(
                "the database holds tables of Parcours already: a backup is put back into empty servers only"
            )
    begins()
    done, total, places = 0, sum(index["records"].values()), Places()
    writer = LogWriter(one.kafka, limit=60)
    try:
        async with keeps_times(one.kafka, TOPICS, replication):
            for topic in TOPICS:
                before = done
                for some in _chunks(folder / f"{topic}.gz", places if topic == EVENTS else None):
                    await writer.write(topic, some)
                    done += len(some)
                    step(done, total)
                if done - before != index["records"][topic]:
                    raise NotRestored(
                        f"{folder / topic}.gz holds {done - before} records, not {index['records'][topic]}: it is cut short"
                    )
    finally:
        await writer.close()
    database = urlsplit(one.postgres).path.lstrip("/")
    await _run(
        one.postgres, "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={database}", str(folder / TABLES)
    )
    if places.have_moved:
        async with connected(one.postgres, "restore") as connection:
            await move_places(connection, places.now)
    return dict(index["records"])


def index_of(folder: Path) -> dict[str, Any]:
    """What a backup says of itself. Raises `NotRestored`."""
    try:
        found: dict[str, Any] = orjson.loads((folder / INDEX).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        raise NotRestored(f"{folder} holds no whole backup: {INDEX} is missing or unreadable") from None
    return found


def _kept(record: Any) -> list[Any]:
    headers = [[name, _text(value)] for name, value in record.headers]
    return [record.partition, _text(record.key), _text(record.value), headers, record.timestamp, record.offset]


def _chunks(path: Path, places: Places | None) -> Iterator[list[Outgoing]]:
    some: list[Outgoing] = []
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                partition, key, value, headers, *more = orjson.loads(line)
                at, offset = more or (None, None)  # a backup of before 2026-11-27 does not say
                if places is not None and offset is not None:
                    places.note(partition, offset)
                told = tuple((name, _bytes(one)) for name, one in headers)
                some.append(Outgoing(_bytes(value), _bytes(key), partition, told, at))
                if len(some) == AT_ONCE:
                    yield some
                    some = []
    except (EOFError, gzip.BadGzipFile, zlib.error, orjson.JSONDecodeError) as wrong:
        raise NotRestored(f"{path} is damaged or cut short: {wrong}") from wrong
    if some:
        yield some


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


async def _run(url: str, program: str, *words: str) -> None:
    """One of PostgreSQL's own programs, those that come with the embedded server. Raises `NotRestored`.

    Where the database is, and the password, go by the environment: arguments are seen by everybody on the machine.
    """
    where = urlsplit(url)
    told = {
        "PGHOST": where.hostname, "PGPORT": str(where.port or 5432), "PGUSER": unquote(where.username or ""),
        "PGPASSWORD": unquote(where.password or ""), "PGDATABASE": where.path.lstrip("/"),
    }  # fmt: skip
    told |= {f"PG{name.upper()}": value for name, value in parse_qsl(where.query)}
    process = await asyncio.create_subprocess_exec(
        str(postgres_server.programs() / "bin" / program), *words,
        env=os.environ | {name: value for name, value in told.items() if value},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode:
        raise NotRestored(f"{program}: {said.decode('utf-8', 'replace').strip()[-500:]}")
