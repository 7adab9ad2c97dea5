"""A seeded story told to real processes while they are killed, frozen, cut off and rebuilt; then what must hold is looked at."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx2
import orjson
import psutil

from events.envelope import partition_key, written
from projections.policy import Policy
from projections.rows import Row
from services import reading
from services.log import LogUnavailable, Outgoing, end_offsets, values_from
from services.log_writing import LogWriter
from services.publishing import caught_up
from services.settings import ALERTS, EVENTS
from services.tables import TRANSIENT, Connection, TablesUnavailable, active_generation, connected
from services.ticks import tick
from tests.builders import MONDAY, fold_lines
from tests.faults.plan import log_of
from tests.faults.world import COMMAND, PARTITIONS, World

TABLES = ("cases", "patients", "claims", "findings", "errors")
SETTLE = timedelta(days=40)
SILENCE = 120.0


@dataclass
class Told:
    """What a story did: faults by kind, what was acknowledged, and how long the line took to stand again."""

    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: set[tuple[str, str, str]] = field(default_factory=set)
    recovery: float = 0.0
    log: list[str] = field(default_factory=list)


@dataclass
class Story:
    """One seed, told to a world that may have heard others before."""

    world: World
    seed: int
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.began = time.monotonic()

    async def tell(self) -> list[str]:
        """Tell it, heal what was broken, and name what does not hold; nothing should be named."""
        ended = asyncio.Event()
        harm = asyncio.create_task(self._harm(ended))
        try:
            await self._post()
        finally:
            ended.set()
            await harm
        await self._heal()
        return await self._judge()

    # -- what is told ------------------------------------------------------------------------------------------------------

    def _facts(self) -> Iterator[tuple[float, bytes]]:
        """The story's lines with the time at which each is said: about people of this story, an hour apart."""
        start = datetime.fromtimestamp(self.world.now(), UTC)
        for line in log_of(self.random, self.random.randrange(100, 250)):
            try:
                fact = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield self.world.now(), line + str(self.seed).encode()
                continue
            if fact["type"] == "parcours.clock.ticked.v1":
                continue
            at = start + (datetime.fromisoformat(fact["time"]) - MONDAY) + timedelta(hours=1)
            fact["subject"] = f"{fact['subject']}-{self.seed}"
            if fact["type"] == "parcours.patient.merged.v1":
                fact["data"]["into"] = f"{fact['data']['into']}-{self.seed}"
            fact |= {"time": written(at), "recordedtime": written(at + timedelta(seconds=1))}
            yield at.timestamp(), orjson.dumps(fact)

    async def _post(self) -> None:
        """Some by the door, some straight to Kafka; each until it is acknowledged."""
        writer = LogWriter(self.world.servers.kafka_address, limit=4)
        address = f"http://127.0.0.1:{self.world.port}"
        facts = list(self._facts())
        async with httpx2.AsyncClient(base_url=address, trust_env=False, timeout=8) as client:
            try:
                while facts:
                    some, facts = facts[: (n := self.random.randrange(1, 15))], facts[n:]
                    self._not_before(max(at for at, _ in some))
                    lines = [line for _, line in some]
                    by_door = [one for one in lines if one.startswith(b'{"') and self.random.random() < 0.5]
                    await self._until_taken(client, by_door)
                    await self._until_written(writer, [line for line in lines if line not in by_door])
                    await asyncio.sleep(self.random.random() * 0.5)
            finally:
                await writer.close()

    def _not_before(self, at: float) -> None:
        self.world.set_time(max(self.world.shift, at + 2 - time.time()))

    async def _until_taken(self, client: httpx2.AsyncClient, lines: list[bytes]) -> None:
        for line in lines:
            fact = orjson.loads(line)
            headers = {
                "authorization": f"Bearer {self.world.tokens[fact['tenant']]}",
                "content-type": "application/json",
            }
            deadline = time.monotonic() + SILENCE
            while True:
                try:
                    answer = await client.post("/v1/events", content=line, headers=headers)
                except httpx2.TransportError:
                    answer = None
                if answer is not None and answer.status_code == 202:
                    break
                if answer is not None and answer.status_code == 422 and "recordedtime" in answer.text:
                    self._not_before(
                        datetime.fromisoformat(fact["time"]).timestamp()
                    )  # the clock was put back meanwhile
                elif answer is not None and answer.status_code < 500:
                    raise AssertionError(answer.text)
                assert time.monotonic() < deadline, "nobody takes facts"
                await asyncio.sleep(0.2)
            self.told.acknowledged.add((fact["tenant"], fact["subject"], fact["id"]))

    async def _until_written(self, writer: LogWriter, lines: list[bytes]) -> None:
        records = []
        for line in lines:
            try:
                fact = orjson.loads(line)
                key = partition_key(fact.get("tenant", "default"), fact["subject"]).encode()
                self.told.acknowledged.add((fact.get("tenant", "default"), fact["subject"], fact["id"]))
            except orjson.JSONDecodeError:
                key = None
            records.append(Outgoing(line, key))
        if records:
            await self._write(writer, records)

    async def _write(self, writer: LogWriter, records: list[Outgoing]) -> None:
        deadline = time.monotonic() + SILENCE
        while True:
            try:
                await writer.write(EVENTS, records)
            except LogUnavailable:
                assert time.monotonic() < deadline, "Kafka does not come back"
            else:
                return

    # -- what befalls it ---------------------------------------------------------------------------------------------------

    async def _harm(self, ended: asyncio.Event) -> None:
        """One fault after another, until the story is told."""
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "kill -9 of a projector": lambda: self._kill(self._projector()),
            "kill -9 of both projectors": self._kill_both,
            "kill -9 of the notifier": lambda: self._kill("notifier"),
            "kill -9 of the clock": lambda: self._kill("clock"),
            "kill -9 of intake": lambda: self._kill("intake"),
            "projector frozen": lambda: self._freeze(self._projector(), 0.5, 4),
            "projector frozen past its session": lambda: self._freeze(self._projector(), 11, 13),
            "notifier frozen": lambda: self._freeze("notifier", 0.5, 3),
            "intake frozen": lambda: self._freeze("intake", 0.5, 2),
            "PostgreSQL killed": lambda: self._kill_server("postgres"),
            "Kafka killed": lambda: self._kill_server("kafka"),
            "PostgreSQL frozen": lambda: self._freeze_server("postgres"),
            "Kafka frozen": lambda: self._freeze_server("kafka"),
            "connections cut": self._cut,
            "commit whose answer was lost": self._lose_answer,
            "slow database": self._slow,
            "a projector joins and leaves": self._rebalance,
            "clock jumps ahead": lambda: self._jump(self.random.uniform(3_600, 3 * 86_400)),
            "clock jumps back": lambda: self._jump(-self.random.uniform(60, 86_400)),
            "rebuild": lambda: self._command("rebuild", "--processes", self.random.choice("12")),
            "rollback": lambda: self._command("rollback"),
        }  # fmt: skip
        weights = [1 if name == "projector frozen past its session" else 3 for name in kinds]
        while not ended.is_set():
            (kind,) = self.random.choices(list(kinds), weights)
            self.told.faults[kind] += 1
            self.told.log.append(f"{time.monotonic() - self.began:6.2f} s  {kind}")
            await kinds[kind]()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self.random.uniform(0.1, 0.8))

    def _projector(self) -> str:
        return self.random.choice(("projector-1", "projector-2"))

    async def _kill(self, name: str) -> None:
        self.world.services[name].send(signal.SIGKILL)

    async def _kill_both(self) -> None:
        await self._kill("projector-1")
        await self._kill("projector-2")

    async def _freeze(self, name: str, least: float, most: float) -> None:
        self.world.services[name].send(signal.SIGSTOP)
        await asyncio.sleep(self.random.uniform(least, most))
        self.world.services[name].send(signal.SIGCONT)

    async def _kill_server(self, server: str) -> None:
        for process in self.world.tree(server)[:1]:
            with suppress(psutil.Error):
                process.kill()
        await asyncio.sleep(self.random.uniform(0.0, 1.0))
        await self.world.revive()

    async def _freeze_server(self, server: str) -> None:
        frozen = self.world.tree(server)
        for process in frozen:
            with suppress(psutil.Error):
                process.suspend()
        await asyncio.sleep(self.random.uniform(0.5, 3))
        for process in frozen:
            with suppress(psutil.Error):
                process.resume()

    async def _cut(self) -> None:
        self.world.proxy.cut()

    async def _lose_answer(self) -> None:
        self.world.proxy.answers_to_lose = self.random.randrange(1, 3)

    async def _slow(self) -> None:
        self.world.proxy.delay = self.random.uniform(0.005, 0.05)
        await asyncio.sleep(self.random.uniform(0.5, 2))
        self.world.proxy.delay = 0

    async def _rebalance(self) -> None:
        self.world.add("projector-3", *COMMAND, "run", "projector", "--no-clock")
        await asyncio.sleep(self.random.uniform(0.5, 4))
        await self.world.leave("projector-3")

    async def _jump(self, seconds: float) -> None:
        self.world.set_time(self.world.shift + seconds)

    async def _command(self, *words: str) -> None:
        """A command that may fail here: nothing of what was done by it may show."""
        with suppress(TimeoutError):
            code, _ = await self.world.command(*words, limit=30)
            self.told.log.append(f"          {words[0]}: {'done' if code == 0 else 'could not'}")

    # -- afterwards --------------------------------------------------------------------------------------------------------

    async def _heal(self) -> None:
        """Everything runs, time goes on by weeks, and the line has caught up with the log."""
        proxy = self.world.proxy
        proxy.delay = proxy.answers_to_lose = 0
        self.world.thaw()
        await self.world.revive()
        started = time.monotonic()
        self.world.set_time(self.world.shift + SETTLE.total_seconds())
        writer = LogWriter(self.world.servers.kafka_address)
        at = datetime.fromtimestamp(self.world.now(), UTC)
        try:
            await self._write(writer, [Outgoing(tick(at), None, number) for number in range(PARTITIONS)])
        finally:
            await writer.close()
        ends = await end_offsets(self.world.servers.kafka_address, EVENTS)
        async with asyncio.timeout(SILENCE):
            while not await self._stands(ends):  # noqa: ASYNC110 - looked at from outside
                await asyncio.sleep(0.1)
        self.told.recovery = time.monotonic() - started

    async def _stands(self, ends: dict[int, int]) -> bool:
        try:
            async with connected(self.world.database, "faults") as connection:
                _, settled = await caught_up(connection, ends)
                return settled and not await connection.fetchval(
                    "select exists (select 1 from parcours.outbox where sent_at is null)"
                )
        except (TablesUnavailable, *TRANSIENT):
            return False

    async def _judge(self) -> list[str]:
        log = await values_from(self.world.servers.kafka_address, EVENTS, {})
        async with connected(self.world.database, "faults") as connection:
            async with connection.transaction(isolation="repeatable_read"):
                found = await reading.export(connection, None)
                said = await self._odd_alerts(connection)
        expected = fold_lines(log, Policy())
        odd = [f"{name}: the tables are not the fold of the log" for name in TABLES if found[name] != expected[name]]
        odd += said
        kept = {_identity(value) for value in log}
        odd += [f"lost: {one}" for one in sorted(self.told.acknowledged) if one not in kept]
        code, words = await self.world.command("verify")
        return odd + ([f"verify: {words}"] if code else [])

    async def _odd_alerts(self, connection: Connection) -> list[str]:
        """Each alert once in Kafka; the last of each finding is what is noted; what is open has been said, and nothing else."""
        alerts = [orjson.loads(value) for value in await values_from(self.world.servers.kafka_address, ALERTS, {})]
        odd = [f"alert said {n} times: {name}" for name, n in Counter(a["id"] for a in alerts).items() if n > 1]
        last: dict[tuple[str, str], Row] = {}
        for alert in alerts:
            name = (alert["tenant"], alert["data"]["alert"])
            if name not in last or alert["data"]["n"] > last[name]["data"]["n"]:
                last[name] = alert
        active = await active_generation(connection)
        assert active is not None
        rows = await connection.fetch(f"select tenant, subject from {active.schema}.tombstone")
        erased = {(row["tenant"], row["subject"]) for row in rows}
        for row in await connection.fetch(NOTED):
            if (row["tenant"], row["patient"]) in erased:
                continue
            name = (row["tenant"], row["finding"])
            odd += _odd_one(name, row, last.get(name))
        return odd


NOTED = """
select coalesce(s.tenant, f.tenant) as tenant, coalesce(s.finding, f.id) as finding, coalesce(s.patient, f.patient) as patient,
    s.n, s.level, s.is_raised, f.level as level_found, coalesce(f.is_open, false) as is_open, f.is_old
from parcours.announced s full join parcours.finding f on f.tenant = s.tenant and f.id = s.finding
"""


def _odd_one(name: tuple[str, str], row: Any, alert: Row | None) -> list[str]:
    if bool(row["is_raised"]) != row["is_open"] and not (row["is_open"] and row["is_old"]):
        return [f"{name} is {'open' if row['is_open'] else 'over'} and {'was' if row['is_raised'] else 'was not'} said"]
    if row["is_raised"] and row["level"] != row["level_found"]:
        return [f"{name} was said at {row['level']}, stands at {row['level_found']}"]
    if row["n"] is None:
        return []
    if alert is None or alert["data"]["n"] != row["n"]:
        return [f"{name}: Kafka has number {alert and alert['data']['n']}, noted is {row['n']}"]
    is_raised = not alert["type"].startswith("parcours.alert.resolved")
    return [] if is_raised == row["is_raised"] else [f"{name}: Kafka's last word is another"]


def _identity(value: bytes) -> tuple[str, str, str] | None:
    try:
        fact = orjson.loads(value)
        return fact.get("tenant", "default"), fact["subject"], fact["id"]
    except (orjson.JSONDecodeError, KeyError):
        return None
