"""rules: which findings are said to whom."""

from pathlib import Path
from typing import Annotated

import typer

from services import tables_alerts as tables
from services.command_line.showing import (
    Home,
    here,
    out,
    plainly,
    run,
    said,
)
from services.notifier.rules import default_text, read_rules
from services.tables import connected


def register(app: typer.Typer) -> None:
    """Add these commands."""
    rules = typer.Typer(help="Rules: which findings are said to whom.", no_args_is_help=True)
    rules.command("show")(plainly(show_rules))
    rules.command("check")(plainly(check_rules))
    rules.command("put")(plainly(put_rules))
    app.add_typer(rules, name="rules")


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
