"""bounced, claims, calendar: what the tables list, for people and for programs."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from projections.rows import Row
from projections.words import CLOCKS, LADDER, LEVELS
from services import reading
from services.command_line.past import AsOf, OccurredBy, everything_at
from services.command_line.showing import (
    SPOKEN,
    AsJson,
    Exit,
    Home,
    Lang,
    Tenant,
    chosen,
    fail,
    fail_for,
    here,
    out,
    plainly,
    print_json,
    print_table,
    run,
    said,
)  # fmt: skip
from services.command_line.times import times_of
from services.console.pages import View
from services.tables import connected

MOST_ROWS = 200


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(bounced))
    app.command()(plainly(claims))
    app.command()(plainly(calendar))


def bounced(
    home: Home = None,
    tenant: Tenant = None,
    min_level: Annotated[str, typer.Option("--min-level", help="B1, B2, B3 or B4.")] = "B2",
    lang: Lang = SPOKEN,
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Who is sent from department to department, worst first.

    Example: parcours bounced --min-level B3
    """
    if min_level not in LEVELS:
        fail_for("--min-level", LEVELS, min_level)
    chosen(lang)
    _, found = here(home, tenant)
    if as_of is not None or occurred_by is not None:
        past = everything_at(found, tenant, as_of, occurred_by)
        cases = [row for row in past.cases if (row["level"] or "") >= min_level]
        if as_json:
            print_json({"cases": cases, "patients": past.bounced_patients})
        else:
            show_bounced(cases, past.bounced_patients, lang)
        return

    async def read() -> tuple[list[Row], list[Row]]:
        async with connected(str(found["postgres"]), "bounced") as connection:
            return await reading.bounced_cases(connection, tenant, min_level), await reading.bounced_patients(
                connection, tenant
            )

    cases, patients = run(read())
    if as_json:
        print_json({"cases": cases, "patients": patients})
        return
    show_bounced(cases, patients, lang)


def show_bounced(cases: list[Row], patients: list[Row], lang: str) -> None:
    """Bounced cases and patients for people."""
    language = chosen(lang)
    stories = [
        (
            f"{row['level']} {LEVELS[row['level']][language]}",
            f"{row['patient']}\n{row['case']}",
            "\n".join([*_why(row, lang), _now_in(row, language)]),
        )
        for row in cases[:MOST_ROWS]
    ]
    print_stories(("Bounced cases", "Dossiers ballottés")[language], stories, language)
    _more(len(cases), language)
    if patients:
        told = [
            (_state(row, language), f"{row['patient']}\n{row['topic']}", "\n".join(_why(row, lang)))
            for row in patients[:MOST_ROWS]
        ]
        print_stories(("Bounced patients without a case", "Patients ballottés sans dossier")[language], told, language)
        _more(len(patients), language)


def _why(row: Row, lang: str) -> list[str]:
    return [f"· {reason[f'text_{lang}']}" for reason in row["reasons"]]


def _state(row: Row, language: int) -> str:
    return (("answered", "répondu"), ("open", "ouvert"))[bool(row["open"])][language]


def _now_in(row: Row, language: int) -> str:
    return (f"now in {row['department']} · {_state(row, 0)}", f"actuellement : {row['department']} · {_state(row, 1)}")[
        language
    ]


def print_stories(title: str, stories: Iterable[tuple[str, str, str]], language: int) -> None:
    """Who, and what happened to them: readable at eighty columns."""
    told = list(stories)
    if not told:
        out.print(f"{title}: none" if language == 0 else f"{title} : rien", markup=False)
        return
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_lines=True, pad_edge=False
    )
    for head, style in zip(
        (("level", "who", "why"), ("niveau", "qui", "pourquoi"))[language], ("bold", "cyan", ""), strict=True
    ):
        table.add_column(head, style=style, overflow="fold", no_wrap=head not in ("why", "pourquoi"))
    for story in told:
        table.add_row(*map(escape, story))
    out.print(table)


def _more(n: int, language: int) -> None:
    if n > MOST_ROWS:
        out.print(
            (f"… and {n - MOST_ROWS} more: --json lists all", f"… et {n - MOST_ROWS} autres : --json les liste tous")[
                language
            ]
        )


def claims(
    home: Home = None,
    tenant: Tenant = None,
    lang: Lang = SPOKEN,
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    *,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only unanswered ones.")] = False,
    due_within: Annotated[
        str | None, typer.Option("--due-within", help="What falls due so soon, as in 2d or 36h: tomorrow's work.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Which answers are owed, the longest endured first.

    Example: parcours claims --overdue
    """
    language = chosen(lang)
    within = None if due_within is None else duration(due_within)
    _, found = here(home, tenant)
    if as_of is not None or occurred_by is not None:
        if within is not None:
            fail(
                said(
                    "--due-within looks ahead from now: it does not go with --as-of or --occurred-by",
                    "--due-within regarde devant, à partir de maintenant : pas avec --as-of ni --occurred-by",
                ),
                Exit.USAGE,
            )
        rows = [
            row for row in everything_at(found, tenant, as_of, occurred_by).claims if row["unanswered"] or not overdue
        ]
        if as_json:
            print_json(rows)
        else:
            show_claims(rows, times_of(found, language), overdue=overdue)
        return
    if within is not None:
        owed = run(_owed(str(found["postgres"]), tenant, within))
        if as_json:
            print_json(owed)
        else:
            show_owed(owed, language, times_of(found, language))
        return

    async def read() -> list[Row]:
        async with connected(str(found["postgres"]), "claims") as connection:
            return await reading.claims(connection, tenant, overdue=overdue)

    listed = run(read())
    if as_json:
        print_json(listed)
        return
    show_claims(listed, times_of(found, language), overdue=overdue)


def duration(text: str) -> timedelta:
    """A stretch of time as people type it: 2d, 36h."""
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in ("d", "h"):
        fail(
            said(
                f"--due-within must be a number of days or hours, as in 2d or 36h, not {text!r}",
                f"--due-within doit être un nombre de jours ou d'heures, comme 2d ou 36h, pas {text!r}",
            ),
            Exit.USAGE,
        )
    return timedelta(days=int(number)) if unit == "d" else timedelta(hours=int(number))


async def _owed(url: str, tenant: str | None, within: timedelta | None) -> list[Row]:
    async with connected(url, "owed") as connection:
        return await reading.owed(connection, tenant, within)


def show_owed(rows: list[Row], language: int, times: View) -> None:
    """What is owed soon, by what the patient has endured."""
    heads = (
        ("step", "patient", "claim", "owed", "due", "used", "chases", "department"),
        ("échelon", "patient", "réclamation", "dû", "échéance", "utilisé", "relances", "service"),
    )[language]
    told = [
        (r["ladder"], r["patient"], r["claim"], CLOCKS[r["clock"]][language], times.deadline(r["due_at"], r["jurisdiction"]),
         f"{r['used']:.0%}", r["chases"], r["department"])
        for r in rows[:MOST_ROWS]
    ]  # fmt: skip
    print_table(("Due soon", "Bientôt dû")[language], heads, told)
    _more(len(rows), language)


def calendar(
    to: Annotated[Path, typer.Option("-o", "--output", help="The iCalendar file to write.")],
    home: Home = None,
    tenant: Tenant = None,
    lang: Lang = SPOKEN,
) -> None:
    """Write an iCalendar file of everything that is due, for any calendar program.

    Example: parcours calendar -o due.ics --lang fr
    """
    language = chosen(lang)
    _, found = here(home, tenant)
    rows = run(_owed(str(found["postgres"]), tenant, None))
    to.write_bytes(calendar_of(rows, times_of(found, language).zones, language))
    n = len(rows)
    deadlines = said(f"deadline{'' if n == 1 else 's'}", f"échéance{'s' if n > 1 else ''}")
    out.print(f"{to}{said(':', ' :')} {n} {deadlines}", markup=False)


def calendar_of(rows: list[Row], zones: Mapping[str, tzinfo], language: int) -> bytes:
    """The open clocks as calendar entries: pseudonyms and deadlines, nothing a patient said. What is due at the end of a day is that
    whole day.
    """
    from icalendar import Calendar, Event

    found = Calendar()
    found.add("prodid", "-//Parcours//due//EN")
    found.add("version", "2.0")
    for row in rows:
        event = Event()
        due = datetime.fromisoformat(row["due_at"]).astimezone(zones.get(row["jurisdiction"], UTC))
        is_end_of_day = due.timetz().replace(tzinfo=None) == time()
        event.add("uid", f"{row['tenant']}:{row['patient']}:{row['claim']}:{row['clock']}:{row['instance']}@parcours")
        event.add("dtstamp", datetime.fromisoformat(row["t0"]))
        event.add("dtstart", (due - timedelta(seconds=1)).date() if is_end_of_day else due.astimezone(UTC))
        event.add("summary", f"{CLOCKS[row['clock']][language]} · {row['claim']} · {row['patient']}")
        event.add("description", f"{row['ladder']} {LADDER[row['ladder']][language]}")
        found.add_component(event)
    return bytes(found.to_ical())


def show_claims(listed: list[Row], times: View, *, overdue: bool) -> None:
    """Claims for people."""
    lang, language = times.language, chosen(times.language)
    stories = [
        (
            row["ladder"],
            f"{row['patient']}\n{row['claim']}",
            "\n".join([LADDER[row["ladder"]][language], *_why(row, lang), _due(row, times)]),
        )
        for row in listed[:MOST_ROWS]
    ]
    title = (("Claims", "Réclamations"), ("Unanswered claims", "Réclamations sans réponse"))[overdue][language]
    print_stories(title, stories, language)
    _more(len(listed), language)


def _due(row: Row, times: View) -> str:
    due = {"en": "answer due", "fr": "réponse due le"}[times.language]
    told = [f"{due} {times.deadline(row['due_at'], row['jurisdiction'])}"] if row["due_at"] else []
    return " · ".join([*told, *([row["department"]] if row["department"] else [])])
