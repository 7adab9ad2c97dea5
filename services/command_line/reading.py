"""bounced, claims, case, summary: what the tables say, for people and for programs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from events.times import instant
from projections.announcing import severity
from projections.findings import department_of, findings
from projections.patient import PatientFile
from projections.rows import Row, case_row, claim_row, finding_row, patient_row, stamp
from projections.saying import reason_rows
from projections.words import CLOCKS, LADDER, LEVELS, arrows
from services import reading
from services.command_line.facts import progress
from services.command_line.showing import (
    AsJson,
    Exit,
    Home,
    Problem,
    Tenant,
    fail,
    here,
    out,
    plainly,
    print_json,
    print_table,
    run,
)  # fmt: skip
from services.files import case_told, claim_told, files_at, files_of
from services.tables import connected

AsOf = Annotated[str | None, typer.Option("--as-of", help="As it was known at this instant.")]
OccurredBy = Annotated[str | None, typer.Option("--occurred-by", help="As it stood at this instant, known today.")]
Language = Annotated[str, typer.Option("--lang", help="en or fr.")]
MOST_ROWS = 200


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(bounced))
    app.command()(plainly(claims))
    app.command()(plainly(case))
    app.command()(plainly(claim))
    app.command()(plainly(summary))
    app.command()(plainly(calendar))


def chosen(lang: str) -> int:
    """0 for English, 1 for French."""
    if lang not in ("en", "fr"):
        fail(f"--lang must be en or fr, not {lang!r}", Exit.USAGE)
    return ("en", "fr").index(lang)


def reasons_of(row: Any, lang: str) -> str:
    """The reasons of a finding's row, in one language."""
    return "; ".join(reason[f"text_{lang}"] for reason in row["reasons"])


def bounced(
    home: Home = None,
    tenant: Tenant = None,
    min_level: Annotated[str, typer.Option("--min-level", help="B1, B2, B3 or B4.")] = "B2",
    lang: Language = "en",
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Who is sent from department to department, worst first.

    Example: parcours bounced --min-level B3
    """
    if min_level not in LEVELS:
        fail(f"--min-level must be one of {', '.join(LEVELS)}, not {min_level!r}", Exit.USAGE)
    chosen(lang)
    _, found = here(home)
    if as_of is not None or occurred_by is not None:
        then = _then(found, tenant, as_of, occurred_by)
        cases = [row for row in then.cases if (row["level"] or "") >= min_level]
        if as_json:
            print_json({"cases": cases, "patients": then.bounced_patients})
        else:
            show_bounced(cases, then.bounced_patients, lang)
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
    lang: Language = "en",
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
    _, found = here(home)
    if as_of is not None or occurred_by is not None:
        if within is not None:
            fail("--due-within looks ahead from now: it does not go with --as-of or --occurred-by", Exit.USAGE)
        rows = [row for row in _then(found, tenant, as_of, occurred_by).claims if row["unanswered"] or not overdue]
        if as_json:
            print_json(rows)
        else:
            show_claims(rows, lang, overdue=overdue)
        return
    if within is not None:
        show_owed(run(_owed(str(found["postgres"]), tenant, within)), language, as_json=as_json)
        return

    async def read() -> list[Row]:
        async with connected(str(found["postgres"]), "claims") as connection:
            return await reading.claims(connection, tenant, overdue=overdue)

    listed = run(read())
    if as_json:
        print_json(listed)
        return
    show_claims(listed, lang, overdue=overdue)


def duration(text: str) -> timedelta:
    """A stretch of time as people type it: 2d, 36h."""
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in ("d", "h"):
        fail(f"--due-within must be a number of days or hours, as in 2d or 36h, not {text!r}", Exit.USAGE)
    return timedelta(days=int(number)) if unit == "d" else timedelta(hours=int(number))


async def _owed(url: str, tenant: str | None, within: timedelta | None) -> list[Row]:
    async with connected(url, "owed") as connection:
        return await reading.owed(connection, tenant, within)


def show_owed(rows: list[Row], language: int, *, as_json: bool) -> None:
    """What is owed soon, by what the patient has endured."""
    if as_json:
        print_json(rows)
        return
    heads = (
        ("step", "patient", "claim", "owed", "due", "used", "chases", "department"),
        ("échelon", "patient", "réclamation", "dû", "échéance", "utilisé", "relances", "service"),
    )[language]
    told = [
        (r["ladder"], r["patient"], r["claim"], CLOCKS[r["clock"]][language], r["due_at"][:16].replace("T", " "), f"{r['used']:.0%}",
         r["chases"], r["department"])
        for r in rows[:MOST_ROWS]
    ]  # fmt: skip
    print_table(("Due soon", "Bientôt dû")[language], heads, told)
    _more(len(rows), language)


def calendar(
    to: Annotated[Path, typer.Option("-o", "--output", help="The iCalendar file to write.")],
    home: Home = None,
    tenant: Tenant = None,
    lang: Language = "en",
) -> None:
    """Write an iCalendar file of everything that is due, for any calendar program.

    Example: parcours calendar -o due.ics --lang fr
    """
    language = chosen(lang)
    _, found = here(home)
    rows = run(_owed(str(found["postgres"]), tenant, None))
    to.write_bytes(calendar_of(rows, language))
    out.print(f"{to}: {len(rows)}", markup=False)


def calendar_of(rows: list[Row], language: int) -> bytes:
    """The open clocks as calendar entries: pseudonyms and deadlines, nothing a patient said."""
    from icalendar import Calendar, Event

    found = Calendar()
    found.add("prodid", "-//Parcours//due//EN")
    found.add("version", "2.0")
    for row in rows:
        event = Event()
        due = datetime.fromisoformat(row["due_at"])
        event.add("uid", f"{row['tenant']}:{row['patient']}:{row['claim']}:{row['clock']}:{row['instance']}@parcours")
        event.add("dtstamp", datetime.fromisoformat(row["t0"]))
        event.add("dtstart", due)
        event.add("summary", f"{CLOCKS[row['clock']][language]} · {row['claim']} · {row['patient']}")
        event.add("description", f"{row['ladder']} {LADDER[row['ladder']][language]}")
        found.add_component(event)
    return bytes(found.to_ical())


def show_claims(listed: list[Row], lang: str, *, overdue: bool) -> None:
    """Claims for people."""
    language = chosen(lang)
    stories = [
        (
            row["ladder"],
            f"{row['patient']}\n{row['claim']}",
            "\n".join(
                [
                    LADDER[row["ladder"]][language],
                    *_why(row, lang),
                    (f"answer due {(row['due_at'] or '')[:10]}", f"réponse due le {(row['due_at'] or '')[:10]}")[
                        language
                    ]
                    + (f" · {row['department']}" if row["department"] else ""),
                ]
            ),
        )
        for row in listed[:MOST_ROWS]
    ]
    title = (("Claims", "Réclamations"), ("Unanswered claims", "Réclamations sans réponse"))[overdue][language]
    print_stories(title, stories, language)
    _more(len(listed), language)


def summary(
    home: Home = None,
    tenant: Tenant = None,
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    *,
    as_json: AsJson = False,
) -> None:
    """The figures: cases, handoffs, returns, levels, claims.

    Example: parcours summary --json
    """
    _, found = here(home)

    async def read() -> Row:
        async with connected(str(found["postgres"]), "summary") as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await reading.summary(connection, tenant)

    then = None if as_of is None and occurred_by is None else _then(found, tenant, as_of, occurred_by)
    told = run(read()) if then is None else summary_of(then, tenant)
    if as_json:
        print_json(told)
        return
    rows = [(name, value) for name, value in told.items() if not isinstance(value, dict)]
    rows += [(f"level {name}", value) for name, value in told["levels"].items()]
    rows += [(f"claims {name}", value) for name, value in told["claims"].items()]
    print_table("Summary", ("", ""), rows)


def case(
    name: Annotated[str, typer.Argument(metavar="ID", help="The case.")],
    home: Home = None,
    tenant: Tenant = None,
    patient: Annotated[
        str | None, typer.Option("--patient", help="Whose case, where two patients share the id.")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As it was known at this instant.")] = None,
    occurred_by: Annotated[
        str | None, typer.Option("--occurred-by", help="As it stood at this instant, known today.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """One case: its path, visits, clocks, findings and timeline.

    Example: parcours case c-12 --as-of 2026-03-03T00:00:00Z
    """
    _, found = here(home)
    at, by = _instant("--as-of", as_of), _instant("--occurred-by", occurred_by)

    async def read() -> list[Row]:
        async with connected(str(found["postgres"]), "case") as connection:
            rows = await reading.patients_with_case(connection, tenant, patient, name)
            files = [file for row in rows for file in await files_of(connection, row["tenant"], row["patient"], at, by)]
        return [case_told(file, name) for file in files if name in file.cases]

    told = run(read())
    if not told:
        raise Problem(
            f"no case {name!r}"
            + (f" of patient {patient!r}" if patient else "")
            + (f" was known at {as_of}" if as_of else "")
        )
    if as_json:
        print_json(told)
        return
    for one in told:
        show_case(one)


@dataclass(slots=True)
class Then:
    """What every table would have shown at an instant."""

    at: datetime
    facts: int = 0
    cases: list[Row] = field(default_factory=list)
    bounced_patients: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    patients: list[Row] = field(default_factory=list)
    answered_late: int = 0
    answered_in_time: int = 0


def _then(found: dict[str, Any], tenant: str | None, as_of: str | None, occurred_by: str | None) -> Then:
    """Everything at an instant, streamed over the timeline with a bar."""
    known, stood = _instant("--as-of", as_of), _instant("--occurred-by", occurred_by)

    async def read() -> Then:
        then = Then(stood or known or datetime.now(UTC))
        async with connected(str(found["postgres"]), "as-of") as connection:
            total = await connection.fetchval(
                "select count(*) from parcours.timeline where $1::text is null or tenant = $1", tenant
            )
            with progress() as bar:
                task = bar.add_task("folding", total=total, rate="")
                async for file, read_facts in files_at(connection, tenant, known, stood):
                    note(then, file)
                    bar.update(task, advance=read_facts, rate=f"{bar.tasks[task].speed or 0:,.0f}/s")
        worst = {level: n for n, level in enumerate(["B4", "B3", "B2", "B1", None])}
        then.cases.sort(key=lambda row: (worst[row["level"]], row["opened_at"] or "", row["case"], row["patient"]))
        then.claims.sort(key=lambda row: (row["t0"], row["claim"]))
        then.claims.sort(key=lambda row: row["ladder"], reverse=True)
        return then

    return run(read())


def note(then: Then, file: PatientFile) -> None:
    """Add a person's file to what was at an instant."""
    if not file.facts:
        return
    then.facts += len(file.facts)
    then.patients.append(patient_row(file))
    by_case = {one.case: one for one in findings(file) if one.kind == "bounced_case"}
    for case in file.cases.values():
        one = by_case.get(case.id)
        then.cases.append(
            case_row(file, case) | {
                "finding": one.id if one else None, "open": bool(one and one.is_open),
                "opened_at": stamp(one.opened_at) if one else None, "reasons": reason_rows(file, one) if one else [],
            }
        )  # fmt: skip
    then.bounced_patients += [
        finding_row(file, one) | {"reasons": reason_rows(file, one)}
        for one in findings(file) if one.kind == "bounced_patient"
    ]  # fmt: skip
    told = {one.claim: one for one in findings(file) if one.kind == "unanswered_claim"}
    for claim in file.claims.values():
        if not claim.has_begun:
            continue
        if claim.is_over:
            answer = claim.current["answer"].state
            then.answered_late += answer == "met_late"
            then.answered_in_time += answer == "met"
            continue
        one = told.get(claim.id)
        then.claims.append(
            claim_row(file, claim, then.at) | {
                "due_at": stamp(claim.current["answer"].due_at), "department": department_of(file, claim),
                "reasons": reason_rows(file, one) if one else [],
            }
        )  # fmt: skip


def summary_of(then: Then, tenant: str | None) -> Row:
    """The figures at an instant, as `summary` gives those of now."""
    cases = then.cases
    return {
        "tenant": tenant, "watermark": stamp(then.at), "events": then.facts, "cases": len(cases),
        **{name: sum(row[name] for row in cases) for name in ("handoffs", "hops", "returns", "direct_returns")},
        "cases_with_returns": sum(row["returns"] >= 1 for row in cases),
        "cases_with_2_returns": sum(row["returns"] >= 2 for row in cases),
        "cases_with_3_returns": sum(row["returns"] >= 3 for row in cases),
        "cases_with_aba": sum(row["direct_returns"] >= 1 for row in cases),
        "cases_with_abab": sum(row["alternation"] >= 4 for row in cases),
        "cases_with_3_hops": sum(row["hops"] >= 3 for row in cases),
        "cases_without_department": sum(not row["path"] for row in cases),
        "max_hops": max((row["hops"] for row in cases), default=0),
        "levels": {f"B{n}": sum(row["level"] == f"B{n}" for row in cases) for n in range(1, 5)},
        "bounced_cases": sum(row["bounced"] for row in cases), "bounced_patients": sum(row["bounced"] for row in then.patients),
        "claims": {
            "open": len(then.claims), "overdue": sum(row["unanswered"] for row in then.claims),
            "answered_in_time": then.answered_in_time, "answered_late": then.answered_late,
        },
    }  # fmt: skip


def _instant(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else instant(text)
    except ValueError as wrong:
        fail(f"{option} {wrong}", Exit.USAGE)


def show_case(one: Row) -> None:
    """A case for people."""
    print_table(
        f"Case {one['case']} of patient {one['patient']} ({one['tenant']})",
        ("", ""),
        [
            ("path", arrows(one["path"])),
            ("level", f"{one['level']} {LEVELS[one['level']][0]}" if one["level"] else "–"),
            (
                "measures",
                f"hops {one['hops']}, returns {one['returns']}, sterile {one['sterile']}, carried {one['carried']}",
            ),
            ("state", one["state"]),
            ("now in", one["department"]),
            ("last substantive answer", one["substantive_answer_at"] or "none"),
        ],
    )
    print_table(
        "Visits",
        ("department", "since", "planned"),
        [(v["department"], v["since"], v["planned"]) for v in one["visits"]],
    )
    clocks = [
        (k["claim"], CLOCKS[c["clock"]][0], c["instance"], c["state"], c["due_at"], c["met_at"])
        for k in one["claims"]
        for c in k["clocks"]
    ]
    if clocks:
        print_table("Clocks", ("claim", "clock", "nr", "state", "due", "met"), clocks)
    if one["findings"]:
        rows = [
            (f["kind"], f["level"], severity(f["kind"], f["level"]), f["open"], f["opened_at"]) for f in one["findings"]
        ]
        print_table("Findings", ("kind", "level", "severity", "open", "opened"), rows)
    print_table(
        "Timeline",
        ("occurred", "type", "department"),
        [(t["occurred_at"], t["type"], t["department"]) for t in one["timeline"]],
    )


def claim(
    name: Annotated[str, typer.Argument(metavar="ID", help="The claim.")],
    home: Home = None,
    tenant: Tenant = None,
    patient: Annotated[
        str | None, typer.Option("--patient", help="Whose claim, where two patients share the id.")
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As it was known at this instant.")] = None,
    occurred_by: Annotated[
        str | None, typer.Option("--occurred-by", help="As it stood at this instant, known today.")
    ] = None,
    lang: Language = "en",
    *,
    as_json: AsJson = False,
) -> None:
    """One claim: its clocks, and why each stands where it stands.

    Example: parcours claim k-7 --lang fr
    """
    language = chosen(lang)
    _, found = here(home)
    at, by = _instant("--as-of", as_of), _instant("--occurred-by", occurred_by)

    async def read() -> list[tuple[PatientFile, Row]]:
        async with connected(str(found["postgres"]), "claim") as connection:
            rows = await reading.patients_with_claim(connection, tenant, patient, name)
            files = [file for row in rows for file in await files_of(connection, row["tenant"], row["patient"], at, by)]
        return [(file, claim_told(file, name)) for file in files if name in file.claims and file.claims[name].has_begun]

    told = run(read())
    if not told:
        raise Problem(
            f"no claim {name!r}"
            + (f" of patient {patient!r}" if patient else "")
            + (f" was known at {as_of}" if as_of else "")
        )
    if as_json:
        print_json([row for _, row in told])
        return
    for _, one in told:
        show_claim(one, lang, language)


def show_claim(one: Row, lang: str, language: int) -> None:
    """A claim for people."""
    heads = (("clock", "nr", "state", "started", "due", "met"), ("délai", "n°", "état", "départ", "échéance", "fait"))[
        language
    ]
    rows = [
        (CLOCKS[c["clock"]][language], c["instance"], c["state"], c["started_at"], c["due_at"], c["met_at"])
        for c in one["clocks"]
    ]
    step = LADDER[one["ladder"]][language]
    title = (
        f"Claim {one['claim']} of patient {one['patient']}",
        f"Réclamation {one['claim']} du patient {one['patient']}",
    )[language]
    print_table(f"{title}: {one['ladder']} {step}", heads, rows)
    days = one["elapsed"]
    out.print(
        (f"{days['calendar_days']} calendar days, {days['working_days']} working days.",
         f"{days['calendar_days']} jours calendaires, {days['working_days']} jours ouvrés.")[language]
    )  # fmt: skip
    for line in one["explanation"]:
        out.print(
            f"· {line[f'text_{lang}']}" + (f"  [{line['fact']}]" if line["fact"] else ""), markup=False, highlight=False
        )
