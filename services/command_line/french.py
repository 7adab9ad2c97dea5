"""The help of every command in French: what `--help` says where PARCOURS_LANG, or the session's locale, is French."""

import re
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
"""What Typer itself writes around the help and around errors."""

SENTENCES = tuple(
    (re.compile(english, re.DOTALL), french)
    for english, french in (
        (r"Missing (?:argument|parameter) (.+)\.", r"Il manque l'argument \1."),
        (r"Missing option (.+)\.", r"Il manque l'option \1."),
        (r"Missing command\.", r"Il manque une commande."),
        (r"No such option: (.+) \(Possible options: (.+)\)", r"Option inconnue : \1 (options proches : \2)"),
        (r"No such option: (.+)", r"Option inconnue : \1"),
        (r"No such command (.+)\. Did you mean (.+)\?", r"Commande inconnue : \1. Vouliez-vous dire \2 ?"),
        (r"No such command (.+)\.", r"Commande inconnue : \1."),
        (r"Got unexpected extra argument\(s\) \((.+)\)", r"Arguments en trop : \1"),
        (r"Option (.+) requires an argument\.", r"L'option \1 attend une valeur."),
        (r"Option (.+) does not take a value\.", r"L'option \1 n'attend pas de valeur."),
        (r"Invalid value for (.+?): (.+)", r"\1 : \2"),
    )
)
"""What Typer says of a command that cannot be understood."""
VALUES = (
    (re.compile(r"Input should be a valid integer.*"), r"doit être un nombre entier"),
    (re.compile(r"Input should be a valid number.*"), r"doit être un nombre"),
    (re.compile(r"Input should be greater than or equal to (.+)"), r"doit valoir \1 au moins"),
    (re.compile(r"Input should be less than or equal to (.+)"), r"doit valoir \1 au plus"),
    (re.compile(r"(?:File|Directory|Path) (.+) does not exist\."), r"\1 n'existe pas."),
)
"""What it says of a value: behind what the value is for."""


def sentence_said(english: str) -> str:
    """A sentence of Typer's in French; as it is where nobody has put it into French."""
    for pattern, french in SENTENCES:
        if found := pattern.fullmatch(english):
            said = found.expand(french)
            for value, in_french in VALUES:
                said = value.sub(in_french, said)
            return said
    return english


def panels_into_french() -> None:
    """The words around every command's help, and what is said of a wrong one."""
    for name, text in PANELS.items():
        setattr(rich_utils, name, text)
    honest = rich_utils.rich_format_error

    def told(wrong: Any) -> None:
        sentence = sentence_said(wrong.format_message())
        wrong.format_message = lambda: sentence
        honest(wrong)

    rich_utils.rich_format_error = told  # type: ignore[assignment]


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
