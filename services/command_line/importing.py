"""import: an event log somebody brings."""

from pathlib import Path
from typing import Annotated, cast

import typer

from services.bilingual import spoken
from services.command_line.facts import Wait, policy_here, send
from services.command_line.import_plans import Plan, plan, warn_of_days
from services.command_line.showing import (
    SPOKEN,
    AsJson,
    Exit,
    Home,
    Lang,
    Problem,
    check_tenant,
    err,
    fail,
    fail_for,
    here,
    out,
    plainly,
    print_json,
    run,
    said,
)
from services.command_line.showing import chosen as language_of
from services.importer.files import Format
from services.importer.importing import SAMPLES, Report
from services.importer.mapping import BadMap, read_map
from services.importer.words import counted

FORMATS = ("xes", "csv", "jsonl")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("import")(plainly(import_files))


def import_files(
    files: Annotated[list[Path], typer.Argument(help="XES, CSV or JSONL; gzip is unpacked.")],
    home: Home = None,
    case: Annotated[str | None, typer.Option("--case", help="Column of the case.")] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", help="Column of the patient (default: one of that name, else the case).")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Column of the time.")] = None,
    clock: Annotated[
        str | None, typer.Option("--clock", help="Column of the time of day, where the time's column has only the day.")
    ] = None,
    department: Annotated[str | None, typer.Option("--department", help="Column of the department.")] = None,
    activity: Annotated[str | None, typer.Option("--activity", help="Column of the activity.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Column of who did it.")] = None,
    closing: Annotated[
        str | None, typer.Option("--closing", help="Column of the time at which the case was closed.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="A cell with this value is empty.")] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Zone of times without one, as in Europe/Paris.")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="xes, csv or jsonl (default: detected).")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="A map in TOML, or the shipped receipt.toml.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the facts to this file instead of publishing them.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="The establishment the facts belong to.")] = None,
    *,
    as_lived: Annotated[
        bool, typer.Option("--as-lived", help="Play history as it was lived: recorded when it happened.")
    ] = False,
    wait: Wait = False,
    lang: Lang = SPOKEN,
    as_json: AsJson = False,
) -> None:
    """Turn an event log into facts and publish them; importing twice changes nothing.

    Example: parcours import log.xes.gz --department org:resource --as-lived --wait
    """
    language = language_of(lang)
    if kind is not None and kind not in FORMATS:
        fail_for("--format", FORMATS, kind)
    if tenant is not None:
        check_tenant(tenant)
    named = {
        "case": case,
        "patient": patient,
        "time": time,
        "clock": clock,
        "department": department,
        "activity": activity,
        "actor": actor,
        "closing": closing,
        "zone": zone,
    }
    try:
        chosen = read_map(map_file).model_copy(
            update={name: value for name, value in named.items() if value is not None}
        )
    except BadMap as wrong:
        fail(spoken(wrong.args[0], language), Exit.USAGE)
    chosen = chosen.model_copy(update={"ignore": (*chosen.ignore, *(ignore or ()))})
    plans = [
        plan(file, cast("Format | None", kind), chosen, tenant, as_lived=as_lived, language=language) for file in files
    ]
    if to is not None:
        written = write_facts(to, plans)
        tell(plans, language, as_json=as_json)
        err.print(
            (f"{counted(written, 'fact')} written to {to}.", f"{counted(written, 'fait')} dans {to}.")[language],
            markup=False,
        )
    else:
        _, found = here(home)
        policy = run(policy_here(str(found["postgres"])))[0]
        known = policy.known
        if chosen.claim is not None and chosen.claim.jurisdiction not in (None, *known):
            raise Problem(
                (
                    f"{chosen.claim.jurisdiction!r} is no jurisdiction of the policy in force; there are {', '.join(sorted(known))}",
                    (
                        f"{chosen.claim.jurisdiction!r} n'est pas une juridiction de la politique en vigueur ; il y a"
                        f" {', '.join(sorted(known))}"
                    ),
                )[language]
            )
        for one in plans:
            warn_of_days(one, policy)
        parked = sum(run(send(found, one.lines(), None, wait=wait)).refused for one in plans)
        tell(plans, language, as_json=as_json)
        if parked:
            raise Problem(
                (
                    f"{counted(parked, 'fact')} will be parked, each with its reason: parcours parked list",
                    f"{counted(parked, 'fait')} mis de côté, chacun avec sa raison : parcours parked list",
                )[language]
            )
    if any(one.report.is_mostly_unusable for one in plans):
        raise Problem(("most rows could not be used", "la plupart des lignes n'ont pas pu servir")[language])


def write_facts(to: Path, plans: list[Plan]) -> int:
    """Write the facts of all files; the file appears whole or not at all."""
    n = 0
    if to.is_dir() or not to.parent.is_dir():
        why = (
            said("is a folder", "est un dossier")
            if to.is_dir()
            else said(f"there is no folder {to.parent}", f"il n'y a pas de dossier {to.parent}")
        )
        raise Problem(f"--to {to}: {why}")
    aside = to.with_name(f".{to.name}.part")
    try:
        with aside.open("wb") as file:
            for one in plans:
                for raw in one.lines():
                    file.write(raw + b"\n")
                    n += 1
        aside.replace(to)
    finally:
        aside.unlink(missing_ok=True)
    return n


def tell(plans: list[Plan], language: int = 0, *, as_json: bool) -> None:
    """What was made, what could not be used, what looks wrong."""
    if as_json:
        print_json({str(one.source.path): one.report.as_json() for one in plans})
        return
    for one in plans:
        report, name = one.report, one.source.path.name
        made = (
            f"{name}: {counted(report.rows, 'row')}, {counted(report.facts, 'fact')}.",
            f"{name} : {counted(report.rows, 'ligne')}, {counted(report.facts, 'fait')}.",
        )
        out.print(made[language], markup=False)
        tell_of_rows(report, language)


def tell_of_rows(report: Report, language: int) -> None:
    """Which rows could not be used, and what looks wrong."""
    for reason, numbers in report.unusable.items():
        what, n, some = spoken(reason, language), len(numbers), _some(list(map(str, numbers)), language)
        shown = report.examples.get(reason)
        what += "" if shown is None else (f", as in {shown!r}", f", par exemple {shown!r}")[language]
        several, lignes = counted(n, "row"), counted(n, "ligne")
        told = f"  not used: {what}: {several} ({some})", f"  inutilisables : {what} : {lignes} ({some})"
        err.print(told[language], style="yellow", markup=False)
    for warning, where in report.warnings.items():
        what, some = spoken(warning, language), _some([spoken(one, language) for one in where], language)
        many = "" if len(where) == 1 else (": ", " : ")[language] + str(len(where))
        told = f"  look at: {what}{many} ({some})", f"  à vérifier : {what}{many} ({some})"
        err.print(told[language], style="yellow", markup=False)


def _some(where: list[str], language: int) -> str:
    left = len(where) - SAMPLES
    return ", ".join(where[:SAMPLES]) + ((f", … {left} more", f", … et {left} autres")[language] if left > 0 else "")
