"""summary, case, claim: one thing in full, for people and for programs."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from projections.announcing import severity
from projections.patient import PatientFile
from projections.rows import Row
from projections.words import CLOCKS, LADDER, LEVELS, TITLES, arrows
from services import reading
from services.command_line.past import AsOf, OccurredBy, at_instant, everything_at, summary_of
from services.command_line.showing import (
    SPOKEN,
    AsJson,
    Home,
    Lang,
    Problem,
    Tenant,
    chosen,
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
from services.console.texts import fact_said, number, state_said
from services.files import case_told, claim_told, files_of, way
from services.tables import connected

RowsOf = Callable[..., Awaitable[list[Any]]]
Patient = Annotated[str | None, typer.Option("--patient", help="Whose, where two patients share the id.")]
VISIT = (("department", "since", "planned"), ("service", "depuis", "prévu"))
CLOCK = (
    ("claim", "clock", "nr", "state", "due", "met"), ("réclamation", "délai", "n°", "état", "échéance", "fait"),
)  # fmt: skip
FINDING = (
    ("finding", "level", "severity", "open", "opened"), ("constat", "niveau", "gravité", "ouvert", "ouvert le"),
)  # fmt: skip
FACT = (("occurred", "what happened", "department"), ("survenu", "quoi", "service"))
NO_YES = (("no", "non"), ("yes", "oui"))
SEVERITIES = {
    "low": ("low", "faible"),
    "medium": ("medium", "moyenne"),
    "high": ("high", "haute"),
    "critical": ("critical", "critique"),
}
FIGURES = {
    "tenant": ("establishment", "établissement"),
    "watermark": ("known up to", "connu jusqu'au"),
    "events": ("facts", "faits"),
    "cases": ("cases", "dossiers"),
    "handoffs": ("handoffs", "passages de service en service"),
    "hops": ("unplanned moves", "passages non prévus"),
    "returns": ("returns", "retours"),
    "direct_returns": ("direct returns", "retours directs"),
    "cases_with_returns": ("cases with a return", "dossiers avec un retour"),
    "cases_with_2_returns": ("cases with 2 returns or more", "dossiers avec 2 retours ou plus"),
    "cases_with_3_returns": ("cases with 3 returns or more", "dossiers avec 3 retours ou plus"),
    "cases_with_aba": ("cases that went A → B → A", "dossiers passés par A → B → A"),
    "cases_with_abab": ("cases that went A → B → A → B", "dossiers passés par A → B → A → B"),
    "cases_with_3_hops": ("cases with 3 unplanned moves or more", "dossiers avec 3 passages non prévus ou plus"),
    "cases_without_department": ("cases without a department", "dossiers sans service"),
    "max_hops": ("most unplanned moves of a case", "passages non prévus d'un dossier, au plus"),
    "bounced_cases": ("bounced cases", "dossiers ballottés"),
    "bounced_patients": ("bounced patients", "patients ballottés"),
}
CLAIMS = {
    "open": ("open claims", "réclamations ouvertes"),
    "overdue": ("unanswered claims", "réclamations sans réponse"),
    "answered_in_time": ("claims answered in time", "réclamations répondues à temps"),
    "answered_late": ("claims answered late", "réclamations répondues en retard"),
    "withdrawn": ("withdrawn claims", "réclamations retirées"),
}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(case))
    app.command()(plainly(claim))
    app.command()(plainly(summary))


def summary(
    home: Home = None,
    tenant: Tenant = None,
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    lang: Lang = SPOKEN,
    *,
    as_json: AsJson = False,
) -> None:
    """The figures: cases, handoffs, returns, levels, claims.

    Example: parcours summary --lang fr
    """
    language = chosen(lang)
    _, found = here(home, tenant)

    async def read() -> Row:
        async with connected(str(found["postgres"]), "summary") as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await reading.summary(connection, tenant)

    past = None if as_of is None and occurred_by is None else everything_at(found, tenant, as_of, occurred_by)
    told = run(read()) if past is None else summary_of(past, tenant)
    if as_json:
        print_json(told)
        return
    told = told | {
        "tenant": told["tenant"] or ("all", "tous")[language],
        "watermark": times_of(found, language).moment(told["watermark"]),
    }
    rows = [(FIGURES[name][language], value) for name, value in told.items() if not isinstance(value, dict)]
    rows += [(f"{name} {LEVELS[name][language]}", value) for name, value in told["levels"].items()]
    rows += [(CLAIMS[name][language], value) for name, value in told["claims"].items()]
    print_table(("Summary", "En chiffres")[language], ("", ""), rows)


def _files(
    found: dict[str, Any], rows_of: RowsOf, whose: tuple[str | None, str | None, str], as_of: str | None, occurred_by: str | None
) -> list[PatientFile]:  # fmt: skip
    """The files of the patients who have a case or a claim of that name, as they were or are."""
    at, by = at_instant("--as-of", as_of), at_instant("--occurred-by", occurred_by)

    async def read() -> list[PatientFile]:
        async with connected(str(found["postgres"]), "details") as connection:
            rows = await rows_of(connection, *whose)
            return [file for row in rows for file in await files_of(connection, row["tenant"], row["patient"], at, by)]

    return run(read())


def _unknown(en: str, fr: str, name: str, patient: str | None, as_of: str | None) -> Problem:
    of, then = (f" of patient {patient!r}" if patient else ""), (f" was known at {as_of}" if as_of else "")
    du, alors = (f" du patient {patient!r}" if patient else ""), (f" n'était connu à {as_of}" if as_of else "")
    return Problem(said(f"no {en} {name!r}{of}{then}", f"{fr} {name!r}{du}{alors}"))


def case(
    name: Annotated[str, typer.Argument(metavar="ID", help="The case.")],
    home: Home = None,
    tenant: Tenant = None,
    patient: Patient = None,
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    lang: Lang = SPOKEN,
    *,
    as_json: AsJson = False,
) -> None:
    """One case: its path, visits, clocks, findings and timeline.

    Example: parcours case c-12 --as-of 2026-03-03T00:00:00Z
    """
    language = chosen(lang)
    _, found = here(home, tenant)
    files = _files(found, reading.patients_with_case, (tenant, patient, name), as_of, occurred_by)
    told = [case_told(file, name) for file in files if name in file.cases]
    if not told:
        raise _unknown("case", "aucun dossier", name, patient, as_of)
    if as_json:
        print_json(told)
        return
    times = times_of(found, language)
    for one in told:
        show_case(one, language, times)


def show_case(one: Row, language: int, times: View) -> None:
    """A case for people."""
    title = f"Case {one['case']} of patient {one['patient']}", f"Dossier {one['case']} du patient {one['patient']}"
    names = (
        ("path", "level", "unplanned moves", "returns", "visits in which nothing was achieved", "cold redirects", "state",
         "now in", "last substantive answer"),
        ("parcours", "niveau", "passages non prévus", "retours", "passages stériles", "renvois à froid", "état",
         "service actuel", "dernière réponse circonstanciée"),
    )[language]  # fmt: skip
    state = (("closed", "clos"), ("open", "ouvert"))[one["state"] == "open"][language]
    told = (
        arrows(one["path"]), f"{one['level']} {LEVELS[one['level']][language]}" if one["level"] else "–", one["hops"],
        one["returns"], one["sterile"], one["carried"], state, one["department"], times.moment(one["substantive_answer_at"]),
    )  # fmt: skip
    print_table(f"{title[language]} ({one['tenant']})", ("", ""), list(zip(names, told, strict=True)))
    visits = [(v["department"], times.moment(v["since"]), NO_YES[bool(v["planned"])][language]) for v in one["visits"]]
    print_table(("Visits", "Visites")[language], VISIT[language], visits)
    clocks = [
        (k["claim"], CLOCKS[c["clock"]][language], c["instance"], state_said(times.language, c["state"]),
         times.deadline(c["due_at"], k["jurisdiction"]), times.moment(c["met_at"]))
        for k in one["claims"] for c in k["clocks"]
    ]  # fmt: skip
    if clocks:
        print_table(("Clocks", "Délais")[language], CLOCK[language], clocks)
    if one["findings"]:
        rows = [
            (TITLES[f["kind"]][language], CLOCKS.get(f["level"], (f["level"],) * 2)[language],
             SEVERITIES[severity(f["kind"], f["level"])][language], NO_YES[bool(f["open"])][language], times.moment(f["opened_at"]))
            for f in one["findings"]
        ]  # fmt: skip
        print_table(("Findings", "Constats")[language], FINDING[language], rows)
    timeline = [
        (times.moment(t["occurred_at"]), fact_said(times.language, t["type"]), way(t["department"], t["to_department"]))
        for t in one["timeline"]
    ]
    print_table(("Timeline", "Chronologie")[language], FACT[language], timeline)


def claim(
    name: Annotated[str, typer.Argument(metavar="ID", help="The claim.")],
    home: Home = None,
    tenant: Tenant = None,
    patient: Patient = None,
    as_of: AsOf = None,
    occurred_by: OccurredBy = None,
    lang: Lang = SPOKEN,
    *,
    as_json: AsJson = False,
) -> None:
    """One claim: its clocks, and why each stands where it stands.

    Example: parcours claim k-7 --lang fr
    """
    language = chosen(lang)
    _, found = here(home, tenant)
    files = _files(found, reading.patients_with_claim, (tenant, patient, name), as_of, occurred_by)
    told = [claim_told(file, name) for file in files if name in file.claims and file.claims[name].has_begun]
    if not told:
        raise _unknown("claim", "aucune réclamation", name, patient, as_of)
    if as_json:
        print_json(told)
        return
    times = times_of(found, language)
    for one in told:
        show_claim(one, language, times)


def show_claim(one: Row, language: int, times: View) -> None:
    """A claim for people."""
    heads = (
        ("clock", "nr", "state", "started", "due", "met"), ("délai", "n°", "état", "départ", "échéance", "fait"),
    )[language]  # fmt: skip
    rows = [
        (
            CLOCKS[c["clock"]][language],
            c["instance"],
            state_said(times.language, c["state"]),
            times.moment(c["started_at"]),
            times.deadline(c["due_at"], one["jurisdiction"]),
            times.moment(c["met_at"]),
        )
        for c in one["clocks"]
    ]
    step = LADDER[one["ladder"]][language]
    title = (
        f"Claim {one['claim']} of patient {one['patient']}",
        f"Réclamation {one['claim']} du patient {one['patient']}",
    )[language]
    colon = (":", "\N{NO-BREAK SPACE}:")[language]
    print_table(f"{title}{colon} {one['ladder']} {step}", heads, rows)
    days = one["elapsed"]
    out.print(
        (f"{number('en', days['calendar_days'])} calendar days, {days['working_days']} working days since it was made.",
         f"{number('fr', days['calendar_days'])} jours calendaires, {days['working_days']} jours ouvrés depuis son dépôt.")[language]
    )  # fmt: skip
    if one["department"]:
        out.print(
            (f"The answer is owed by {one['department']}.", f"La réponse revient à {one['department']}.")[language], markup=False
        )  # fmt: skip
    for line in one["explanation"]:
        out.print(
            f"· {line[f'text_{times.language}']}" + (f"  [{line['fact']}]" if line["fact"] else ""),
            markup=False,
            highlight=False,
        )
