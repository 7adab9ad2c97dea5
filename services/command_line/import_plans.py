"""One file that is to be imported: how its columns and times are read, and what is doubtful about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from projections.policy import Policy
from services.bilingual import spoken
from services.command_line.facts import progress
from services.command_line.showing import Exit, err, fail, said
from services.importer import words
from services.importer.files import Format, Source, examined
from services.importer.importing import Importing, Report, jsonl_facts, started
from services.importer.mapping import Map, described, settled, unseen
from services.importer.rows import columns, rows
from services.importer.times import SwapCheck, TimeReader, joined, time_reader


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
    if times.short_year is not None:
        report.warn(words.short_years(times.short_years, times.short_year), column)
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
