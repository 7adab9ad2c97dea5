"""import: an event log somebody brings."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from projections.policy import Policy
from services.bilingual import spoken
from services.command_line.facts import Wait, policy_here, progress, send
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
from services.importer import words
from services.importer.files import Format, Source, examined
from services.importer.importing import SAMPLES, Importing, Report, jsonl_facts, started
from services.importer.mapping import BadMap, Map, described, read_map, settled, unseen
from services.importer.rows import columns, rows
from services.importer.times import SwapCheck, TimeReader, joined, time_reader
from services.importer.words import counted

FORMATS = ("xes", "csv", "jsonl")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("import")(plainly(import_files))


@dataclass(slots=True)
class Plan:
    """One file that is ready to be turned into facts."""

    source: Source
    importing: Importing | None
    tenant: str | None
    as_lived: bool
    report: Report

    def lines(self) -> Iterator[bytes]:
        """Its facts: in the order of their time when they are played as lived, else in file order."""
        facts = (
            jsonl_facts(self.source, self.tenant, started(), self.report, as_lived=self.as_lived)
            if self.importing is None
            else self.importing.facts()
        )
        if self.as_lived:
            return (raw for _, raw in sorted(facts, key=lambda one: one[0]))
        return (raw for _, raw in facts)


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
    if any(one.report.unusable for one in plans) and not any(one.report.facts for one in plans):
        raise Problem(("not one row could be used", "aucune ligne n'a pu servir")[language])


def plan(
    file: Path, kind: Format | None, chosen: Map, tenant: str | None, *, as_lived: bool, language: int = 0
) -> Plan:
    """Read a file through, decide how its columns and times are read; nothing is published if that fails."""
    source = examined(file, kind)
    err.print(spoken(source.described(), language), style="dim", markup=False)
    report = Report()
    if source.format == "jsonl":
        return Plan(source, None, tenant, as_lived, report)
    found = _columns_found(source, chosen, report, language)
    times = _times_seen(source, found, report)
    importing = Importing(source, found, times, tenant or "default", as_lived, started(), report)
    return Plan(source, importing, tenant, as_lived, report)


def _columns_found(source: Source, chosen: Map, report: Report, language: int) -> Map:
    """Which column is what, said to whoever imports; with what is missing and had to be assumed."""
    there, name = columns(source), source.path.name
    found = settled(
        chosen, there, source.path, is_sample=source.format == "xes"
    )  # whose first events need not have all there is
    for column in unseen(found, there):
        report.warn(words.not_seen(column), name)
    read = described(found, there)
    err.print(f"  {('columns:', 'colonnes :')[language]} {spoken(read, language)}", style="dim", markup=False)
    if chosen.case is None and found.case == found.patient:
        report.warn(words.PATIENT_AS_CASE, found.case or "")
    if found.patient is None and source.format != "xes":  # whose traces are of one case or person each
        report.warn(words.CASE_AS_PATIENT, name)
    if found.department is None:
        report.warn(words.NO_DEPARTMENT, name)
    return found


def _times_seen(source: Source, found: Map, report: Report) -> TimeReader:
    """How the times of a file are written, from all of them; with what is doubtful about them."""
    column, cells = found.time or "", []
    with progress() as bar:
        task = bar.add_task("reading", total=None, rate="")
        for row in rows(source):
            cells.append(joined(row.cells.get(column, ""), row.cells.get(found.clock or "", "")))
            bar.advance(task)
    times = time_reader(cells, _zone(found.zone))
    if (suspicion := swapped(source, found, times)) is not None:
        report.warn(suspicion, column)
    if times.doubtful:
        report.warn(words.doubtful(times.doubtful, day_first=times.day_first), column)
    if times.without_clock:
        report.warn(words.without_clock(times.without_clock, has_clock=found.clock is not None), column)
    if times.without_zone and times.zone is None:
        report.warn(words.without_zone(times.without_zone), column)
    return times


def warn_of_days(one: Plan, policy: Policy) -> None:
    """Whether a day of the file is another day where its claims' days are counted."""
    if (
        one.importing is None
        or (claim := one.importing.chosen.claim) is None
        or (zone := one.importing.times.zone) is None
    ):
        return
    jurisdiction = claim.jurisdiction or policy.jurisdiction
    theirs = policy.zones.get(jurisdiction)
    seasons = [datetime(one.importing.now.year, month, 1, tzinfo=UTC) for month in (1, 7)]
    if theirs is not None and any(
        at.astimezone(zone).utcoffset() != at.astimezone(theirs).utcoffset() for at in seasons
    ):
        one.report.warn(words.other_days(str(zone), jurisdiction, str(theirs)), one.source.path.name)


def swapped(source: Source, chosen: Map, times: TimeReader) -> str | None:
    """Whether the log looks as if a spreadsheet had swapped days and months."""
    check = SwapCheck({})
    for row in rows(source):
        try:
            at = times.read(joined(row.cells.get(chosen.time or "", ""), row.cells.get(chosen.clock or "", "")))
        except ValueError:
            continue
        name = chosen.case or ""
        check.see(row.cells.get(name) or row.case_cells.get(name.removeprefix("case:"), ""), at)
    return check.suspicion()


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        fail(
            said(
                f"--zone {name!r} is no time zone; write one as in Europe/Paris",
                f"--zone {name!r} n'est pas un fuseau horaire ; par exemple Europe/Paris",
            ),
            Exit.USAGE,
        )


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
