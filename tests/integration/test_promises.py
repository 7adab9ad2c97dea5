"""Promises that nothing else would miss: what is silenced stays silent, a log without its head, a disk without room, the rebound name."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from projections.policy import Policy
from services import acting
from services.log_writing import LogWriter
from services.notifier.webhooks import post
from services.projector import rebuild as making
from services.tables import NoGeneration
from tests.builders import DAY, MONDAY, lines, registered, tick, transferred, worked
from tests.integration.test_alerts import PLAIN, bounced, deliveries, notified, say, until, webhook
from tests.integration.test_generations import rebuilding
from tests.line import Line
from tests.receiver import Receiver


async def test_what_is_silenced_is_not_said_when_it_gets_worse(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(line, *bounced("p1"))
        await until(lambda: len(receiver.taken) == 1)
        log = LogWriter(line.kafka)
        wish = acting.Wish("silenced", "mme. lambert", until=(datetime.now(UTC) + timedelta(days=2)).isoformat())
        await acting.act(log, [("default", "p1", "bounced_case:p1:c-p1:1")], wish, line.topic)
        await log.close()
        await line.project()

        await say(line, *[worked(d, "c-p1").of("p1", "default").on(MONDAY + DAY * n) for n, d in enumerate("BABAB", 1)])
        await until(lambda: _muted(line))

    assert len(receiver.taken) == 1


async def _muted(line: Line) -> bool:
    return bool(await deliveries(line, "muted"))


async def test_a_department_on_its_closing_day_is_not_said_to_have_missed_a_visit(line: Line) -> None:
    today = datetime.now(UTC).date()
    closed = PLAIN + f'[[closing_days]]\ndepartment = "B"\ndays = ["{today}"]\n'
    opened = datetime.now(UTC) - timedelta(days=20)
    facts = [
        worked("A", "c-p1").of("p1", "default").on(opened - DAY),
        registered("k1", "fr-csp", case="c-p1").of("p1", "default").on(opened),
        transferred("B", "c-p1").of("p1", "default").on(opened + timedelta(hours=1)),
        tick(datetime.now(UTC)),
    ]
    async with Receiver() as receiver, notified(line, closed, webhook(receiver)):
        await say(line, *facts)
        await until(lambda: _muted(line))
        muted = await deliveries(line, "muted")

    assert any(row["last_answer"] == "B is closed today" for row in muted)
    assert not any(alert["level"] == "visit" for one in receiver.taken for alert in one.body["data"]["alerts"])


async def test_a_rebuild_is_refused_when_the_log_has_lost_its_head(line: Line) -> None:
    await line.publish(lines(*[worked(d) for d in "ABA"]))
    await line.project()
    admin = AIOKafkaAdminClient(bootstrap_servers=line.kafka)
    await admin.start()
    held = [one for one in await line.records() if one.offset]
    part = TopicPartition(line.topic, held[0].partition)
    await admin.delete_records({part: RecordsToDelete(before_offset=1)})
    await admin.close()

    with pytest.raises(NoGeneration, match="does not begin at 0"):
        await making.rebuild(rebuilding(line), Policy())


async def test_a_rebuild_is_refused_without_room_for_a_second_set_of_tables(
    line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await line.publish(lines(*[worked(d) for d in "ABA"]))
    await line.project()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))

    with pytest.raises(NoGeneration, match="new tables need about"):
        await making.room_for_another(rebuilding(line), tmp_path)


async def test_a_webhook_goes_to_the_address_that_was_judged_whatever_its_name_says_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def judged(host: str, _port: int, _allowed: frozenset[str]) -> str:
        asked.append(host)
        return "127.0.0.1"

    async with Receiver() as receiver, httpx2.AsyncClient(trust_env=False) as client:
        port = httpx2.URL(receiver.url).port
        monkeypatch.setattr("services.notifier.webhooks.resolved", judged)
        allowed = frozenset({"name.invalid"})  # a name nobody else can resolve
        answer = await post(client, f"http://name.invalid:{port}/hook", {}, b"{}", allowed)

    assert asked == ["name.invalid"]
    assert answer.ok
