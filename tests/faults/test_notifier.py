"""kill -9 of the notifier while alerts pour out: each arrives, under one name, and "delivered" is never said too early."""

import asyncio
import os
import signal
import sys
import time
from random import Random

import orjson
import pytest

from services import tables_alerts as tables
from services.tables_alerts import Subscription
from services.webhook_addresses import new_secret
from tests.line import Line
from tests.receiver import Receiver

RULES = 'version = "f"\nraises_a_minute = 1000000\n[[rule]]\nid = "all"\nfindings = ["bounced_case"]\n'
KILLS = int(os.environ.get("NOTIFIER_KILLS", "4"))
A_SECOND = 200


async def started(line: Line) -> asyncio.subprocess.Process:
    environment = os.environ | {"PARCOURS_KAFKA": line.kafka, "PARCOURS_POSTGRES": line.database}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.command_line.main", "run", "notifier", env=environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def say(line: Line, first: int, n: int) -> None:
    """Alerts as the projector writes them, one a patient."""
    async with line.pool.acquire() as connection, connection.transaction():
        rows = []
        for number in range(first, first + n):
            data = {
                "alert": f"bounced_case:p{number}:c:1", "n": 1, "rule": "bounced_case", "level": "B2", "severity": "medium",
                "patient": f"p{number}", "title_en": "t", "title_fr": "t", "reasons": [], "link": "/", "department": "A",
            }  # fmt: skip
            envelope = {
                "id": f"a-{number}",
                "type": "parcours.alert.raised.v1",
                "time": "2026-03-02T09:00:00Z",
                "tenant": "default",
                "data": data,
            }
            key = f"default|p{number}"
            rows.append(
                (number % 3, "default", f"p{number}", key, orjson.dumps(envelope), data["alert"], "raised", number + 1)
            )
        await connection.executemany(
            "insert into parcours.outbox (partition, tenant, patient, key, value, finding, act, number)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8)", rows,
        )  # fmt: skip
        await connection.execute("select pg_notify('parcours_outbox', '')")


async def _left(line: Line) -> bool:
    """Whether anything is still to be routed or sent."""
    return bool(
        await line.fetch("select 1 from parcours.message where state <> 'delivered' limit 1")
        or await line.fetch("select 1 from parcours.outbox where routed_at is null limit 1")
    )


@pytest.mark.timeout(600)
async def test_a_killed_notifier_loses_nothing_and_calls_nothing_delivered_that_was_not(line: Line) -> None:
    random, said = Random(7), 0
    async with Receiver() as receiver:
        receiver.secret = new_secret()
        async with line.pool.acquire() as connection:
            await tables.set_setting(connection, "rules", RULES)
            await tables.set_setting(connection, "allowed_hosts", ["127.0.0.1"])
            one = Subscription(
                "s1", "default", "webhook", receiver.url, "team", "en", {}, None, None, (receiver.secret,), "active"
            )
            await tables.add_subscription(connection, one)
        for _ in range(KILLS):
            process = await started(line)
            until = time.monotonic() + 2.5 + random.random()
            while time.monotonic() < until:
                await say(line, said, A_SECOND // 10)
                said += A_SECOND // 10
                await asyncio.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            arrived = {alert["id"] for one in receiver.taken for alert in one.body["data"]["alerts"]}
            noted = await line.fetch(
                "select o.finding from parcours.delivery d join parcours.message m on m.id = d.message and m.state = 'delivered'"
                " join parcours.outbox o on o.id = d.outbox"
            )
            assert {f"a-{row['finding'].split(':')[1][1:]}" for row in noted} <= arrived
        process = await started(line)
        async with asyncio.timeout(120):
            while not await line.fetch("select 1 from parcours.heartbeat where pid = $1", process.pid):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            while await _left(line):  # noqa: ASYNC110 - a test may look
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0

    names: dict[str, set[str]] = {}
    for one_taken in receiver.taken:
        assert one_taken.genuine
        for alert in one_taken.body["data"]["alerts"]:
            names.setdefault(alert["id"], set()).add(one_taken.name)
    assert names.keys() == {f"a-{number}" for number in range(said)}
    assert all(len(found) == 1 for found in names.values())
