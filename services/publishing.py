"""Facts of a file straight to Kafka, in file order; ticks to every partition. EVENTS section 2, clock.ticked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from events.catalogue import TICK, decoded
from events.envelope import Refused, partition_key
from projections.jurisdictions import UnknownJurisdiction
from projections.patient import check
from projections.policy import Policy
from services.bilingual import Both, of_system
from services.log import Outgoing
from services.log_writing import LogWriter
from services.refusals import refusal
from services.settings import EVENTS
from services.tables import Connection
from services.ticks import tick

AT_ONCE = 4_000
MOST_SHOWN = 5
LONGEST_LINE = 6 * 1024 * 1024


class BadFile(ValueError):
    """A file that cannot be read: which, where, and why."""


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, none of them endless, what is blank as nothing. Raises `BadFile`."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise BadFile(
                        Both(
                            f"{path}: line {number} is longer than 6 MiB: no fact is. Is this a file of CloudEvents, one a line?",
                            f"{path} : la ligne {number} dépasse 6 Mio : aucun fait n'est si long. Est-ce un fichier de CloudEvents, un"
                            " par ligne ?",
                        )
                    )
                yield line.strip()
    except OSError as wrong:
        raise BadFile(of_system(wrong, path)) from wrong


@dataclass(slots=True)
class Published:
    """What publishing a file did: lines written, lines that will be parked and what is wrong with the first of them, by number, and how
    far the log reaches now.
    """

    lines: int = 0
    facts: int = 0
    refused: int = 0
    wrong: dict[int, Both] = field(default_factory=dict)
    ticks: int = 0
    latest: datetime | None = None
    ends: dict[int, int] = field(default_factory=dict)


def outgoing(line: bytes, partitions: int, policy: Policy, done: Published) -> list[Outgoing]:
    """The records one line becomes: a fact one, a tick one a partition. A bad line is published too: it will be parked."""
    done.lines += 1
    if not line:
        return []
    try:
        fact = decoded(line)
        check(fact, policy)
    except (Refused, UnknownJurisdiction) as wrong:
        done.refused += 1
        if len(done.wrong) < MOST_SHOWN:
            done.wrong[done.lines] = refusal(wrong)
        return [Outgoing(line, _key(line))]
    if done.latest is None or fact.recorded_at > done.latest:
        done.latest = fact.recorded_at
    if fact.type == TICK:
        done.ticks += 1
        return [Outgoing(line, None, number) for number in range(partitions)]
    done.facts += 1
    return [Outgoing(line, partition_key(fact.tenant, fact.subject).encode())]


def _key(line: bytes) -> bytes | None:
    """Where a bad line would belong, if it says so."""
    try:
        content: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    subject = content.get("subject") if isinstance(content, dict) else None
    return (
        f"{content.get('tenant', 'default')}|{subject}".encode("utf-8", "replace") if isinstance(subject, str) else None
    )


def in_chunks(records: Iterable[Outgoing], size: int = AT_ONCE) -> Iterator[list[Outgoing]]:
    """Records in lists of a size Kafka takes at once."""
    each = iter(records)
    while chunk := list(islice(each, size)):
        yield chunk


async def publish(
    writer: LogWriter,
    source: Iterable[bytes],
    partitions: int,
    policy: Policy,
    step: Callable[[int], None],
    topic: str = EVENTS,
) -> Published:
    """Write lines in their order, and end with a tick at the largest `recordedtime` to every partition."""
    done = Published()
    records = (one for line in source for one in outgoing(line, partitions, policy, done))
    for chunk in in_chunks(records):
        await _write(writer, topic, chunk, done)
        step(len(chunk))
        await asyncio.sleep(0)
    if done.latest is not None:
        await _write(writer, topic, [Outgoing(tick(done.latest), None, number) for number in range(partitions)], done)
    return done


async def _write(writer: LogWriter, topic: str, chunk: list[Outgoing], done: Published) -> None:
    for where in await writer.write(topic, chunk, limit=60):
        done.ends[where.partition] = max(done.ends.get(where.partition, 0), where.offset + 1)


async def caught_up(connection: Connection, ends: dict[int, int]) -> tuple[int, bool]:
    """How many records of a log that ends there are still to come, and whether everything due has been fired as well."""
    rows = await connection.fetch("select partition, next_offset from parcours.checkpoint")
    at = {row["partition"]: row["next_offset"] for row in rows}
    behind = sum(max(0, end - at.get(number, 0)) for number, end in ends.items())
    if behind:
        return behind, False
    left = await connection.fetchval(
        "select exists (select 1 from parcours.inbox) or exists (select 1 from parcours.patient p join parcours.checkpoint c"
        " using (partition) where p.next_due_at <= c.watermark and not p.is_quarantined)"
    )
    return 0, not left


async def until_caught_up(connection: Connection, ends: dict[int, int]) -> AsyncIterator[int]:
    """Yield how many records are still to come, until the tables hold everything up to those ends."""
    while True:
        behind, settled = await caught_up(connection, ends)
        yield behind
        if settled:
            return
        await asyncio.sleep(0.1)
