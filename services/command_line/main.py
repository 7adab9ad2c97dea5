"""The command `parcours`: every command, in its own module by what it is about."""

import sys

import typer

from services.command_line import (
    alerts,
    backups,
    demo,
    details,
    facts,
    generations,
    importing,
    instance,
    laws,
    processes,
    reading,
    reporting,
    rules,
    state,
    subscriptions,
    tokens,
)
from services.command_line.french import into_french, panels_into_french
from services.command_line.showing import SPOKEN
from services.telemetry import configure_logs

app = typer.Typer(
    name="parcours",
    help="Finds the patients a health service is losing, while they can still be helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (
    demo,
    instance,
    state,
    processes,
    facts,
    backups,
    generations,
    importing,
    laws,
    reading,
    details,
    alerts,
    rules,
    subscriptions,
    reporting,
    tokens,
):
    module.register(app)


def _spoken(words: list[str]) -> str:
    """The language of help and of what is wrong with the words themselves, which are looked at before any option is heard."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    said = [word.partition("=")[2] or after for word, after in pairs if word.partition("=")[0] == "--lang"]
    return said[-1] if said else SPOKEN


def run() -> None:
    """The entry point. What goes wrong on the way is said on standard error, never with what facts say."""
    configure_logs(as_json=not sys.stderr.isatty())
    command = typer.main.get_command(app)
    if _spoken(sys.argv[1:]) == "fr":
        into_french(command)
        panels_into_french()
    command()


if __name__ == "__main__":
    run()
