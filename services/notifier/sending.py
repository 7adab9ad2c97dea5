"""Messages to subscribers: one task each, so that a slow one delays nobody else; what is not delivered waits its turn."""

import asyncio
import os
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import aiosmtplib
import apprise
import httpx2
import orjson
import structlog

from services import tables_alerts as tables
from services import tables_messages as messages
from services.bells import listening
from services.notifier.routing import AT_ONCE, PUSHED, Router, remind
from services.notifier.webhooks import Answer, post, signed
from services.notifier.words import body, index, text, title
from services.notifier.words import thin as thin_alert
from services.tables import TRANSIENT, Pool, still_wanted
from services.tables_alerts import Subscription
from services.tables_messages import Message
from services.tracing import span

SCHEDULE = tuple(timedelta(seconds=s) for s in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""Standard Webhooks' schedule after the first attempt: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""
LONGEST_WISH = 86_400.0
SIDE_BY_SIDE = 16
LOOK = 1.0
REMIND_EVERY = 10.0
log = structlog.get_logger("parcours.notifier")


@dataclass(slots=True)
class Ways:
    """What messages leave by: the HTTP client, the mail server, the address people reach us at."""

    client: httpx2.AsyncClient
    link: str
    smtp: str | None = None
    sender: str = "parcours@localhost"


def ways(link: str) -> Ways:
    """From the environment: PARCOURS_SMTP (smtp://user:password@host:587), PARCOURS_MAIL_FROM, PARCOURS_LINK."""
    client = httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(15.0),
        # none is kept: the pool knows connections by their address, and two hosts may share one
        limits=httpx2.Limits(max_connections=256, max_keepalive_connections=0),
    )
    return Ways(
        client, os.environ.get("PARCOURS_LINK") or link, os.environ.get("PARCOURS_SMTP"),
        os.environ.get("PARCOURS_MAIL_FROM") or "parcours@localhost",
    )  # fmt: skip


SUBJECT = ("Parcours: {}", "Parcours\u00a0: {}")


async def deliver(
    one: Subscription, message: Message, by: Ways, allowed: frozenset[str], notice: str | None = None,
    traceparent: str | None = None,
) -> Answer:  # fmt: skip
    """One attempt to hand a message to its subscriber."""
    match one.kind:
        case "webhook":
            written = body(message, one.language, f"{by.link}/alerts", notice)
            headers = signed(message.name, written, one.secrets, datetime.now(UTC))
            if traceparent is not None:
                headers["traceparent"] = traceparent
            return await post(by.client, one.target, headers, written, allowed)
        case "email":
            return await _mail(one, message, by, notice)
        case _:
            return await _chat(one, message, by, notice)


async def _mail(one: Subscription, message: Message, by: Ways, notice: str | None) -> Answer:
    if by.smtp is None:
        return Answer(ok=False, text="no mail server: set PARCOURS_SMTP")
    server = urlsplit(by.smtp)
    mail = EmailMessage()
    alerts = [thin_alert(raw, one.language) for raw in message.alerts]
    mail["From"], mail["To"], mail["Date"] = by.sender, one.target, datetime.now(UTC)
    mail["Subject"] = SUBJECT[index(one.language)].format(title(message, one.language, alerts))
    mail["Message-ID"], mail["Auto-Submitted"] = f"<{message.name}@parcours>", "auto-generated"
    mail.set_content(text(message, one.language, by.link, notice))
    try:
        async with asyncio.timeout(15):
            await aiosmtplib.send(
                mail, hostname=server.hostname, port=server.port or 25, use_tls=server.scheme == "smtps",
                username=unquote(server.username) if server.username else None,
                password=unquote(server.password) if server.password else None, timeout=15,
            )  # fmt: skip
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as wrong:
        return Answer(ok=False, text=f"mail: {type(wrong).__name__}")
    return Answer(ok=True, text="250")


async def _chat(one: Subscription, message: Message, by: Ways, notice: str | None) -> Answer:
    alerts = [thin_alert(raw, one.language) for raw in message.alerts]
    way = apprise.Apprise()
    if not way.add(one.target):
        return Answer(ok=False, text="Apprise does not understand this address")
    try:
        async with asyncio.timeout(15):
            done = await way.async_notify(
                title=title(message, one.language, alerts), body=text(message, one.language, by.link, notice)
            )
    except TimeoutError:
        return Answer(ok=False, text="no answer within 15 s")
    except Exception as wrong:  # noqa: BLE001 - a plugin of Apprise may raise anything; it is an attempt that failed
        return Answer(ok=False, text=f"Apprise: {type(wrong).__name__}")
    return Answer(ok=bool(done), text="taken" if done else "refused by Apprise")


def next_try(attempts: int, answer: Answer, now: datetime) -> datetime | None:
    """When to try again after so many attempts; None when the schedule is over. A tenth of jitter, `Retry-After` honoured."""
    if attempts > len(SCHEDULE):
        return None
    wait = SCHEDULE[attempts - 1].total_seconds() * random.uniform(0.9, 1.1)  # noqa: S311 - jitter is no secret
    return now + timedelta(seconds=max(wait, min(answer.again_in or 0.0, LONGEST_WISH)))


@dataclass
class Sender:
    """Routes new alerts, sends what is due, repeats and escalates."""

    pool: Pool
    by: Ways
    delivered: int = 0
    failed: int = 0
    _rung: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _bells: dict[str, asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.router = Router(self.pool)

    async def run(self) -> NoReturn:
        """For ever; what is away is tried again."""
        try:
            while True:
                try:
                    async with listening(self.pool, (tables.CHANNEL, tables.MESSAGES), self._ring):
                        await self._work()
                except TRANSIENT as wrong:
                    still_wanted()
                    log.warning("subscribers wait", error=type(wrong).__name__)
                    await asyncio.sleep(1.0)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    async def close(self) -> None:
        """Let go of the connections to subscribers, when nothing is sent any more."""
        await self.by.client.aclose()

    def _ring(self, *_: Any) -> None:
        self._rung.set()

    async def _work(self) -> NoReturn:
        reminded = 0.0
        while True:
            self._rung.clear()
            while await self.router.route(datetime.now(UTC)) == AT_ONCE:
                pass
            if time.monotonic() - reminded > REMIND_EVERY:
                reminded = time.monotonic()
                await remind(self.pool, self.router, datetime.now(UTC))
            await self._see_to_subscribers()
            try:
                async with asyncio.timeout(LOOK):
                    await self._rung.wait()
            except TimeoutError:
                continue

    async def _see_to_subscribers(self) -> None:
        """A task for each active subscriber; none for the others."""
        async with self.pool.acquire() as connection:
            listed = await tables.subscriptions(connection)
        active = {one.id for one in listed if one.state == "active" and one.kind in PUSHED}
        for gone in self._tasks.keys() - active:
            self._tasks.pop(gone).cancel()
            self._bells.pop(gone, None)
        for number in active:
            if number not in self._tasks or self._tasks[number].done():
                self._bells[number] = asyncio.Event()
                self._tasks[number] = asyncio.create_task(self._serve(number, self._bells[number]))
            self._bells[number].set()

    async def _serve(self, number: str, bell: asyncio.Event) -> None:
        """One subscriber: up to sixteen messages side by side, never two of one patient."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                bell.clear()
                try:
                    free = SIDE_BY_SIDE - len(under_way)
                    async with self.pool.acquire() as connection:
                        one = next((s for s in await tables.subscriptions(connection) if s.id == number), None)
                        allowed = frozenset(await tables.setting(connection, "allowed_hosts") or ())
                        taken = (
                            await messages.claim_messages(connection, number, free)
                            if one is not None and one.state == "active" and free
                            else []
                        )
                    if one is None or one.state != "active":
                        return
                except TRANSIENT:
                    still_wanted()
                    await asyncio.sleep(1.0)
                    continue
                under_way |= {asyncio.create_task(self._send(one, message, allowed)) for message in taken}
                waits: set[asyncio.Task[Any]] = set(under_way)
                if len(taken) < free or not free:
                    waits.add(asyncio.create_task(bell.wait()))
                await asyncio.wait(waits, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
                for extra in waits - under_way:
                    extra.cancel()
                for done in [task for task in under_way if task.done()]:
                    under_way.discard(done)
                    if (wrong := done.exception()) is not None:
                        log.error("message not sent", subscription=number, error=type(wrong).__name__, exc_info=wrong)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _send(self, one: Subscription, message: Message, allowed: frozenset[str]) -> None:
        notice = None
        if not message.alerts and message.why == "notice":
            async with self.pool.acquire() as connection:
                brake = await tables.setting(connection, "brake") or {}
            notice = str(brake.get("reason") or "")
        started = time.perf_counter()
        parent = orjson.loads(message.alerts[-1]).get("traceparent") if message.alerts else None
        with span("deliver", parent, kind=one.kind, attempt=message.attempts) as handed:
            try:
                answer = await deliver(one, message, self.by, allowed, notice, handed)
            except (
                Exception
            ) as wrong:  # an attempt that failed, for the schedule to end: nothing behind it waits for ever
                log.exception("message not sent", subscription=one.id, error=type(wrong).__name__)
                answer = Answer(ok=False, text=f"could not be sent: {type(wrong).__name__}")
        seconds = time.perf_counter() - started
        try:
            await self._note(one, message, answer, seconds)
        except TRANSIENT as wrong:  # its lease runs out, and it is sent again under its name
            log.warning("delivery not noted", error=type(wrong).__name__)

    async def _note(self, one: Subscription, message: Message, answer: Answer, seconds: float) -> None:
        now = datetime.now(UTC)
        async with self.pool.acquire() as connection, connection.transaction():
            await messages.note_health(connection, one.id, works=answer.ok)
            if answer.ok:
                self.delivered += 1
                await messages.note_attempt(connection, message.id, "delivered", answer.text, seconds, None)
                return
            self.failed += 1
            again = None if answer.gone else next_try(message.attempts, answer, now)
            state = "waiting" if again is not None else "failed"
            await messages.note_attempt(connection, message.id, state, answer.text, seconds, again)
            if answer.gone:
                await tables.set_state(connection, one.id, "disabled", "it answered 410: gone")
            elif again is None:
                await tables.set_state(
                    connection, one.id, "paused", f"{message.attempts} attempts failed: {answer.text}"
                )
                log.error("subscriber paused", subscription=one.id, answer=answer.text)

    def detail(self) -> dict[str, object]:
        """What a heartbeat tells of the senders."""
        return {"delivered": self.delivered, "failed": self.failed, "subscribers": len(self._tasks)}
