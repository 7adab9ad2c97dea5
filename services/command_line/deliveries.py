"""alerts deliveries, resend, hold, release, drop: who was told, and the brake."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from services import tables_messages as messages
from services.command_line.showing import (
    AsJson,
    Exit,
    Home,
    Problem,
    Tenant,
    fail,
    fail_for,
    heads,
    here,
    out,
    print_json,
    print_table,
    run,
    said,
    state_shown,
)
from services.notifier import routing
from services.tables import connected

STATES = ("waiting", "delivered", "held", "failed", "dropped", "muted")
By = Annotated[str | None, typer.Option("--by", help="Who does it (default: you).")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for those who come after.")]


def deliveries(
    home: Home = None, tenant: Tenant = None,
    state: Annotated[str | None, typer.Option("--state", help="waiting, delivered, held, failed, dropped or muted.")] = None,
    message: Annotated[str | None, typer.Option("--message", help="The attempts of one message.")] = None,
    *, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Who was told what, how many attempts it took, what is still waiting and why.

    Example: parcours alerts deliveries --state waiting
    """
    if state is not None and state not in STATES:
        fail_for("--state", STATES, state)
    _, found = here(home, tenant)

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
            said("Deliveries", "Envois"),
            heads(*columns),
            [tuple((row | {"state": state_shown(row["state"])})[name] for name in columns) for row in rows[:200]],
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
            "Envois suspendus. Voir : parcours alerts deliveries --state held",
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
