"""From what is said to whom it reaches: rules, groups, webhooks that misbehave, the brake, people's acts."""

import asyncio
import inspect
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default as email_policy
from zoneinfo import ZoneInfo

import orjson
import pytest

from services import acting
from services import tables_alerts as tables
from services import tables_messages as messages
from services.log_writing import LogWriter
from services.notifier import sending, webhooks, words
from services.notifier.routing import Router, hold, remind
from services.notifier.sending import Sender
from services.notifier.webhooks import Answer
from services.tables_alerts import Subscription
from services.webhook_addresses import Forbidden, check_address, new_secret, resolved
from tests.builders import MONDAY, Said, lines, said, worked
from tests.line import Line
from tests.receiver import Receiver

PLAIN = 'version = "t"\n[[rule]]\nid = "all"\nfindings = ["bounced_case", "unanswered_claim", "missed_clock"]\n'
MUTES = '[[inhibit]]\nby = ["unanswered_claim"]\nmutes = ["bounced_case"]\n'
GROUPED = PLAIN + 'group_by = ["department"]\nwait = "1s"\n'


def bounced(patient: str, department: str = "A") -> list[Said]:
    case = f"c-{patient}"
    return [worked(name, case).of(patient, "default") for name in (department, "B", department)]


def webhook(receiver: Receiver, **more: object) -> Subscription:
    receiver.secret = new_secret()
    one = Subscription(
        "s1", "default", "webhook", receiver.url, "team", "en", {}, None, None, (receiver.secret,), "active"
    )
    return replace(one, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def notified(line: Line, rules: str, *subscribers: Subscription) -> AsyncIterator[Sender]:
    """A notifier at work on a line."""
    async with line.pool.acquire() as connection:
        await tables.set_setting(connection, "rules", rules)
        await tables.set_setting(connection, "allowed_hosts", ["127.0.0.1"])
        for one in subscribers:
            await tables.add_subscription(connection, one)
    sender = Sender(line.pool, sending.ways("http://here"))
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.close()


async def until(condition: object, seconds: float = 15.0) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()  # type: ignore[operator]
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.02)


numbers = itertools.count()


async def say(line: Line, *facts: Said) -> None:
    await line.publish(lines(*(fact.named(f"f-{next(numbers):05d}") for fact in facts)))
    await line.project()


async def say_of_a_claim_and_then_of_its_case(line: Line) -> None:
    """A claim is unanswered, and after that its case is bounced."""
    claim = said("claim.registered", claim="k1", kind="complaint", case="c-p1", jurisdiction="us-cms")
    handled = worked("A", "c-p1").of("p1", "default").on(MONDAY + timedelta(days=15))
    await say(line, claim.of("p1", "default").on(MONDAY), handled)
    await say(line, *(fact.on(MONDAY + timedelta(days=20 + n)) for n, fact in enumerate(bounced("p1"))))


async def deliveries(line: Line, state: str | None = None) -> list[dict[str, object]]:
    async with line.pool.acquire() as connection:
        return await messages.deliveries(connection, None, state)


async def test_an_alert_arrives_signed_once_and_says_no_word_of_a_patient(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(
            line, said("contact.received", contact="m1", channel="phone", text="my words", case="c-p1"), *bounced("p1")
        )

        await until(lambda: len(receiver.taken) == 1)
        await until(lambda: _done(line, 1))

    (one,) = receiver.taken
    assert one.genuine
    assert one.body["type"] == "parcours.alert.raised.v1"
    assert one.body["data"]["alerts"][0]["alert"] == "bounced_case:p1:c-p1:1"
    assert "my words" not in str(one.body)


async def test_no_connection_is_kept_for_a_later_webhook_which_may_be_another_host_s(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        for n in (1, 2):
            await say(line, *bounced(f"p{n}"))
            await until(lambda: _done(line, n))  # noqa: B023 - awaited within the loop

    assert receiver.connections == 2


async def _done(line: Line, n: int, state: str = "delivered") -> bool:
    return len(await deliveries(line, state)) == n


async def test_a_department_that_closes_is_one_message_and_everything_is_listed(line: Line) -> None:
    async with Receiver() as receiver, notified(line, GROUPED, webhook(receiver)):
        await say(line, *(fact for n in range(200) for fact in bounced(f"p{n}")))

        await until(lambda: _done(line, 1))

    (one,) = receiver.taken
    assert one.body["data"]["count"] == 200
    async with line.pool.acquire() as connection:
        assert len(await tables.alerts(connection, "default", raised_only=True)) == 200


async def undelivered(line: Line) -> tuple[int, str | None]:
    """What the doctor is told of messages that did not arrive."""
    async with line.pool.acquire() as connection:
        return await messages.undelivered(connection)


async def test_what_fails_is_tried_again_under_the_same_name(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SCHEDULE", (timedelta(seconds=0.05),) * 6)
    monkeypatch.setattr(webhooks, "LIMIT", 0.3)
    answers = [500, "reset", "hang", (302, {"location": "http://169.254.169.254/"}), (429, {"retry-after": "1"}), 200]
    async with Receiver(answer=lambda n: answers[min(n, 5)]) as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(line, *bounced("p1"))

        await until(lambda: _done(line, 1))

    assert len(receiver.taken) == 6
    assert len({one.name for one in receiver.taken}) == 1
    assert all(one.genuine for one in receiver.taken)
    (told,) = await line.fetch(
        "select array_agg(answer order by at) as a, max(at) - min(at) as took from parcours.attempt"
    )
    assert told["a"][3].startswith("302")
    assert told["a"][5] == "200"
    assert told["took"] >= timedelta(seconds=1)  # Retry-After was honoured
    assert await undelivered(line) == (0, None)


async def test_410_disables_and_a_schedule_that_is_over_pauses(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SCHEDULE", (timedelta(seconds=0.01),))
    async with Receiver(answer=lambda _: 410) as gone, Receiver(answer=lambda _: 503) as dead:
        first, second = webhook(gone), replace(webhook(dead), id="s2")
        async with notified(line, PLAIN, first, second):
            await say(line, *bounced("p1"))

            await until(lambda: _done(line, 2, "failed"))
            await say(line, *bounced("p2"))
            await until(lambda: _done(line, 1, "waiting"))

    rows = {row["id"]: row["state"] for row in await line.fetch("select id, state from parcours.subscription")}
    assert rows == {"s1": "disabled", "s2": "paused"}
    assert len(dead.taken) == 2


async def test_a_slow_subscriber_delays_nobody_else(line: Line) -> None:
    async with Receiver(answer=lambda _: "hang") as slow, Receiver() as quick:
        async with notified(line, PLAIN, webhook(slow), replace(webhook(quick), id="s2")):
            await say(line, *bounced("p1"), *bounced("p2"))

            await until(lambda: len(quick.taken) == 2, 5)


async def test_a_patients_alerts_come_in_their_order(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SCHEDULE", (timedelta(seconds=0.05),) * 9)
    async with Receiver(answer=lambda n: 500 if n < 3 else 200) as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(line, *bounced("p1"))
        await until(lambda: len(receiver.taken) >= 1)
        await say(line, worked("B", "c-p1").of("p1", "default").on(MONDAY + timedelta(days=1)))  # it rises to B3
        await say(line, *bounced("p2"))

        await until(lambda: _done(line, 3))

    good = [one.body["data"]["alerts"][0] for one in receiver.taken]
    p1 = [alert["n"] for alert in good if alert["patient"] == "p1"]
    assert p1 == sorted(p1)
    assert p1[-1] == 2


async def test_both_secrets_sign_while_one_is_changed(line: Line) -> None:
    old = new_secret()
    async with Receiver() as receiver:
        one = webhook(receiver)
        receiver.secret = old
        async with notified(line, PLAIN, replace(one, secrets=(new_secret(), old))):
            await say(line, *bounced("p1"))
            await until(lambda: len(receiver.taken) == 1)
    assert receiver.taken[0].genuine


async def test_an_alert_that_is_over_before_it_was_said_is_not_said_and_stays_listed(line: Line) -> None:
    late = {"zone": "UTC", "country": None, "from": "03:00", "to": "03:01"}
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver, hours=late)):
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1, "waiting"))
        await say(
            line, said("case.closed", case="c-p1", reason="answered").of("p1", "default").on(MONDAY + timedelta(days=1))
        )

        await until(lambda: _done(line, 1, "dropped"))
        assert len(await deliveries(line, "muted")) == 2
    assert receiver.taken == []


async def test_who_was_told_is_told_that_it_is_over_although_the_last_change_still_waits(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1))
        await line.fetch(
            'update parcours.subscription set hours = \'{"zone":"UTC","country":null,"from":"03:00","to":"03:01"}\''
        )
        await say(line, worked("B", "c-p1").of("p1", "default").on(MONDAY + timedelta(days=1)))  # it rises to B3
        await until(lambda: _done(line, 1, "waiting"))
        await line.fetch("update parcours.subscription set hours = null")
        closed = said("case.closed", case="c-p1", reason="answered").of("p1", "default")
        await say(line, closed.on(MONDAY + timedelta(days=2)))

        await until(lambda: len(receiver.taken) == 2)
        assert len(await deliveries(line, "muted")) == 1  # the change that nobody has heard of any more
    assert [one.body["type"] for one in receiver.taken] == ["parcours.alert.raised.v1", "parcours.alert.resolved.v1"]


async def test_of_what_was_dropped_nobody_is_told_that_it_is_over(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        async with line.pool.acquire() as connection:
            await hold(connection, "me", "a wrong import", datetime.now(UTC))
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1, "held"))
        async with line.pool.acquire() as connection:
            assert await messages.release_held(connection, None, send=False) == 1
        closed = said("case.closed", case="c-p1", reason="answered").of("p1", "default")
        await say(line, closed.on(MONDAY + timedelta(days=1)))

        await until(lambda: _done(line, 1, "muted"))
        await asyncio.sleep(0.2)
    assert receiver.taken == []


async def test_a_message_that_was_to_speak_of_somebody_erased_is_not_sent_empty(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        async with line.pool.acquire() as connection:
            await hold(connection, "me", "a wrong import", datetime.now(UTC))
        await say(line, *bounced("p1"), *bounced("p2"))
        await until(lambda: _done(line, 2, "held"))
        await say(line, said("patient.erased").of("p1", "default").on(MONDAY + timedelta(days=1)))
        async with line.pool.acquire() as connection:
            assert await messages.release_held(connection, None, send=True) == 1
        await until(lambda: len(receiver.taken) == 1)
        assert [row["last_answer"] for row in await deliveries(line, "dropped")] == ["erased"]
    assert receiver.taken[0].body["data"]["alerts"][0]["patient"] == "p2"


async def test_a_person_takes_it_silences_it_and_nobody_is_reminded(line: Line) -> None:
    rules = PLAIN + 'repeat = "1s"\nescalate_after = "1s"\nescalate_to = ["head"]\n'
    async with Receiver() as receiver, Receiver() as head:
        async with notified(
            line, PLAIN, webhook(receiver), replace(webhook(head), id="s2", role="head", filters={"rules": ["none"]})
        ):
            await say(line, *bounced("p1"), *bounced("p2"))
            await until(lambda: len(receiver.taken) == 2)
            log = LogWriter(line.kafka)
            facts = [
                acting.fact(
                    "default",
                    patient,
                    f"bounced_case:{patient}:c-{patient}:1",
                    acting.Wish(kind, "mme. lambert"),
                    datetime.now(UTC),
                )
                for patient, kind in (("p1", "acknowledged"),)
            ]
            await log.close()
            await line.publish([orjson.dumps(fact) for fact in facts])
            await line.project()
            async with line.pool.acquire() as connection:
                await tables.set_setting(connection, "rules", rules)
            await remind(line.pool, Router(line.pool), datetime.now(UTC))

            await until(lambda: len(head.taken) >= 1)
            await asyncio.sleep(0.3)

    assert {one.body["data"]["alerts"][0]["patient"] for one in head.taken} == {"p2"}
    reminded = [one for one in receiver.taken if one.body["data"]["why"] == "repeated"]
    assert {one.body["data"]["alerts"][0]["patient"] for one in reminded} == {"p2"}
    states = {row["patient"]: tables.alert_state(row, datetime.now(UTC)) for row in await _alerts(line)}
    assert states == {"p1": "acknowledged", "p2": "raised"}


async def _alerts(line: Line) -> list[object]:
    async with line.pool.acquire() as connection:
        return await tables.alerts(connection, "default")


async def test_too_many_at_once_hold_everything_and_say_so_to_the_administrators(line: Line) -> None:
    rules = PLAIN.replace("[[rule]]", "raises_a_minute = 5\n[[rule]]")
    async with Receiver() as team, Receiver() as admin:
        slow = {"zone": "UTC", "country": None, "from": "03:00", "to": "03:01"}
        async with notified(
            line,
            rules,
            webhook(team, hours=slow),
            replace(webhook(admin), id="s2", role="admin", filters={"rules": ["none"]}),
        ):
            await say(line, *(fact for n in range(10) for fact in bounced(f"p{n}")))

            await until(lambda: len(admin.taken) == 1)
            assert len(await deliveries(line, "held")) == 10
            assert admin.taken[0].body["type"] == "parcours.alerts.notice"
            assert "10 messages within a minute" in admin.taken[0].body["data"]["notice"]


async def test_the_brake_holds_by_hand_and_lets_go(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        async with line.pool.acquire() as connection:
            await hold(connection, "me", "a wrong import", datetime.now(UTC))
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1, "held"))
        async with line.pool.acquire() as connection:
            assert await messages.release_held(connection, None, send=True) == 1

        await until(lambda: len(receiver.taken) == 1)


async def test_the_brake_holds_also_what_is_to_be_tried_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SCHEDULE", (timedelta(seconds=0.5),) * 9)
    async with Receiver(answer=lambda _: 500) as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(line, *bounced("p1"), *bounced("p2"))
        await until(lambda: len(receiver.taken) >= 2)
        async with line.pool.acquire() as connection:
            await hold(connection, "me", "a wrong import", datetime.now(UTC))
        await until(lambda: _done(line, 2, "held"))
        tried = len(receiver.taken)
        await asyncio.sleep(1.5)
        assert len(receiver.taken) == tried


async def test_an_establishment_released_leaves_the_others_held(line: Line) -> None:
    async with Receiver() as receiver, Receiver() as other:
        south = replace(webhook(other), id="s2", tenant="south")
        async with notified(line, PLAIN, webhook(receiver), south):
            async with line.pool.acquire() as connection:
                await hold(connection, "me", "a wrong import", datetime.now(UTC))
            await say(line, *bounced("p1"), *(replace(fact, tenant="south") for fact in bounced("p2")))
            await until(lambda: _done(line, 2, "held"))
            async with line.pool.acquire() as connection:
                assert await messages.release_held(connection, "default", send=True) == 1
                assert await tables.is_held(connection, "south")
            await until(lambda: len(receiver.taken) == 1)
            await say(line, *bounced("p3"), *(replace(fact, tenant="south") for fact in bounced("p4")))
            await until(lambda: len(receiver.taken) == 2)
            assert len(await deliveries(line, "held")) == 2
            assert other.taken == []
            async with line.pool.acquire() as connection:
                assert await messages.release_held(connection, "south", send=True) == 2
                assert not await tables.is_held(connection, "south")
            await until(lambda: len(other.taken) == 2)


async def test_a_head_of_one_department_is_not_told_of_another(line: Line) -> None:
    rules = PLAIN + 'repeat = "1s"\nescalate_after = "1s"\nescalate_to = ["head"]\n'
    async with Receiver() as receiver, Receiver() as theirs, Receiver() as others:
        head = replace(webhook(theirs), id="s2", role="head", filters={"departments": ["A"]})
        other = replace(webhook(others), id="s3", role="head", filters={"departments": ["Z"]})
        async with notified(line, PLAIN, webhook(receiver), head, other):
            await say(line, *bounced("p1"))
            await until(lambda: len(receiver.taken) == 1)
            async with line.pool.acquire() as connection:
                await tables.set_setting(connection, "rules", rules)
            await until(lambda: any(one.body["data"]["why"] == "escalated" for one in theirs.taken))
            await asyncio.sleep(0.2)
    assert others.taken == []


async def test_everybody_is_reminded_in_their_own_time(line: Line) -> None:
    rules = PLAIN + 'repeat = "1h"\n'
    async with Receiver() as first, Receiver() as second:
        async with notified(line, PLAIN, webhook(first), replace(webhook(second), id="s2")) as sender:
            await say(line, *bounced("p1"))
            await until(lambda: len(first.taken) == len(second.taken) == 1)
            async with line.pool.acquire() as connection:
                await tables.set_setting(connection, "rules", rules)
                (row,) = await tables.alerts(connection, "default")
                await connection.execute(
                    "update parcours.announced set said_at = said_at - interval '2 hours', raised_at = null"
                )
                await messages.remember(connection, "default", row["alert"], row["n"], "repeat 1 s1")
            assert await remind(line.pool, sender.router, datetime.now(UTC)) == 1
            await until(lambda: len(second.taken) == 2)
    assert len(first.taken) == 1
    assert second.taken[1].body["data"]["why"] == "repeated"


async def test_what_another_finding_speaks_for_is_not_repeated_either(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN + MUTES, webhook(receiver)) as sender:
        await say_of_a_claim_and_then_of_its_case(line)
        await until(lambda: _done(line, 1, "muted"))
        async with line.pool.acquire() as connection:
            await tables.set_setting(connection, "rules", PLAIN + 'repeat = "1h"\n' + MUTES)
            await connection.execute(
                "update parcours.announced set said_at = said_at - interval '2 hours', raised_at = null"
            )
        await remind(line.pool, sender.router, datetime.now(UTC))
        reminded = await line.fetch("select finding from parcours.reminder")
    assert {row["finding"].partition(":")[0] for row in reminded} == {"unanswered_claim", "missed_clock"}


async def test_who_notes_and_who_hands_out_alerts_do_not_block_each_other(line: Line) -> None:
    async with line.pool.acquire() as handing, line.pool.acquire() as relaying:
        first, second = [
            row["id"]
            for row in await handing.fetch(
                "insert into parcours.outbox (partition, tenant, patient, key, value) values (1, 'default', 'p', 'k', ''),"
                " (0, 'default', 'q', 'l', '') returning id"
            )
        ]
        await handing.execute(
            "update parcours.outbox set number = 7 where id = $1", first
        )  # it now stands behind the second
        async with handing.transaction():
            assert [one.id for one in await messages.unrouted(handing, 1)] == [first]
            noting = asyncio.create_task(tables.mark_sent(relaying, [second, first]))
            await asyncio.sleep(0.2)
            assert [one.id for one in await messages.unrouted(handing, 2)] == [first, second]
        await noting
        assert await tables.unsent(handing, 10) == []


async def test_what_cannot_be_made_a_message_fails_in_its_time_and_holds_nothing_up(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SCHEDULE", (timedelta(seconds=0.05),))

    async def broken(*_: object) -> Answer:
        raise ValueError("a header that holds a line feed")

    monkeypatch.setattr(sending, "post", broken)
    async with Receiver() as receiver, notified(line, PLAIN, webhook(receiver)):
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1, "failed"))
    (row,) = await deliveries(line)
    assert (row["attempts"], row["last_answer"]) == (2, "could not be sent: ValueError")
    assert await undelivered(line) == (1, "could not be sent: ValueError")


def test_a_title_is_one_line_whatever_a_department_is_called() -> None:
    alert = {"title": "A case is bounced", "patient": "p1", "department": "A\r\nBcc: everybody@example.org"}
    message = messages.Message(1, "m", "all", "high", "escalated", 1, ())
    assert (
        words.title(message, "en", [alert])
        == "Nobody has taken this on: A case is bounced · A Bcc: everybody@example.org"
    )


async def test_an_urgent_claim_speaks_for_its_case(line: Line) -> None:
    async with Receiver() as receiver, notified(line, PLAIN + MUTES, webhook(receiver)):
        await say_of_a_claim_and_then_of_its_case(line)

        await until(lambda: _done(line, 1, "muted"))
    assert "bounced_case" not in {one.body["data"]["alerts"][0]["rule"] for one in receiver.taken}


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/", "https://169.254.169.254/",
     "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[fec0::1]/", "https://0.0.0.0/", "https://192.168.1.1/", "ftp://example.org/", "https://user:pw@example.org/"],
)  # fmt: skip
async def test_webhooks_never_go_into_our_own_house(url: str) -> None:
    with pytest.raises(Forbidden):
        await resolved(*check_address(url, frozenset()), frozenset())


def test_retry_after_is_honoured_and_the_schedule_ends() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)

    assert sending.next_try(1, Answer(ok=False, text="", again_in=3_600), now) == now + timedelta(hours=1)
    assert sending.next_try(len(sending.SCHEDULE) + 1, Answer(ok=False, text=""), now) is None


async def test_what_is_over_a_roles_budget_is_put_off_and_says_so(line: Line) -> None:
    rules = PLAIN.replace("[[rule]]", "[budgets]\nteam = 2\n[[rule]]")
    async with Receiver() as receiver, notified(line, rules, webhook(receiver)):
        await say(line, *(fact for n in range(4) for fact in bounced(f"p{n}")))

        await until(lambda: _done(line, 2))
        waiting = await deliveries(line, "waiting")
    assert [row["last_answer"] for row in waiting] == ["put off: over the budget of 2 messages a day"] * 2


async def test_a_mail_and_its_words(line: Line) -> None:
    taken: list[bytes] = []

    async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        in_data = False
        while row := await reader.readline():
            taken.append(row)
            if in_data:
                if row == b".\r\n":
                    in_data = False
                    writer.write(b"250 taken\r\n")
            elif row.startswith(b"DATA"):
                in_data = True
                writer.write(b"354 go on\r\n")
            else:
                writer.write(b"250 ok\r\n" if not row.startswith(b"QUIT") else b"221 bye\r\n")
        writer.close()

    server = await asyncio.start_server(smtp, "127.0.0.1", 0)
    one = Subscription("m1", "default", "email", "equipe@example.org", "team", "fr", {}, None, None, (), "active")
    async with notified(line, PLAIN, one) as sender:
        sender.by.smtp = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1))
    server.close()

    raw = b"".join(taken)
    mail = message_from_bytes(raw[raw.index(b"From:") :], policy=email_policy)
    assert mail["Subject"] == "Parcours\u00a0: Dossier ballotté de service en service · A"
    assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)
    assert "2 passages non prévus" in mail.get_content()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_chat_by_apprise_gets_the_words_of_its_language(line: Line) -> None:
    async with Receiver() as receiver:
        address = receiver.url.replace("http://", "json://")
        one = Subscription("a1", "default", "apprise", address, "team", "fr", {}, None, None, (), "active")
        async with notified(line, PLAIN, one):
            await say(line, *bounced("p1"))
            await until(lambda: _done(line, 1))

    (taken,) = receiver.taken
    assert taken.body["title"] == "Dossier ballotté de service en service · A"
    assert "2 passages non prévus" in taken.body["message"]


async def test_a_digest_comes_at_its_own_hour_whatever_those_of_the_office_are(line: Line) -> None:
    hours = {"zone": "Europe/Paris", "from": "08:00", "to": "18:00"}
    mail = Subscription("d1", "default", "email", "e@example.org", "team", "fr", {}, hours, "07:45", (), "active")
    async with notified(line, PLAIN, mail):
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1, "waiting"))
        (waiting,) = await line.fetch("select not_before from parcours.message")

    assert waiting["not_before"].astimezone(ZoneInfo("Europe/Paris")).strftime("%H:%M") == "07:45"


async def test_what_is_critical_does_not_wait_for_the_interval_of_its_group(line: Line) -> None:
    rules = PLAIN.replace("[[rule]]", "[[rule]]\ninterval = '1h'")
    async with Receiver() as receiver, notified(line, rules, webhook(receiver)):
        await say(line, *bounced("p1"))
        await until(lambda: _done(line, 1))
        await say(
            line, *(worked(d, "c-p1").of("p1").on(MONDAY + timedelta(days=1, hours=n)) for n, d in enumerate("BABA"))
        )
        await until(lambda: any(m.body["data"]["alerts"][-1]["level"] == "B4" for m in receiver.taken))

    levels = [alert["level"] for one in receiver.taken for alert in one.body["data"]["alerts"]]
    assert levels[0] == "B2"
    assert levels[-1] == "B4"
