"""The command line speaks French where the session does."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.console import Console

from services.command_line import processes, showing
from services.command_line.french import help_said, into_french, sentence_said
from services.command_line.french_words import WORDS
from services.command_line.main import app
from services.command_line.showing import session_language

NO_SESSION = {"PARCOURS_LANG": "", "LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}


def texts(command: Any) -> list[str]:
    """Every text of a command's help, and of those under it."""
    found = [command.help, *(getattr(one, "help", None) for one in command.params)]
    under = [text for one in getattr(command, "commands", {}).values() for text in texts(one)]
    return [text for text in found if text] + under


def spoken(*arguments: str, **session: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.command_line.main", *arguments],
        env=os.environ | NO_SESSION | {"TERM": "dumb", "COLUMNS": "200"} | session,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("session", "language"),
    [
        ({"LANG": "fr_CA.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "PARCOURS_LANG": "fr"}, "fr"),
        ({}, "en"),
    ],
)
def test_the_session_says_which_language(
    session: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (NO_SESSION | session).items():
        monkeypatch.setenv(name, value)

    assert session_language() == language


def test_every_text_of_the_help_is_there_in_french_and_none_is_left_over() -> None:
    command = typer.main.get_command(app)
    english = texts(command)

    into_french(command)

    assert texts(command) == [help_said(text) for text in english]
    assert set(WORDS) <= {text.partition("\n\nExample: ")[0] for text in english}


def test_what_nobody_has_put_into_french_is_an_error() -> None:
    with pytest.raises(KeyError):
        help_said("Nobody has said this.")


def test_a_command_speaks_as_its_session_does() -> None:
    french, english = spoken("status", "--home", "/nowhere", LANG="fr_FR.UTF-8"), spoken("status", "--home", "/nowhere")

    assert (french.returncode, english.returncode) == (3, 3)
    assert french.stderr == "Parcours ne tourne pas dans /nowhere. Pour démarrer : parcours up --home /nowhere\n"
    assert english.stderr == "Parcours is not running in /nowhere. Start it with: parcours up --home /nowhere\n"


def test_the_doctor_and_the_help_speak_french() -> None:
    looked, told = spoken("doctor", "--home", "/nowhere", "--lang", "fr"), spoken("token", "--help", PARCOURS_LANG="fr")

    assert "rien ne tourne dans /nowhere : parcours up" in looked.stdout
    assert "Ne plus laisser entrer un jeton (dans les cinq secondes)." in told.stdout
    assert "Commandes" in told.stdout


def test_what_surrounds_the_help_and_an_error_is_in_the_language_of_the_session() -> None:
    helped, wrong = spoken("case", "--help", PARCOURS_LANG="fr"), spoken("case", PARCOURS_LANG="fr")
    english = spoken("case", "--help")

    assert "[obligatoire]" in helped.stdout
    assert "[par défaut : fr]" in helped.stdout
    assert "Erreur" in wrong.stderr
    assert "Aide : " in wrong.stderr
    assert wrong.returncode == 2
    assert "[required]" in english.stdout
    assert "[default: en]" in english.stdout


@pytest.mark.parametrize(
    ("arguments", "french"),
    [
        ("alerts show", "Il manque l'argument 'ID'."),
        ("report x.csv", "Il manque l'option '-o' / '--output'."),
        ("up --prot 1", "Option inconnue : --prot (options proches : --port, --projectors)"),
        ("up --zzz", "Option inconnue : --zzz"),
        ("upp", "Commande inconnue : 'upp'. Vouliez-vous dire 'up' ?"),
        ("zzz", "Commande inconnue : 'zzz'."),
        ("claims x y", "Arguments en trop : x y"),
        ("up --port abc", "'--port' : doit être un nombre entier"),
        ("up --projectors 0", "'--projectors' : doit valoir 1 au moins"),
        ("up --projectors 99", "'--projectors' : doit valoir 64 au plus"),
        ("up --policy", "L'option '--policy' attend une valeur."),
        ("up --no-clock=3", "L'option '--no-clock' n'attend pas de valeur."),
    ],
)
def test_a_command_that_cannot_be_understood_is_told_so_in_french(arguments: str, french: str) -> None:
    command = typer.main.get_command(app)

    with pytest.raises(Exception) as wrong:  # noqa: PT011 - Typer's own kinds are not public
        command.main(arguments.split(), standalone_mode=False)
    assert sentence_said(wrong.value.format_message()) == french  # type: ignore[attr-defined]


def test_what_is_long_is_folded_and_what_is_to_be_copied_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    way = " → ".join(["admissions", "billing"] * 12)
    name = "bounced_case:" + "p" * 40 + ":c-1:1"

    showing.print_table("A case", ("", ""), [("path", way)])
    showing.print_table("Alerts", ("what", "alert"), [(way, name)], whole="alert")

    case, _, alerts = capsys.readouterr().out.partition("Alerts")
    assert case.count("admissions") == 12
    assert name in alerts


def test_a_table_too_wide_for_its_words_is_shown_cell_below_cell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, row = [f"column{n}" for n in range(12)], [f"characters-{n}" for n in range(10)]
    monkeypatch.setattr(showing, "out", Console(width=80))
    showing.print_table("Wide", heads, [[*row, None, "[/b] of a department"]])
    shown = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip()]

    assert [one[0] for one in shown] == ["Wide", *heads[:10], "column11"]  # what says nothing is left out
    assert [one[1].strip() for one in shown[1:]] == [*row, "[/b] of a department"]

    showing.print_table("Narrow", heads[:3], [["a", "b", "[/b]"]])
    assert "[/b]" in next(line for line in capsys.readouterr().out.splitlines() if " b " in line)


def test_every_command_takes_a_language_and_its_help_and_its_errors_speak_it() -> None:
    def commands(one: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
        under = getattr(one, "commands", {})
        for name, command in under.items():
            yield from commands(command, (*path, name))
        if not under:
            yield path, one

    every = list(commands(typer.main.get_command(app)))
    assert len(every) > 50
    assert [path for path, one in every if not any("--lang" in option.opts for option in one.params)] == []
    assert "Jours fériés" not in spoken("jurisdictions").stdout
    assert "jours fériés" in spoken("jurisdictions", "--lang", "fr").stdout
    assert "Exemple :" in spoken("export", "--help", "--lang=fr").stdout
    assert "Option inconnue" in spoken("export", "--lang", "fr", "--nope").stderr
    assert "No such option" in spoken("export", "--lang", "en", "--nope", LANG="fr_FR.UTF-8").stderr


def test_what_ends_a_service_is_a_sentence_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def ends() -> None:
        raise RuntimeError("another generation is in use")

    async def works() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ends())

    with pytest.raises(typer.Exit):
        processes._run(works())

    assert capsys.readouterr().err == "another generation is in use\n"
