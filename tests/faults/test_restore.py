"""The drill: log and tables backed up under load, everything lost, put back elsewhere; and tables newer than their log."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from projections.policy import Policy
from services import reading
from services.log import Outgoing, end_offsets, records_from, values_from
from services.log_writing import LogWriter
from services.publishing import caught_up
from services.servers import Servers
from services.settings import ALERTS, EVENTS, Settings
from services.tables import Connection, connected
from tests.builders import DAY, MONDAY, fold_lines, lines, registered, tick, worked

COMMAND = (sys.executable, "-m", "services.command_line.main")
PARTITIONS = 4


class Running:
    """Servers of a home, and the processes that a person starts beside them."""

    def __init__(self, home: Path) -> None:
        self.home, self.servers = home, Servers(Settings(home, partitions=PARTITIONS))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.servers.start()
        assert self.command("run", "tables").returncode == 0
        for name in ("projector", "notifier"):
            words = ("run", name, "--no-clock") if name == "projector" else ("run", name)
            with (self.home / f"{name}.log").open("ab") as log:
                self.processes.append(
                    subprocess.Popen([*COMMAND, *words], env=self.environment, stdout=log, stderr=log)
                )

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PARCOURS_HOME": str(self.home), "PARCOURS_KAFKA": self.servers.kafka_address,
            "PARCOURS_POSTGRES": self.servers.postgres_url, "PARCOURS_PARTITIONS": str(PARTITIONS),
        }  # fmt: skip

    def command(self, *words: str, embedded: bool = False) -> subprocess.CompletedProcess[str]:
        environment = self.environment
        if embedded:
            environment = {
                name: v for name, v in environment.items() if name not in ("PARCOURS_KAFKA", "PARCOURS_POSTGRES")
            }
        return subprocess.run(
            [*COMMAND, *words], env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    async def tell(self, told: Sequence[bytes]) -> None:
        writer = LogWriter(self.servers.kafka_address)
        for line in told:
            fact = orjson.loads(line)
            if "ticked" in fact["type"]:
                await writer.write(EVENTS, [Outgoing(line, None, number) for number in range(PARTITIONS)])
            else:
                await writer.write(EVENTS, [Outgoing(line, f"default|{fact['subject']}".encode())])
        await writer.close()

    async def tell_at_once(self, told: Sequence[bytes]) -> None:
        """Facts in a transaction, which ends with something that takes a place in the log and is no record."""
        emitter = AIOKafkaProducer(bootstrap_servers=self.servers.kafka_address, transactional_id="an emitter")
        await emitter.start()
        before = sum((await end_offsets(self.servers.kafka_address, EVENTS)).values())
        async with emitter.transaction():
            for line in told:
                await emitter.send_and_wait(EVENTS, line, key=f"default|{orjson.loads(line)['subject']}".encode())
        await emitter.stop()
        async with asyncio.timeout(
            10
        ):  # the broker ends a transaction after it has answered: what is told next might come first
            while sum((await end_offsets(self.servers.kafka_address, EVENTS)).values()) != before + len(told) + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def records(self) -> list[tuple[int, int, int, bytes]]:
        """Every record: its offset, partition, when it was appended, and its value."""
        ends = await end_offsets(self.servers.kafka_address, EVENTS)
        found = [one async for one in records_from(self.servers.kafka_address, EVENTS, ends)]
        listed = sorted(found, key=lambda one: (one.partition, one.offset))
        return [(one.offset, one.partition, one.timestamp, one.value or b"") for one in listed]

    async def parked_at(self) -> list[int]:
        """The offsets of what is parked."""
        async with connected(self.servers.postgres_url, "tests") as connection:
            return [row["offset"] for row in await connection.fetch('select "offset" from parcours.parked')]

    async def settled(self) -> tuple[Any, list[str]]:
        """What the tables say once they have read all, and the alerts in Kafka."""
        ends = await end_offsets(self.servers.kafka_address, EVENTS)
        asked = asyncio.get_running_loop().time()
        async with connected(self.servers.postgres_url, "tests") as connection:
            while not all(state := await self._settled(connection, ends)):
                if asyncio.get_running_loop().time() > asked + 60:
                    pytest.fail(f"after a minute, read and sent: {state}; {ends}\n{self._logs()}")
                await asyncio.sleep(0.1)
            found = await reading.export(connection, None)
        alerts = await values_from(self.servers.kafka_address, ALERTS, {})
        return found, [orjson.loads(value)["id"] for value in alerts]

    async def _settled(self, connection: Connection, ends: dict[int, int]) -> tuple[bool, bool]:
        waiting = await connection.fetchval("select exists (select 1 from parcours.outbox where sent_at is null)")
        return (await caught_up(connection, ends))[1], not waiting

    def _logs(self) -> str:
        return "\n".join(f"{log.name}:\n{log.read_text()[-4000:]}" for log in sorted(self.home.glob("*.log")))

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []
        self.servers.remove()


def bounced(patient: str, first: int) -> list[bytes]:
    facts = [worked(d).of(patient).named(f"{patient}-{n}").on(MONDAY + (first + n) * DAY) for n, d in enumerate("ABCA")]
    return lines(*facts)


@pytest.mark.timeout(200)
async def test_everything_lost_and_put_back_goes_on_where_the_backup_stood(tmp_path: Path) -> None:
    before, lost = Running(tmp_path / "before"), tmp_path / "backup"
    early = bounced("p1", 0) + lines(registered().of("p2").on(MONDAY), tick("2026-03-20T00:00:00Z"))
    moves = [worked(d).of("p4").named(f"t{n}").on(MONDAY + n * DAY) for n, d in enumerate("ABAC")]
    together, alone = lines(*moves[:3]), [*lines(moves[3]), lines(moves[3])[0].replace(b'"1.0"', b'"9"')]
    late = bounced("p3", 30) + lines(tick("2026-06-20T00:00:00Z"))
    try:
        before.start()
        await before.tell(early)
        await before.tell_at_once(together)
        await before.tell(alone)
        _, said = await before.settled()
        kept = await before.records()
        done = await asyncio.to_thread(before.command, "backup", str(lost))
        assert done.returncode == 0, done.stderr
        twice = await asyncio.to_thread(before.command, "backup", str(lost))
        assert "not empty" in twice.stderr
    finally:
        before.end()

    after = Running(tmp_path / "after")
    try:
        restored = await asyncio.to_thread(after.command, "restore", str(lost), embedded=True)
        assert restored.returncode == 0, restored.stderr
        over = await asyncio.to_thread(after.command, "restore", str(lost), embedded=True)
        assert "into empty servers only" in over.stderr
        assert not (after.home / "restoring").exists()
        after.start()
        again = await after.records()
        assert [one[1:] for one in again] == [one[1:] for one in kept]  # when each was appended, too
        assert [one[0] for one in again] != [one[0] for one in kept]  # the end of a transaction has left its place
        assert await after.parked_at() == [next(one[0] for one in again if b'"9"' in one[3])]
        await after.tell(late)
        found, alerts = await after.settled()
        verified = await asyncio.to_thread(after.command, "verify")
    finally:
        after.end()

    expected = fold_lines(early + together + alone + late, Policy())
    assert {name: found[name] for name in ("cases", "claims", "findings", "patients")} == {
        name: expected[name] for name in ("cases", "claims", "findings", "patients")
    }
    assert alerts[: len(said)] == said or set(said) < set(alerts)
    assert len(alerts) == len(set(alerts))
    assert verified.returncode == 0, verified.stdout


@pytest.mark.timeout(200)
async def test_tables_older_than_the_log_read_on_and_newer_ones_are_refused(tmp_path: Path) -> None:
    one, dump = Running(tmp_path / "one"), tmp_path / "backup"
    try:
        one.start()
        await one.tell(bounced("p1", 0))
        _, said = await one.settled()
        assert (await asyncio.to_thread(one.command, "backup", str(dump))).returncode == 0
        for process in one.processes:
            process.kill()
            process.wait()
        one.processes = []
        # what was said after the tables' backup and before the log's: known from the log of alerts, and not said again
        async with connected(one.servers.postgres_url, "tests") as connection:
            await connection.execute("update parcours.outbox set sent_at = null")
            await connection.execute("update parcours.setting set value = '{}' where name = 'relayed'")
        one.start()
        _, again = await one.settled()

        async with connected(one.servers.postgres_url, "tests") as connection:
            await connection.execute("update parcours.checkpoint set next_offset = next_offset + 1000")
        for process in one.processes:
            process.kill()
            process.wait()
        one.processes = []
        projector = await asyncio.to_thread(one.command, "run", "projector", "--no-clock")
        refused = await asyncio.to_thread(one.command, "rebuild")
        rebuilt = await asyncio.to_thread(one.command, "rebuild", "--log-was-lost")
        assert rebuilt.returncode == 0, rebuilt.stderr
        one.start()
        left, _ = await one.settled()
    finally:
        one.end()

    assert said
    assert again == said
    assert projector.returncode == 1
    assert "the tables stand at offset" in projector.stdout + projector.stderr
    assert refused.returncode == 1
    assert "--log-was-lost" in refused.stderr
    assert left["cases"] == fold_lines(bounced("p1", 0), Policy())["cases"]
