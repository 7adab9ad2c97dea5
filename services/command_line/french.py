"""The help of every command in French: what `--help` says where PARCOURS_LANG, or the session's locale, is French."""

from inspect import cleandoc
from typing import Any

import typer
from typer import rich_utils

from services.command_line.french_words import WORDS

EXAMPLE = ("\n\nExample: ", "\n\nExemple : ")
SHOW_HELP = {"Show this message and exit.": "Montrer ce message et s'arrêter."}


def help_said(text: str) -> str:
    """A text of the help in French. Raises `KeyError` for one that nobody has put into French."""
    what, marked, example = cleandoc(text).partition(EXAMPLE[0])
    return (WORDS | SHOW_HELP)[what] + (EXAMPLE[1] + example if marked else "")


PANELS = {
    "DEFAULT_STRING": "[par défaut : {}]",
    "REQUIRED_LONG_STRING": "[obligatoire]",
    "ERRORS_PANEL_TITLE": "Erreur",
    "ABORTED_TEXT": "Interrompu.",
    "RICH_HELP": "Aide : [blue]{command_path} {help_option}[/]",
}
"""What Typer itself writes around the help and around errors; the sentence of a wrong option stays in its English."""


def panels_into_french() -> None:
    """The words around every command's help."""
    for name, text in PANELS.items():
        setattr(rich_utils, name, text)


def into_french(command: Any) -> None:
    """The help of a command, of its options, and of the commands under it."""
    if command.help:
        command.help = help_said(command.help)
    command.rich_help_panel = "Commandes"
    asked = command.get_help_option(typer.Context(command))
    for one in (*command.params, asked):
        if getattr(one, "help", None):
            one.help = help_said(one.help)
    for under in getattr(command, "commands", {}).values():
        into_french(under)
