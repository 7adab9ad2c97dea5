"""How the command line speaks: JSON for programs, tables for people, one sentence for what went wrong."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, ParamSpec, TypeVar, cast

import orjson
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from deploy.embedded.server_process import EmbeddedServerError
from events.envelope import TENANT
from projections.jurisdictions import Invalid
from projections.policy import InvalidPolicy
from services import tables_system
from services.backup import NotRestored
from services.bilingual import Both, of_system, spoken
from services.command_line.french_words import HEADS
from services.console.texts import moment, number, state_said
from services.log import LogUnavailable
from services.log_topics import TopicDiffers
from services.notifier.rules import InvalidRules
from services.publishing import BadFile
from services.servers import AlreadyRunning, PortTaken
from services.settings import BadSettings, Settings, running, settings
from services.tables import AWAY, DATABASE_ERRORS, NoGeneration, TablesUnavailable, active_generation, connected

P = ParamSpec("P")
T = TypeVar("T")
out, err = Console(), Console(stderr=True, highlight=False)


def session_language() -> Literal["en", "fr"]:
    """What to speak where nobody says: PARCOURS_LANG, else what the session's locale is."""
    names = ("PARCOURS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return "fr" if locale.lower().startswith("fr") else "en"


SPOKEN = session_language()
PAIR, WIDEST = 2, 10_000


class Speaking:
    """The language of this command: the session's, until its --lang says another."""

    language: Literal["en", "fr"] = SPOKEN


def said(en: str, fr: str) -> str:
    """What a command has to say, in its language."""
    return fr if Speaking.language == "fr" else en


def heads(*columns: str) -> tuple[str, ...]:
    """The names of a table's columns, in the language of the command."""
    return tuple(said(column, HEADS.get(column, column)) for column in columns)


class Exit(IntEnum):
    """Exit codes: fine, found a problem, wrong usage, a server is away."""

    OK = 0
    PROBLEM = 1
    USAGE = 2
    AWAY = 3


class NotRunning(RuntimeError):
    """No instance runs in this home."""


class Problem(RuntimeError):
    """A command found a problem: a sentence, exit 1."""


Home = Annotated[
    Path | None, typer.Option("--home", help="Where this instance lives (default: PARCOURS_HOME, else .parcours).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this establishment.")]

MOST_TENANTS = 10
USAGE_ERRORS = (BadSettings, InvalidPolicy, Invalid, InvalidRules)
AWAY_ERRORS = (LogUnavailable, TablesUnavailable, EmbeddedServerError, NotRunning, *AWAY)
PROBLEMS = (BadFile, TopicDiffers, NoGeneration, AlreadyRunning, NotRestored, PortTaken, Problem, *DATABASE_ERRORS)


def plainly(command: Callable[P, T]) -> Callable[P, T]:
    """What a command raises becomes a sentence and an exit code, never a traceback; and it speaks the language of `--lang`."""
    found = signature(command, eval_str=True)
    speaks = "lang" in found.parameters

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if not speaks:
            kwargs.pop("lang", None)  # its callback has been heard
        try:
            return command(*args, **kwargs)
        except USAGE_ERRORS as wrong:
            fail(str(wrong), Exit.USAGE)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError) as wrong:
            fail(_in_words(of_system(wrong)), Exit.PROBLEM)
        except AWAY_ERRORS as wrong:
            fail(
                str(wrong) or said("a server is away", "un serveur est absent") + f" ({type(wrong).__name__})",
                Exit.AWAY,
            )
        except PROBLEMS as wrong:
            fail(_words(wrong), Exit.PROBLEM)
        except KeyboardInterrupt:
            fail(said("stopped", "interrompu"), Exit.PROBLEM)
        except OSError as wrong:
            fail(_in_words(of_system(wrong)), Exit.PROBLEM)

    if not speaks:
        lang = Parameter("lang", Parameter.KEYWORD_ONLY, default=SPOKEN, annotation=Lang)
        run.__signature__ = found.replace(parameters=[*found.parameters.values(), lang])  # type: ignore[attr-defined]
        run.__annotations__ = command.__annotations__ | {"lang": Lang}
    return run


def _in_words(text: str) -> str:
    return spoken(text, Speaking.language == "fr")


def _words(wrong: Exception) -> str:
    """What an error says, in the language of the command where it knows it."""
    first = wrong.args[0] if wrong.args else None
    return _in_words(first) if isinstance(first, Both) else str(wrong)


def fail(sentence: str, code: Exit) -> NoReturn:
    """Say what was wrong and leave."""
    err.print(sentence, style="bold red", markup=False, soft_wrap=True)
    raise typer.Exit(int(code))


def fail_for(option: str, allowed: Iterable[str], value: object) -> NoReturn:
    """Say what an option may be, and leave."""
    listed = ", ".join(allowed)
    fail(
        said(f"{option} must be one of {listed}, not {value!r}", f"{option} doit être parmi {listed}, pas {value!r}"),
        Exit.USAGE,
    )


def check_tenant(tenant: str) -> None:
    """Leave with a sentence where no establishment can have this name."""
    if not TENANT.fullmatch(tenant):
        fail(
            said("--tenant must be 1 to 40 of a-z, 0-9 and -", "--tenant : de 1 à 40 caractères parmi a-z, 0-9 et -"),
            Exit.USAGE,
        )


def _spoken_from_here_on(lang: str) -> str:
    chosen(lang)
    return lang


Lang = Annotated[
    str,
    typer.Option(
        "--lang", help="en or fr (default: PARCOURS_LANG, else the session's).", callback=_spoken_from_here_on
    ),
]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end."""
    return asyncio.run(work)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: str | None = None) -> None:
    """A table for people; `whole`: the column that is never wrapped, so that it can be copied. Where words would be broken, one row's cells
    below another.
    """
    lines = [[Text(told(cell)) for cell in row] for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == whole)
    for line in lines:
        table.add_row(*line)
    narrowest = Measurement.get(out, out.options.update(max_width=WIDEST), table).minimum  # that breaks no word
    if len(columns) > PAIR and narrowest > out.width:
        _print_below(title, columns, lines)
    else:
        out.print(table)


def _print_below(title: str, columns: Sequence[str], lines: Sequence[Sequence[Text]]) -> None:
    out.print(title, style="bold", markup=False)
    for line in lines:
        block = Table.grid(padding=(0, 2, 0, 0))
        block.add_column(style="dim", no_wrap=True)
        block.add_column(overflow="fold")
        for head, cell in zip(columns, line, strict=True):
            if cell.plain:
                block.add_row(Text(head), cell)
        out.print()
        out.print(block)


def told(cell: object) -> str:
    """A cell of a table as people of the command's language write it."""
    match cell:
        case None:
            return ""
        case datetime():
            return moment(Speaking.language, cell, UTC)
        case Both():
            return _in_words(cell)
        case bool():
            return said("yes", "oui") if cell else said("no", "non")
        case float():
            return number(Speaking.language, cell)
        case _:
            return str(cell)


def state_shown(name: str) -> str:
    """The name of a state in the language of the command."""
    return said(name, state_said("fr", name))


def at_home(one: Settings) -> str:
    """What a command that is advised needs behind it to be about this instance."""
    return "" if one.home == settings().home else f" --home {one.home}"


def here(home: Path | None, tenant: str | None = None) -> tuple[Settings, dict[str, Any]]:
    """The settings of an instance that runs; a word of warning where it knows nobody of an establishment. Raises `NotRunning`."""
    one = settings(home)
    found = running(one)
    if one.kafka and one.postgres:
        found = {"api": None, "clock": True} | found | {"kafka": one.kafka, "postgres": one.postgres}
    if not found:
        raise NotRunning(
            said(
                f"Parcours is not running in {one.home}. Start it with: parcours up{at_home(one)}",
                f"Parcours ne tourne pas dans {one.home}. Pour démarrer : parcours up{at_home(one)}",
            )
        )
    if tenant is not None:
        run(_look_for(tenant, str(found["postgres"])))
    return one, found


async def _look_for(tenant: str, url: str) -> None:
    async with connected(url, "tenant") as connection:
        if await active_generation(connection) is None or await tables_system.is_known(connection, tenant):
            return
        known = ", ".join(await tables_system.tenants(connection, MOST_TENANTS)) or "–"
    err.print(
        said(
            f"No patient of an establishment {tenant!r} is known here; there are some of: {known}",
            f"Aucun patient d'un établissement {tenant!r} n'est connu ici ; il y en a de : {known}",
        ),
        markup=False,
    )


def chosen(lang: str) -> int:
    """0 for English, 1 for French: what the command speaks from here on."""
    if lang not in ("en", "fr"):
        fail(said(f"--lang must be en or fr, not {lang!r}", f"--lang doit être en ou fr, pas {lang!r}"), Exit.USAGE)
    Speaking.language = cast("Literal['en', 'fr']", lang)
    return ("en", "fr").index(lang)
