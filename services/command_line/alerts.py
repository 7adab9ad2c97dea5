"""alerts: what was said, and what people did with it."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from projections.words import TITLES
from services import acting
from services import tables_alerts as tables
from services.command_line.deliveries import By, Reason, deliveries, drop, hold, release, resend
from services.command_line.reading import print_stories
from services.command_line.showing import (
    SPOKEN,
    AsJson,
    Exit,
    Home,
    Lang,
    Problem,
    Tenant,
    chosen,
    fail,
    heads,
    here,
    out,
    plainly,
    print_json,
    print_table,
    run,
    said,
    state_shown,
)
from services.command_line.times import times_of
from services.console.pages import View
from services.log_writing import LogWriter
from services.tables import Connection, connected

MOST = 1_000_000
DONE = {"acknowledged": "prises en charge", "silenced": "mises en silence", "dismissed": "jugées sans utilité"}
Alert = Annotated[list[str], typer.Argument(metavar="ID...", help="Alerts, as `alerts list` names them.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    alerts = typer.Typer(help="Alerts: their life, their deliveries, the brake.", no_args_is_help=True)
    for name, command in (
        ("list", list_alerts), ("show", show), ("ack", acknowledge), ("silence", silence), ("dismiss", dismiss),
        ("deliveries", deliveries), ("resend", resend), ("hold", hold), ("release", release), ("drop", drop),
        ("quality", quality),
    ):  # fmt: skip
        alerts.command(name)(plainly(command))
    app.add_typer(alerts, name="alerts")


def told(row: Any, now: datetime) -> dict[str, Any]:
    """An alert as programs read it."""
    title_en, title_fr = TITLES[row["alert"].partition(":")[0]]
    return {
        "tenant": row["tenant"], "alert": row["alert"], "n": row["n"], "number": row["number"],
        "state": tables.alert_state(row, now), "level": row["level"], "title_en": title_en, "title_fr": title_fr,
        "patient": row["patient"], "case": row["case_id"], "claim": row["claim_id"], "topic": row["topic"],
        "department": row["department"], "opened_at": row["opened_at"], "raised_at": row["raised_at"],
        "said_at": row["said_at"], "cause": row["cause"], "reasons": row["reasons"] or [],
        "act": None if row["act"] is None else {
            "kind": row["act"], "by": row["act_by"], "at": row["act_at"], "until": row["act_until"], "reason": row["act_reason"],
        },
    }  # fmt: skip


def list_alerts(
    home: Home = None,
    tenant: Tenant = None,
    lang: Lang = SPOKEN,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Alerts and their state: the newest first for programs, the most severe first for people.

    Example: parcours alerts list --lang fr
    """
    language = chosen(lang)
    _, found = here(home, tenant)

    async def read() -> list[Any]:
        async with connected(str(found["postgres"]), "alerts") as connection:
            return await tables.alerts(connection, tenant, raised_only=not everything, limit=MOST)

    rows, now = run(read()), datetime.now(UTC)
    if as_json:
        print_json([told(row, now) for row in rows])
        return
    view = times_of(found, language)
    print_stories(
        said("Alerts", "Alertes"), [_story(told(row, now), view, lang) for row in tables.worst_first(rows)], language
    )


def _story(one: dict[str, Any], view: View, lang: str) -> tuple[str, str, str]:
    """An alert at a glance: how grave, of whom, what and since when; and its id, to be copied."""
    level, step = (one["level"], "") if (one["level"] or "B")[0] in "BU" else ("", f" ({view.level(one['level'])})")
    where = "" if one["department"] is None else f" · {one['department']}"
    about = one["case"] or one["claim"] or one["topic"] or ""
    return (
        f"{level or ''}\n{state_shown(one['state'])}".strip(),
        f"{one['patient']}\n{about}",
        f"{one[f'title_{lang}']}{step}{where} · {view.day(one['said_at'])}\n{one['alert']}",
    )


async def _find(connection: Connection, tenant: str | None, names: list[str]) -> list[Any]:
    found = []
    for name in names:
        rows = await tables.alert(connection, tenant, name)
        if not rows:
            raise Problem(
                said(
                    f"there is no alert {name}: see parcours alerts list --all",
                    f"aucune alerte {name} : voir parcours alerts list --all",
                )
            )
        if len(rows) > 1:
            raise Problem(
                said(
                    f"{len(rows)} establishments have an alert {name}: say which with --tenant",
                    f"{len(rows)} établissements ont une alerte {name} : indiquez lequel avec --tenant",
                )
            )
        found += rows
    return found


def show(
    name: Annotated[str, typer.Argument(metavar="ID")],
    home: Home = None,
    tenant: Tenant = None,
    lang: Lang = SPOKEN,
    *,
    as_json: AsJson = False,
) -> None:
    """One alert: what it says, what people did, who was told.

    Example: parcours alerts show bounced_case:p-4411:c-1:1
    """
    language = chosen(lang)
    _, found = here(home, tenant)

    async def read() -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]:
        async with connected(str(found["postgres"]), "alerts") as connection:
            (row,) = await _find(connection, tenant, [name])
            acts = await tables.acts_of(connection, row["tenant"], name)
            return row, acts, await tables.sent_of(connection, row["tenant"], name)

    row, acts, sent = run(read())
    one = told(row, datetime.now(UTC)) | {"acts": acts, "deliveries": sent}
    if as_json:
        print_json(one)
        return
    times = times_of(found, language)
    shown = {"title": one[f"title_{lang}"]} | {
        key: value for key, value in one.items() if key not in {"title_en", "title_fr"}
    }
    shown |= {key: times.moment(one[key]) for key in ("opened_at", "raised_at", "said_at")}
    shown |= {"state": state_shown(one["state"])}
    rows = [(key, value) for key, value in shown.items() if value is not None and not isinstance(value, list | dict)]
    print_table(name, ("", ""), [(*heads(key.replace("_", " ")), value) for key, value in rows])
    print_table(said("Why", "Pourquoi"), ("",), [(reason[f"text_{lang}"],) for reason in one["reasons"]])
    told_acts = [
        act | {key: times.moment(act[key]) for key in ("at", "until")} | {"kind": state_shown(act["kind"])}
        for act in acts
    ]
    print_table(
        said("Acts", "Actes"), heads("kind", "at", "by", "until", "reason"), [tuple(act.values()) for act in told_acts]
    )
    print_table(
        said("Deliveries", "Envois"),
        heads("number", "act", "subscription", "message", "state", "answer"),
        [tuple(d.values())[:6] for d in sent],
    )


def _act(home: Path | None, tenant: str | None, names: list[str], wish: acting.Wish) -> None:
    _, found = here(home)

    async def write() -> None:
        async with connected(str(found["postgres"]), "alerts") as connection:
            rows = await _find(connection, tenant, names)
        log = LogWriter(str(found["kafka"]))
        try:
            await acting.act(log, [(row["tenant"], row["patient"], row["alert"]) for row in rows], wish)
        finally:
            await log.close()

    try:
        run(write())
    except acting.NotAnAct as wrong:
        fail(str(wrong), Exit.USAGE)
    out.print(said(f"{wish.kind}: {len(names)}", f"{DONE[wish.kind]} : {len(names)}"), markup=False)


def acknowledge(
    names: Alert, home: Home = None, tenant: Tenant = None, by: By = None, reason: Reason = None,
    until: Annotated[str | None, typer.Option("--until", help="When you will have done it, as in 2026-03-12T17:00:00Z.")] = None,
) -> None:  # fmt: skip
    """Take alerts on: nobody is reminded of them any more.

    Example: parcours alerts ack bounced_case:p-4411:c-1:1 --by "Mme Lambert"
    """
    _act(home, tenant, names, acting.Wish("acknowledged", by or getpass.getuser(), reason, until))


def silence(
    names: Alert, home: Home = None, tenant: Tenant = None, by: By = None, reason: Reason = None,
    until: Annotated[str | None, typer.Option("--until", help="Until when; without it, until it is raised again.")] = None,
) -> None:  # fmt: skip
    """Hear nothing more of alerts for a while.

    Example: parcours alerts silence bounced_case:p-4411:c-1:1 --reason "on holiday" --until 2026-03-12T08:00:00Z
    """
    _act(home, tenant, names, acting.Wish("silenced", by or getpass.getuser(), reason, until))


def dismiss(names: Alert, home: Home = None, tenant: Tenant = None, by: By = None, reason: Reason = None) -> None:
    """Say that alerts were of no use, and why: `alerts quality` counts it against their rule.

    Example: parcours alerts dismiss bounced_case:p-4411:c-1:1 --reason "planned circuit of care"
    """
    _act(home, tenant, names, acting.Wish("dismissed", by or getpass.getuser(), reason))


def quality(home: Home = None, tenant: Tenant = None, lang: Lang = SPOKEN, *, as_json: AsJson = False) -> None:
    """Each rule's share of useful alerts, by department and month, as people judged them.

    Example: parcours alerts quality --json
    """
    chosen(lang)
    _, found = here(home, tenant)

    async def read() -> list[dict[str, Any]]:
        async with connected(str(found["postgres"]), "alerts") as connection:
            return await tables.quality(connection, tenant)

    rows = run(read())
    if as_json:
        print_json(rows)
        return
    columns = ("tenant", "rule", "department", "month", "raised", "useful", "dismissed", "corrected", "useful_share")
    print_table(said("Quality", "Qualité"), heads(*columns), [tuple(row[name] for name in columns) for row in rows])
