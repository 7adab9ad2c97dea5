"""alerts, rules: what was said, what people did with it, who was told, and the brake."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from projections.words import TITLES
from services import acting
from services import tables_alerts as tables
from services import tables_messages as messages
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
)
from services.console.texts import state_said
from services.log_writing import LogWriter
from services.notifier import routing
from services.notifier.rules import default_text, read_rules
from services.tables import Connection, connected

MOST = 1_000_000
Alert = Annotated[list[str], typer.Argument(metavar="ID...", help="Alerts, as `alerts list` names them.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it (default: you).")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for those who come after.")]


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
    rules = typer.Typer(help="Rules: which findings are said to whom.", no_args_is_help=True)
    rules.command("show")(plainly(show_rules))
    rules.command("check")(plainly(check_rules))
    rules.command("put")(plainly(put_rules))
    app.add_typer(rules, name="rules")


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
    """Alerts and their state, the newest first.

    Example: parcours alerts list --lang fr
    """
    language = chosen(lang)
    _, found = here(home)

    async def read() -> list[Any]:
        async with connected(str(found["postgres"]), "alerts") as connection:
            return await tables.alerts(connection, tenant, raised_only=not everything, limit=MOST)

    rows = [told(row, datetime.now(UTC)) for row in run(read())]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Alerts", "Alertes")[language],
        (("state", "level", "alert", "department", "what"), ("état", "niveau", "alerte", "service", "quoi"))[language],
        [
            (state_said("fr", r["state"]) if language else r["state"], r["level"], r["alert"], r["department"], r[f"title_{lang}"])
            for r in rows
        ],
    )  # fmt: skip


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
    *,
    as_json: AsJson = False,
) -> None:
    """One alert: what it says, what people did, who was told.

    Example: parcours alerts show bounced_case:p-4411:c-1:1
    """
    _, found = here(home)

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
    print_table(name, ("", ""), [(key, value) for key, value in one.items() if not isinstance(value, list | dict)])
    print_table(said("Why", "Pourquoi"), ("",), [(reason[f"text_{SPOKEN}"],) for reason in one["reasons"]])
    print_table(
        said("Acts", "Actes"), heads("kind", "at", "by", "until", "reason"), [tuple(act.values()) for act in acts]
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
    out.print(f"{wish.kind}: {len(names)}", markup=False)


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


def deliveries(
    home: Home = None, tenant: Tenant = None,
    state: Annotated[str | None, typer.Option("--state", help="waiting, delivered, held, failed, dropped or muted.")] = None,
    message: Annotated[str | None, typer.Option("--message", help="The attempts of one message.")] = None,
    *, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Who was told what, how many attempts it took, what is still waiting and why.

    Example: parcours alerts deliveries --state waiting
    """
    if state is not None and state not in ("waiting", "delivered", "held", "failed", "dropped", "muted"):
        fail(f"--state must be waiting, delivered, held, failed, dropped or muted, not {state!r}", Exit.USAGE)
    _, found = here(home)

    async def read() -> list[dict[str, Any]]:
        async with connected(str(found["postgres"]), "alerts") as connection:
            if message is None:
                return await messages.deliveries(connection, tenant, state)
            number = await connection.fetchval("select id from parcours.message where name = $1", message)
            if number is None:
                raise _no_message(message)
            return await messages.attempts(connection, number)

    rows = run(read())
    if as_json:
        print_json(rows)
    elif message is not None:
        print_table(message, heads("at", "answer", "seconds"), [tuple(row.values()) for row in rows])
    else:
        columns = (
            "subscription",
            "state",
            "alerts",
            "why",
            "severity",
            "attempts",
            "last_answer",
            "next_try_at",
            "name",
        )
        print_table(
            said("Deliveries", "Envois"), heads(*columns), [tuple(row[name] for name in columns) for row in rows[:200]]
        )


def _no_message(message: str) -> Problem:
    return Problem(
        said(
            f"there is no message {message}: see parcours alerts deliveries",
            f"aucun message {message} : voir parcours alerts deliveries",
        )
    )


def resend(
    home: Home = None,
    subscription: Annotated[str | None, typer.Option("--subscription", help="All that waits or failed for it.")] = None,
    message: Annotated[str | None, typer.Option("--message", help="One message.")] = None,
) -> None:
    """Send failed or waiting messages again, now.

    Example: parcours alerts resend --subscription 1a2b3c4d
    """
    if (subscription is None) == (message is None):
        fail(said("say either --subscription or --message", "indiquez --subscription ou bien --message"), Exit.USAGE)
    _, found = here(home)

    async def write() -> int:
        async with connected(str(found["postgres"]), "alerts") as connection:
            number = None
            if message is not None:
                number = await connection.fetchval("select id from parcours.message where name = $1", message)
                if number is None:
                    raise _no_message(message)
            return await messages.send_again(connection, subscription, number)

    n = run(write())
    out.print(said(f"waiting again: {n}", f"de nouveau en attente : {n}"), markup=False)


def hold(home: Home = None, by: By = None, reason: Reason = None) -> None:
    """The emergency brake: nothing more is sent until `alerts release` or `alerts drop`. Findings and lists go on.

    Example: parcours alerts hold --reason "a wrong import"
    """
    _, found = here(home)

    async def write() -> None:
        async with connected(str(found["postgres"]), "alerts") as connection, connection.transaction():
            await routing.hold(connection, by or getpass.getuser(), reason or "by hand", datetime.now(UTC))

    run(write())
    out.print(
        said(
            "Held. See: parcours alerts deliveries --state held",
            "Retenu. Voir : parcours alerts deliveries --state held",
        )
    )


def release(home: Home = None, tenant: Tenant = None) -> None:
    """Let alerts go out again, those that were held first.

    Example: parcours alerts release
    """
    n = _release(home, tenant, send=True)
    out.print(said(f"released: {n}", f"libérées : {n}"), markup=False)


def drop(home: Home = None, tenant: Tenant = None) -> None:
    """Let alerts go out again, without those that were held; they stay listed.

    Example: parcours alerts drop
    """
    n = _release(home, tenant, send=False)
    out.print(said(f"dropped: {n}", f"abandonnées : {n}"), markup=False)


def _release(home: Path | None, tenant: str | None, *, send: bool) -> int:
    _, found = here(home)

    async def write() -> int:
        async with connected(str(found["postgres"]), "alerts") as connection, connection.transaction():
            return await messages.release_held(connection, tenant, send=send)

    return run(write())


def quality(home: Home = None, tenant: Tenant = None, *, as_json: AsJson = False) -> None:
    """Each rule's share of useful alerts, by department and month, as people judged them.

    Example: parcours alerts quality --json
    """
    _, found = here(home)

    async def read() -> list[dict[str, Any]]:
        async with connected(str(found["postgres"]), "alerts") as connection:
            return await tables.quality(connection, tenant)

    rows = run(read())
    if as_json:
        print_json(rows)
        return
    columns = ("tenant", "rule", "department", "month", "raised", "useful", "dismissed", "corrected", "useful_share")
    print_table(said("Quality", "Qualité"), heads(*columns), [tuple(row[name] for name in columns) for row in rows])


def show_rules(home: Home = None) -> None:
    """The rules in force, as TOML.

    Example: parcours rules show > rules.toml
    """
    _, found = here(home)

    async def read() -> str:
        async with connected(str(found["postgres"]), "rules") as connection:
            return await tables.setting(connection, "rules") or default_text()

    typer.echo(run(read()), nl=False)


def check_rules(file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Say whether rules can be used, and if not, where they are wrong.

    Example: parcours rules check rules.toml
    """
    found = read_rules(file.read_text(encoding="utf-8"))
    n = len(found.rule)
    out.print(
        said(f"{file}: version {found.version}, {n} rules", f"{file} : version {found.version}, {n} règles"),
        markup=False,
    )


def put_rules(file: Annotated[Path, typer.Argument(metavar="FILE")], home: Home = None) -> None:
    """Put rules in force: for what is said from now on.

    Example: parcours rules put rules.toml
    """
    text = file.read_text(encoding="utf-8")
    found = read_rules(text)
    _, where = here(home)

    async def write() -> None:
        async with connected(str(where["postgres"]), "rules") as connection:
            await tables.set_setting(connection, "rules", text)

    run(write())
    n = len(found.rule)
    out.print(
        said(f"in force: version {found.version}, {n} rules", f"en vigueur : version {found.version}, {n} règles"),
        markup=False,
    )
