"""What stands on each page: from the tables and the folds to what a template shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import quote

from events.envelope import Recorded
from projections.announcing import gravity
from projections.findings import Finding, findings
from projections.path import Case
from projections.patient import PatientFile
from projections.policy import Policy
from projections.rows import Row, case_row, finding_row
from projections.saying import reason_rows
from projections.words import CLOCKS, LADDER, LEVELS, TITLES, reasons
from services import tables_figures as counted
from services import tables_query as tables
from services.bilingual import spoken
from services.console import charts, texts
from services.console.texts import Language
from services.files import concerns, way, where
from services.refusals import ruled
from services.tables import Connection, active_generation
from services.tables_alerts import alert_state, worst_first

STOPPED = timedelta(days=14)
AHEAD = timedelta(days=30)
"""How far ahead a deadline is drawn, where less has passed since its claim began: what happened would be squeezed into the edge."""
CALLS, MOST_FLOWS = 25, 60
DAY = timedelta(days=1)
YESTERDAY = timedelta(days=1)
BADGES = {"B1": "low", "B2": "medium", "B3": "high", "B4": "critical", "U3": "medium", "U4": "high", "U5": "critical"}


@dataclass(frozen=True, slots=True)
class View:
    """How things are said to this person: language, zone, what the tables know up to, and where each jurisdiction's days end."""

    language: Language
    zone: tzinfo
    now: datetime
    zones: Mapping[str, tzinfo] = field(default_factory=dict)

    def t(self, key: str, **values: object) -> str:
        return texts.text(self.language, key, **values)

    def pick(self, pair: tuple[str, str]) -> str:
        """Of a pair in English and French, as the folds say things."""
        return pair[1] if self.language == "fr" else pair[0]

    def rule(self, rule: str) -> str:
        """The rule that a parked record breaks."""
        return spoken(ruled(rule), self.language == "fr")

    @staticmethod
    def act_seen(alert: Any) -> str:
        """What a page knew to have been done about an alert last: a form says it again, so that what was done since is told."""
        return f"{alert['act'] or 'nothing'} {alert['act_by'] or ''}".strip()

    def day(self, at: datetime | str | None) -> str:
        return texts.day(self.language, instant(at), self.zone)

    def moment(self, at: datetime | str | None) -> str:
        return texts.moment(self.language, instant(at), self.zone)

    def deadline(self, at: datetime | str | None, jurisdiction: str) -> str:
        return texts.deadline(self.language, instant(at), self.zones.get(jurisdiction, self.zone))

    def until(self, at: datetime | str | None) -> str:
        """The last day of something that ends at a midnight, or the moment it ends at."""
        return texts.deadline(self.language, instant(at), self.zone)

    def late(self, due: datetime | str | None) -> str:
        """By how much something is late; nothing if it is not."""
        at = instant(due)
        return self.t("late_by", age=self.age(at)) if at is not None and at < self.now else ""

    def age(self, since: datetime | str | None, until: datetime | str | None = None) -> str:
        """How long something has been open, or was."""
        return texts.age(self.language, instant(since), instant(until) or self.now)

    def number(self, value: float | None) -> str:
        return texts.number(self.language, value)

    def counted(self, n: int, key: str) -> str:
        """So many of something."""
        is_one = n == 1 or (n == 0 and self.language == "fr")
        return f"{self.number(n)} {self.t(f'{key}_one' if is_one else key)}"

    def share(self, value: float | None) -> str:
        return texts.share(self.language, value)

    def fact(self, kind: str) -> str:
        return texts.fact_said(self.language, kind)

    def state(self, name: str) -> str:
        return texts.state_said(self.language, name)

    def level(self, name: str | None) -> str:
        """A level in words."""
        pair = LEVELS.get(name or "") or LADDER.get(name or "") or CLOCKS.get(name or "")
        return "" if pair is None else self.pick(pair)

    def clock(self, name: str) -> str:
        return self.pick(CLOCKS[name])

    def title(self, finding: str) -> str:
        return self.pick(TITLES[finding.partition(":")[0]])

    def badge(self, level: str | None) -> str:
        return BADGES.get(level or "", "low")

    def reasons(self, row: Any) -> list[str]:
        return [reason[f"text_{self.language}"] for reason in row["reasons"] or []]

    def url(self, *parts: str) -> str:
        """An address of the console; every part of an id is quoted."""
        return "/" + "/".join([self.language, *(quote(part, safe="") for part in parts)])


async def view_of(connection: Connection, language: Language) -> View:
    """How this house says things: in which zone, as of when."""
    generation = await active_generation(connection)
    policy = generation.policy if generation else Policy()
    now = await tables.watermark(connection) or datetime.now(UTC)
    return View(language, policy.home.calendar.tz, now, policy.zones)


def instant(at: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(at) if isinstance(at, str) else at


async def morning(connection: Connection, tenant: str, only: Sequence[str] | None, view: View) -> dict[str, Any]:
    """The start page: who to call, what changed, what falls due, what stopped."""
    tomorrow = (view.now.astimezone(view.zone) + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    calls = await tables.to_call(connection, tenant, CALLS + 1, only)
    taken = await tables.taken(connection, tenant, 4 * CALLS, only)
    stopped = await tables.stopped_moving(connection, tenant, view.now - STOPPED, 10, only)
    return {
        "calls": calls[:CALLS],
        "more_calls": len(calls) > CALLS,
        "taken": _gravest([row for row in taken if row["act"] == "acknowledged"]),
        "silenced": _gravest([row for row in taken if row["act"] == "silenced"]),
        "changes": await tables.open_findings(
            connection, tenant, 15, departments=only, opened=(view.now - YESTERDAY, None), open_only=False
        ),
        "dues": await tables.due_soon(connection, tenant, tomorrow, 20, only),
        "stopped": sorted(stopped, key=lambda row: (-int(row["level"][1]), row["last_sign"])),
    }


def _gravest(rows: list[Any]) -> list[dict[str, Any]]:
    """The gravest first, of these what was done last; of a claim, or a case, the gravest alone, and how many others it has."""
    rows.sort(key=lambda row: (gravity(row["alert"].partition(":")[0], row["level"])[0], row["act_at"]), reverse=True)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        about = row["claim_id"] or row["case_id"] or row["alert"]
        one = found.setdefault((row["patient"], about, row["act_by"]), dict(row) | {"others": -1})
        one["others"] += 1
    return list(found.values())[:CALLS]


async def ageing(connection: Connection, tenant: str, only: Sequence[str] | None, view: View) -> str:
    """The ageing chart."""
    dots = [
        charts.Dot(
            row["department"], max(0.0, (view.now - row["first_sign"]).total_seconds() / 86_400), row["level"],
            f"{row['case_id']} · {row['department']} · {view.age(row['first_sign'])}",
            f"{view.url('cases', row['case_id'])}?patient={quote(row['patient'], safe='')}",
        )
        for row in await counted.ages(connection, tenant, only, 20_000)
        if row["first_sign"] is not None
    ]  # fmt: skip
    finished = await counted.finished_ages(connection, tenant)
    lines = (
        [] if finished is None else [(value, f"{share} %") for value, share in zip(finished, (50, 85, 95), strict=True)]
    )
    return charts.ageing(dots, lines, view.t("ageing"), view.t("days", n="").strip()) if dots else ""


def stays_of(case: Case, later: bool = False) -> list[charts.Stay]:  # noqa: FBT001, FBT002 - read beside its two callers
    """The visits of the current path."""
    found: list[charts.Stay] = []
    seen: set[str] = set()
    visits = case.path.visits
    for n, visit in enumerate(visits):
        until = visits[n + 1].since if n + 1 < len(visits) else None
        back = visit.department in seen and not visit.planned
        found.append(charts.Stay(visit.department, visit.since, until, visit.planned, back, later))
        seen.add(visit.department)
    return found


def marks_of(file: PatientFile, name: str, view: View, known: set[str] | None = None) -> list[charts.Mark]:
    """What happened to a case, as signs on its lanes; facts not `known` at the time are later ones."""
    case, marks = file.cases[name], []
    for fact in file.facts:
        if not concerns(file, fact, name) or fact.type.startswith("parcours.alert."):
            continue
        here = where(fact)[0] or _stood(case, fact.occurred_at)
        kind = "redirect" if "redirected" in fact.type else "claim" if ".claim." in fact.type else "contact"
        if ".case." in fact.type:
            kind = "act"
        later = known is not None and fact.name not in known
        marks.append(
            charts.Mark(
                fact.occurred_at, here, kind, f"{view.moment(fact.occurred_at)} · {view.fact(fact.type)}", later
            )
        )
    for claim in file.claims.values():
        if claim.said.case == name and claim.has_begun:
            marks += [
                charts.Mark(
                    clock.due_at,
                    _stood(case, clock.due_at),
                    "due",
                    f"{view.deadline(clock.due_at, claim.jurisdiction.id)} · {view.clock(clock.name)}",
                )
                for clock in claim.clocks
                if clock.name in ("answer", "final") and clock.state != "cancelled"
                and clock.due_at - view.now <= max(AHEAD, view.now - claim.t0)
            ]  # fmt: skip
    for found in findings(file):
        if found.case == name:
            said = f"{view.moment(found.opened_at)} · {view.title(found.id)}"
            marks.append(charts.Mark(found.opened_at, _stood(case, found.opened_at), "finding", said))
    return marks


def _stood(case: Case, at: datetime) -> str | None:
    """Where the case was at an instant."""
    here = None
    for visit in case.path.visits:
        if visit.since > at:
            break
        here = visit.department
    return here or (case.path.visits[0].department if case.path.visits else None)


def is_long_silent(begin: datetime, last: datetime, now: datetime) -> bool:
    """Whether nothing has happened for much longer than everything took that did."""
    return now - last > max(STOPPED * 4, 2 * (last - begin))


def silence(file: PatientFile, name: str, view: View) -> str | None:
    """Since when a case has been silent, where that is too long to be drawn."""
    case = file.cases[name]
    first, last = case.first_sign, case.last_sign
    if case.closed or first is None or last is None:
        return None
    last = max([last, *(mark.at for mark in marks_of(file, name, view))])  # as the lanes have it
    if not is_long_silent(first, last, view.now):
        return None
    return view.t("not_drawn", at=view.day(last), age=view.age(last))


def lanes(
    file: PatientFile, name: str, view: View, now_file: PatientFile | None = None, at: datetime | None = None
) -> str:
    """A case's lanes; with the file of today, what came to be known since an instant is drawn behind in grey."""
    case = file.cases[name]
    stays, marks = stays_of(case), marks_of(file, name, view)
    if at is not None:  # where it stood then is known up to then
        stays = [replace(stay, until=max(at, stay.since)) if stay.until is None else stay for stay in stays]
    if now_file is not None and name in now_file.cases:
        known = {visit.fact for visit in case.path.visits}
        visits = now_file.cases[name].path.visits
        grey = [
            stay
            for stay, visit in zip(stays_of(now_file.cases[name], later=True), visits, strict=True)
            if visit.fact not in known
        ]
        facts = {fact.name for fact in file.facts}
        stays = [*stays, *grey]
        marks += [mark for mark in marks_of(now_file, name, view, facts) if mark.later]
    if not stays and not marks:
        return ""
    begin = min([stay.since for stay in stays] + [mark.at for mark in marks])
    last = max([stay.since for stay in stays] + [mark.at for mark in marks])
    end = view.now if not case.closed or now_file is not None else max(last, case.last_sign or last)
    if is_long_silent(begin, last, view.now):  # what happened would be squeezed into the edge
        end = last + max(DAY, (last - begin) / 10)
    drawn = max(end, last).astimezone(view.zone)  # a deadline may lie ahead
    days = [(at, view.day(at)) for at in charts.axis_days(begin.astimezone(view.zone), drawn, 6)]
    drawing = charts.lanes(
        stays, marks, end, f"{view.t('lanes')}{view.t('colon')} {' → '.join(case.path.departments)}", days
    )
    return drawing + charts.legend(
        stays, marks, {kind: said[texts.index(view.language)] for kind, said in texts.LEGEND.items()}
    )


def story(file: PatientFile, name: str, view: View) -> list[str]:
    """The plain story of a case in sentences: what is found, and why."""
    told = []
    for found in findings(file):
        if found.case == name:
            for reason in reasons(file, found):
                sentence = reason.fr if view.language == "fr" else reason.en
                if sentence not in told:
                    told.append(sentence)
    if not told:
        path = file.cases[name].path
        n, way = len(path.visits), " → ".join(path.departments) or "–"
        told.append(
            view.pick((f"{n} visit{'' if n == 1 else 's'}: {way}", f"{n} passage{'s' if n > 1 else ''} : {way}"))
        )
    return told


def timeline(file: PatientFile, name: str, view: View, now_file: PatientFile | None) -> list[dict[str, Any]]:
    """The facts of a case, in order; those recorded after the instant looked at are marked."""
    known = {fact.name for fact in file.facts}
    source = now_file or file
    facts = [fact for fact in source.facts if concerns(source, fact, name)]
    return [row | {"later": row["fact"] not in known} for row in happened(facts, view)]


def happened(facts: Iterable[Recorded], view: View) -> list[dict[str, Any]]:
    """Facts as a timeline shows them."""
    return [
        {
            "at": fact.occurred_at, "recorded_at": fact.recorded_at, "said": _said(fact, view), "where": way(*where(fact)),
            "fact": fact.name, "later": False,
        }
        for fact in facts
    ]  # fmt: skip


def _said(fact: Recorded, view: View) -> str:
    """What happened; of an act also what its source calls it."""
    activity = getattr(fact.data, "activity", None)
    return view.fact(fact.type) + (f"{view.t('colon')} {activity}" if activity else "")


def instants(file: PatientFile, name: str, view: View) -> list[datetime]:
    """The instants at which something of a case was recorded, of each minute the last: what the slider stops at."""
    recorded = sorted({fact.recorded_at for fact in file.facts if concerns(file, fact, name)})
    return list({view.moment(at): at for at in recorded}.values())


def having(files: Sequence[PatientFile], case: str) -> Sequence[PatientFile]:
    """The files that know a case; if none does, one of them, to say so."""
    return [file for file in files if case in file.cases] or files[:1]


def case_summary(file: PatientFile, name: str) -> Row:
    return case_row(file, file.cases[name])


def drawn_since(flows: Iterable[Row], view: View) -> datetime:
    """Where the drawing of flows begins: with the weeks that are counted."""
    return view.now - timedelta(weeks=max((flow["of_weeks"] for flow in flows), default=counted.WEEKS))


def strips(flows: Iterable[Row], contacts: Sequence[Row], view: View) -> list[dict[str, Any]]:
    """Small flows with their contacts drawn one by one, and who of them is being lost, the latest first."""
    flows = list(flows)
    begin = drawn_since(flows, view)
    by_topic: dict[str, list[charts.Point]] = {}
    lost: dict[str, dict[str, None]] = {}
    for row in contacts:
        said = " · ".join(filter(None, (view.moment(row["at"]), row["department"], row["patient"])))
        by_topic.setdefault(row["topic"], []).append(charts.Point(row["at"], said, row["bounced"], row["unanswered"]))
        if row["bounced"] or row["unanswered"]:
            them = lost.setdefault(row["topic"], {})
            them.pop(row["patient"], None)
            them[row["patient"]] = None
    with_case = {row["topic"] for row in contacts if row["case_id"] is not None}
    return [
        dict(flow)
        | {
            "strip": charts.strip(
                by_topic.get(flow["topic"], []), begin, view.now, f"{flow['topic']}{view.t('colon')} {flow['contacts']}"
            ),
            "lost": list(reversed(lost.get(flow["topic"], {}))),
            "has_cases": flow["topic"] in with_case,
        }
        for flow in flows
    ]


def finding_rows(file: PatientFile, found: Iterable[Finding]) -> list[Row]:
    """Findings of a person with their reasons, the newest first."""
    rows = [finding_row(file, one) | {"reasons": reason_rows(file, one)} for one in found]
    return sorted(rows, key=lambda row: str(row["opened_at"]), reverse=True)


async def small_flows(
    connection: Connection, tenant: str, only: Sequence[str] | None, view: View
) -> tuple[list[dict[str, Any]], list[Row], int]:
    """Small flows with their contacts one by one, those that turned bad first; the mass flows; how many small ones there are."""
    flows = await counted.flows(connection, tenant, view.now, only)
    small = [flow for flow in flows if flow["is_small"]]
    worst = sorted(small, key=lambda flow: (-(flow["bounced"] + flow["unanswered"]), flow["contacts"], flow["topic"]))[
        :MOST_FLOWS
    ]
    since = view.now - timedelta(weeks=counted.WEEKS)
    contacts = await counted.contacts_of(connection, tenant, [flow["topic"] for flow in worst], since, only)
    return strips(worst, contacts, view), [flow for flow in reversed(flows) if not flow["is_small"]], len(small)


def alert_rows(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Alerts with their state, the gravest first."""
    now = datetime.now(UTC)
    return [dict(row) | {"state": alert_state(row, now)} for row in worst_first(rows)]
