"""token, parked: who may come in, and what could not be read."""

from typing import Annotated, Any, cast, get_args

import typer

from services import tables_system
from services.command_line.showing import (
    AsJson,
    Home,
    Problem,
    check_tenant,
    fail_for,
    heads,
    here,
    out,
    plainly,
    print_json,
    print_table,
    run,
    said,
)
from services.projector import retrying
from services.projector.records import shown_value
from services.refusals import ruled
from services.security import Role, create_token
from services.tables import connected
from services.tables_projector import release_partition


def register(app: typer.Typer) -> None:
    """Add these commands."""
    token = typer.Typer(help="Tokens of the HTTP doors.", no_args_is_help=True)
    token.command("create")(plainly(create))
    token.command("list")(plainly(list_tokens))
    token.command("revoke")(plainly(revoke))
    app.add_typer(token, name="token")
    parked = typer.Typer(help="Records that are no facts.", no_args_is_help=True)
    parked.command("list")(plainly(list_parked))
    parked.command("show")(plainly(show_parked))
    parked.command("retry")(plainly(retry_parked))
    parked.command("discard")(plainly(discard_parked))
    parked.command("resume")(plainly(resume))
    app.add_typer(parked, name="parked")


def create(
    tenant: Annotated[str, typer.Option("--tenant", help="The establishment.")],
    role: Annotated[str, typer.Option("--role", help="emitter, reader, operator or admin.")],
    home: Home = None,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    department: Annotated[
        list[str] | None, typer.Option("--department", help="Only what concerns these departments (may be repeated).")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a token; it is shown this once, only its hash is kept.

    Example: parcours token create --tenant north --role emitter
    """
    if role not in get_args(Role):
        fail_for("--role", get_args(Role), role)
    check_tenant(tenant)
    _, found = here(home)

    async def make() -> tuple[str, str]:
        async with connected(str(found["postgres"]), "token") as connection:
            return await create_token(connection, tenant, cast("Role", role), label, department)

    number, text = run(make())
    if as_json:
        print_json({"id": number, "token": text, "tenant": tenant, "role": role})
    else:
        out.print(text, markup=False, highlight=False, soft_wrap=True)


def list_tokens(home: Home = None, *, as_json: AsJson = False) -> None:
    """Every token by its id; never its text.

    Example: parcours token list
    """
    _, found = here(home)

    async def read() -> list[dict[str, object]]:
        async with connected(str(found["postgres"]), "token") as connection:
            rows = await connection.fetch(
                "select id, tenant, role, label, created_at, revoked_at from parcours.token order by created_at"
            )
        return [dict(row) for row in rows]

    rows = run(read())
    if as_json:
        print_json(rows)
    else:
        print_table(
            said("Tokens", "Jetons"),
            heads("id", "tenant", "role", "label", "created", "revoked"),
            [tuple(row.values()) for row in rows],
        )


def revoke(number: Annotated[str, typer.Argument(metavar="ID")], home: Home = None) -> None:
    """Let a token in no more (within five seconds).

    Example: parcours token revoke 1a2b3c4d
    """
    _, found = here(home)

    async def write() -> str:
        async with connected(str(found["postgres"]), "token") as connection:
            return str(
                await connection.execute(
                    "update parcours.token set revoked_at = now() where id = $1 and revoked_at is null", number
                )
            )

    if run(write()) == "UPDATE 0":
        raise Problem(
            said(
                f"there is no token {number} in use: see parcours token list",
                f"aucun jeton {number} en service : voir parcours token list",
            )
        )
    out.print(said("Revoked.", "Révoqué."))


def list_parked(home: Home = None, *, as_json: AsJson = False) -> None:
    """Parked records: where they lie, and which rule each breaks.

    Example: parcours parked list --json
    """
    _, found = here(home)

    async def read() -> list[dict[str, Any]]:
        async with connected(str(found["postgres"]), "parked") as connection:
            return await tables_system.parked(connection, None, None)

    rows = run(read())
    if as_json:
        print_json(rows)
        return
    print_table(
        said("Parked records", "Enregistrements mis de côté"),
        heads("partition", "offset", "reason", "where", "rule", "tenant", "subject"),
        [
            (r["partition"], r["offset"], r["code"], r["field"], ruled(r["rule"]), r["tenant"], r["subject"])
            for r in rows
        ],
    )


def show_parked(
    partition: Annotated[int, typer.Argument()],
    offset: Annotated[int, typer.Argument()],
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """One parked record, whole.

    Example: parcours parked show 3 1017
    """
    _, found = here(home)

    async def read() -> dict[str, Any] | None:
        async with connected(str(found["postgres"]), "parked") as connection:
            return await tables_system.parked_one(connection, partition, offset)

    row = run(read())
    if row is None:
        raise _nothing_at(partition, offset)
    told = {name: shown_value(value) for name, value in row.items() if name != "digest"}
    if as_json:
        print_json(told)
    else:
        told["rule"] = ruled(str(told["rule"]))
        print_table(
            said(f"Parked at {partition}:{offset}", f"Mis de côté en {partition}:{offset}"), ("", ""), told.items()
        )


def _nothing_at(partition: int, offset: int) -> Problem:
    return Problem(
        said(
            f"nothing is parked at {partition}:{offset}: see parcours parked list",
            f"rien n'est mis de côté en {partition}:{offset} : voir parcours parked list",
        )
    )


def retry_parked(home: Home = None, *, as_json: AsJson = False) -> None:
    """Try every parked record and quarantined patient once more; what is read now is a late fact.

    Example: parcours parked retry
    """
    _, found = here(home)

    async def retry() -> dict[str, int]:
        async with connected(str(found["postgres"]), "parked") as connection:
            return await retrying.retry(connection, clock_rule=bool(found.get("clock", True)))

    told = run(retry())
    if as_json:
        print_json(told)
    else:
        tried, taken, patients = told["tried"], told["taken"], told["patients"]
        out.print(
            said(
                f"{tried} records tried, {taken} taken; {patients} quarantined patients to be folded anew.",
                f"{tried} enregistrements essayés, {taken} pris ; {patients} patients en quarantaine à recalculer.",
            )
        )


def discard_parked(
    partition: Annotated[int, typer.Argument()],
    offset: Annotated[int, typer.Argument()],
    reason: Annotated[str, typer.Option("--reason", help="Why it may be forgotten.")],
    home: Home = None,
) -> None:
    """Hide a parked record from the list, with a reason; the log keeps it.

    Example: parcours parked discard 3 1017 --reason "test of the gateway"
    """
    _, found = here(home)

    async def write() -> bool:
        async with connected(str(found["postgres"]), "parked") as connection:
            return await tables_system.discard_parked(connection, None, partition, offset, reason)

    if not run(write()):
        raise _nothing_at(partition, offset)
    out.print(said("Discarded.", "Retiré de la liste."))


def resume(
    partition: Annotated[int, typer.Argument(metavar="PARTITION", min=0)], home: Home = None, *, as_json: AsJson = False
) -> None:
    """Let a partition go on that was stopped because the folds of many patients failed; they are tried again.

    Example: parcours parked resume 7
    """
    _, found = here(home)

    async def write() -> bool:
        async with connected(str(found["postgres"]), "parked") as connection:
            released = await release_partition(connection, partition)
            if released:
                await tables_system.wish_retry(connection)
            return released

    if not run(write()):
        raise Problem(said(f"partition {partition} is not stopped", f"la partition {partition} n'est pas arrêtée"))
    if as_json:
        print_json({"partition": partition, "resumed": True})
    else:
        out.print(said(f"Partition {partition} goes on.", f"La partition {partition} repart."), markup=False)
