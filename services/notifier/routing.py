"""From what was said to who is told: rules, filters, groups, quiet hours, budgets, inhibition, the brake."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import orjson
import structlog

from projections.announcing import SEVERITIES
from services import tables_alerts as tables
from services import tables_messages as messages
from services.notifier.hours import Hours, after, allowed, next_time
from services.notifier.rules import Rule, Rules, default_text, read_rules
from services.tables import Connection, Pool
from services.tables_alerts import Subscription
from services.tables_messages import Unrouted

AT_ONCE = 500
PUSHED = ("webhook", "email", "apprise")
ADMINISTRATORS = "admin"
EVERYONE = "all"
NOTICE = "notice"
OVER = "ended before it was said"
Repeated = Mapping[tuple[str, str, str], tuple[datetime, int]]
log = structlog.get_logger("parcours.notifier")


@dataclass(frozen=True, slots=True)
class Said:
    """An alert as the rules look at it."""

    row: Unrouted
    kind: str
    level: str | None
    severity: str
    department: str | None
    case: str | None


def said(row: Unrouted) -> Said:
    data = orjson.loads(row.value)["data"]
    return Said(row, data["rule"], data.get("level"), data["severity"], data.get("department"), data.get("case"))


def is_for(one: Subscription, what: Said, rule: Rule) -> bool:
    """Whether a subscriber wants to hear of it at all: role and filters."""
    wanted = one.filters
    if one.tenant != what.row.tenant or one.kind not in PUSHED:
        return False
    if rule.roles and one.role != EVERYONE and one.role not in rule.roles:
        return False
    if not is_of_departments(one, what):
        return False
    if wanted.get("rules") and not {what.kind, rule.id} & set(wanted["rules"]):
        return False
    least = wanted.get("severity")
    return least is None or SEVERITIES.index(severity_of(what, rule)) >= SEVERITIES.index(least)


def is_of_departments(one: Subscription, what: Said) -> bool:
    """Whether it concerns one of the departments a subscriber is limited to: they are told of no other, for no reason."""
    only = one.filters.get("departments")
    return not only or what.department in only


def severity_of(what: Said, rule: Rule) -> Any:
    return rule.severity or what.severity


def group_of(rule: Rule, what: Said) -> str:
    """What an alert is put together with; without a group it stands alone."""
    if not rule.group_by:
        return what.row.finding
    parts = [rule.id, *(what.department or "-" for name in rule.group_by if name == "department")]
    return "|".join(parts)


class Router:
    """Looks for whom each new alert is."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rules: tuple[str, Rules] | None = None

    async def rules(self, connection: Connection) -> Rules:
        """The rules in force."""
        text = await tables.setting(connection, "rules") or default_text()
        if self._rules is None or self._rules[0] != text:
            self._rules = (text, read_rules(text))
        return self._rules[1]

    async def route(self, now: datetime) -> int:
        """Put the oldest new alerts into messages, in one transaction: each once to each subscriber. How many."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await messages.unrouted(connection, AT_ONCE)
            if not rows:
                return 0
            rules = await self.rules(connection)
            listeners = [one for one in await tables.subscriptions(connection) if one.state != "disabled"]
            told = [said(row) for row in rows if row.finding]
            if listeners:
                quiet = await messages.silences(connection, [(one.row.tenant, one.row.finding) for one in told])
                for one in told:
                    rule = rules.of(one.kind, one.level)
                    if rule is not None:
                        for listener in listeners:
                            if is_for(listener, one, rule):
                                await self._to(connection, listener, one, rule, rules, quiet, now)
                for tenant in {one.row.tenant for one in told}:
                    await self._watch_rate(connection, tenant, rules, listeners)
            await messages.mark_routed(connection, [row.id for row in rows])
            await tables.ring(connection)
            return len(rows)

    async def _to(
        self, connection: Connection, listener: Subscription, what: Said, rule: Rule, rules: Rules,
        quiet: dict[tuple[str, str], datetime | None], now: datetime,
    ) -> None:  # fmt: skip
        row = what.row
        if row.act == "resolved":
            await messages.take_back(connection, listener.id, row.tenant, row.finding, OVER)
            if not await messages.was_told(connection, listener.id, row.tenant, row.finding, row.id):
                await messages.mute(connection, listener.id, row.id, OVER)
                return
        elif why := await muted(connection, what, rules, quiet, now):
            await messages.mute(connection, listener.id, row.id, why)
            return
        await put(connection, listener, what, rule, rules, now)

    async def _watch_rate(
        self, connection: Connection, tenant: str, rules: Rules, listeners: list[Subscription]
    ) -> None:
        """Too many at once is a bad import or a bad rule: hold everything, and tell the administrators."""
        n = await messages.messages_lately(connection, tenant, 60)
        if n <= rules.raises_a_minute or await tables.is_held(connection, tenant):
            return
        reason = f"{n} messages within a minute, {rules.raises_a_minute} are allowed"
        log.error("alerts are held", reason=reason, tenant=tenant)
        await hold(connection, "parcours", reason, datetime.now(UTC))
        for one in listeners:
            if one.role == ADMINISTRATORS and one.kind in PUSHED:
                now = datetime.now(UTC)
                await messages.new_message(connection, one, NOTICE, NOTICE, "critical", now, why=NOTICE, note=reason)


async def muted(
    connection: Connection, what: Said, rules: Rules, quiet: Mapping[tuple[str, str], datetime | None], now: datetime
) -> str | None:
    """Why it is not said, in a few words; None if it is."""
    row = what.row
    if (row.tenant, row.finding) in quiet:
        until = quiet[row.tenant, row.finding]
        return f"silenced until {until:%Y-%m-%d %H:%M} UTC" if until else "silenced"
    if what.kind == "missed_clock" and what.level == "visit" and rules.is_closed(what.department, now.date()):
        return f"{what.department} is closed today"
    for one in rules.inhibit:
        if what.kind in one.mutes and what.case is not None:
            found = await messages.raised_of_case(connection, row.tenant, row.patient, what.case)
            for kind, level in found:
                if kind in one.by and (one.from_level is None or (level or "") >= one.from_level):
                    return f"{kind} of the same case speaks for it"
    return None


async def put(
    connection: Connection,
    listener: Subscription,
    what: Said,
    rule: Rule,
    rules: Rules,
    now: datetime,
    why: str = "raised",
) -> None:
    """Put an alert into the message of its group, or into a new one, at the moment it may be said."""
    hours, row, group = hours_of(listener, rule), what.row, group_of(rule, what)
    severity = severity_of(what, rule)
    if listener.digest is not None:
        group = "digest"
    if why != "raised":
        group = f"{why}|{row.finding}"
    message = await messages.open_group(connection, listener.id, group, row.patient)
    if message is None:
        at, note = now + (rule.wait if row.act == "raised" and why == "raised" else timedelta()), None
        waits = rule.interval if severity != "critical" else None  # what is critical has waited long enough
        if waits and (last := await messages.last_of_group(connection, listener.id, group)) is not None:
            at = max(at, last + waits)
        if listener.digest is not None:  # its hour was chosen: the office's do not put it off
            at = next_time(time.fromisoformat(listener.digest), Hours.of(listener.hours), now)
        else:
            at = allowed(hours, at)
        if (budget := rules.budgets.get(listener.role)) is not None:
            today = now.replace(hour=0, minute=0, second=0, microsecond=0)
            if await messages.messages_since(connection, row.tenant, listener.role, today) >= budget:
                at = allowed(hours, max(at, today + timedelta(days=1)))
                note = f"put off: over the budget of {budget} messages a day"
        message = await messages.new_message(
            connection, listener, rule.id, group, severity, at, why=row.act if why == "raised" else why,
            held=await tables.is_held(connection, row.tenant), note=note,
        )  # fmt: skip
    await messages.put_in(connection, message, row.id, listener.id, row.patient, severity)
    has_become_critical = severity == "critical" and row.act == "revised"
    if has_become_critical and listener.digest is None:
        await messages.hasten(connection, listener.id, row.patient, allowed(hours, now))


def hours_of(listener: Subscription, rule: Rule) -> Hours | None:
    """People are told in working hours unless the rule says otherwise."""
    return None if rule.at_any_hour else Hours.of(listener.hours)


async def hold(connection: Connection, by: str, reason: str, at: datetime) -> None:
    """The brake: what is not sent yet waits until somebody releases or drops it."""
    await tables.set_setting(connection, "brake", {"by": by, "reason": reason, "at": at.isoformat()})
    await messages.hold_waiting(connection)


async def remind(pool: Pool, router: Router, now: datetime) -> int:
    """Repeat what nobody took, and escalate it; each once. How many messages."""
    n = 0
    async with pool.acquire() as connection:
        rules = await router.rules(connection)
        if not any(rule.repeat or rule.escalate_after for rule in rules.rule):
            return 0
        listeners = [one for one in await tables.subscriptions(connection) if one.state != "disabled"]
        if not listeners:
            return 0
        repeated = await messages.repeated(connection)
        for row in await messages.unanswered_alerts(connection):
            async with connection.transaction():
                n += await _remind(connection, rules, listeners, row, repeated, now)
        if n:
            await tables.ring(connection)
    return n


async def _remind(
    connection: Connection, rules: Rules, listeners: list[Subscription], row: dict[str, Any], repeated: Repeated, now: datetime
) -> int:  # fmt: skip
    what = said(
        Unrouted(row["outbox"], row["tenant"], row["patient"], row["finding"], "raised", row["value"], row["said_at"])
    )
    rule = rules.of(what.kind, what.level)
    if rule is None:
        return 0
    n = 0
    for one in listeners:
        at, times = repeated.get((row["tenant"], row["finding"], one.id), (row["said_at"], 0))
        why = _due(one, what, rule, row["raised_at"], max(at, row["said_at"]), now)
        if why is None or await muted(connection, what, rules, {}, now):
            continue
        kind = f"repeat {times + 1} {one.id}" if why == "repeated" else f"escalate {one.id}"
        if await messages.remember(connection, row["tenant"], row["finding"], row["n"], kind):
            await put(connection, one, what, rule, rules, now, why=why)
            n += 1
    return n


def _due(
    one: Subscription, what: Said, rule: Rule, raised_at: datetime, told_at: datetime, now: datetime
) -> str | None:
    """Whether an alert nobody took is due to a subscriber once more: escalated to its role, or repeated to those who had it."""
    hours = Hours.of(one.hours)
    if rule.escalate_after is not None and one.role in rule.escalate_to:
        theirs = one.tenant == what.row.tenant and one.kind in PUSHED and is_of_departments(one, what)
        return "escalated" if theirs and after(hours, raised_at, rule.escalate_after) <= now else None
    if rule.repeat is not None and is_for(one, what, rule):
        return "repeated" if after(hours, told_at, rule.repeat) <= now else None
    return None
