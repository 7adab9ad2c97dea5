"""The rows of an event log: XES with its standard names, CSV with the columns one names."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from xml.etree import ElementTree as ET

from services.bilingual import Both
from services.importer.files import Source, as_text, opened
from services.publishing import BadFile

TRACE, EVENT = "trace", "event"
LOOKED_AT = 1_000
MISSING = "\x00"
VALUES = frozenset({"string", "date", "int", "float", "boolean", "id"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 1, its own cells, the attributes of its case (XES), and whether it has a cell for each column."""

    number: int
    cells: Mapping[str, str]
    case_cells: Mapping[str, str] = field(default_factory=dict)
    fits: bool = True


def rows(source: Source) -> Iterator[Row]:
    """Every row of a source, in file order. Raises `BadFile`."""
    return xes(source) if source.format == "xes" else table(source)


def xes(source: Source) -> Iterator[Row]:
    """The events of a XES log, each with its trace's attributes."""
    number = 0
    with opened(source.path) as file:
        try:
            for _, element in ET.iterparse(file, events=("end",)):  # noqa: S314 - expat expands no external entity
                if _local(element.tag) != TRACE:
                    continue
                case_cells = _attributes(element)
                for event in element:
                    if _local(event.tag) == EVENT:
                        number += 1
                        yield Row(number, _attributes(event), case_cells)
                element.clear()
        except ET.ParseError as wrong:
            raise BadFile(
                Both(f"{source.path}: is not well-formed XES: {wrong}", f"{source.path} : XES mal formé : {wrong}")
            ) from wrong
    if number == 0:
        raise BadFile(Both(f"{source.path}: holds no event", f"{source.path} : ne contient aucun événement"))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _attributes(element: ET.Element) -> dict[str, str]:
    return {child.get("key", ""): child.get("value", "") for child in element if _local(child.tag) in VALUES}


def table(source: Source) -> Iterator[Row]:
    """The rows of a CSV file under its header line."""
    number = 0
    with as_text(source) as text:
        try:
            reader = csv.DictReader(text, delimiter=source.delimiter, restkey="", restval=MISSING)
            for number, cells in enumerate(reader, 1):
                fits = "" not in cells and MISSING not in cells.values()
                yield Row(
                    number,
                    {name: "" if value == MISSING else value for name, value in cells.items() if name},
                    fits=fits,
                )
        except csv.Error as wrong:
            raise BadFile(
                Both(f"{source.path}: row {number + 1}: {wrong}", f"{source.path} : ligne {number + 1} : {wrong}")
            ) from wrong
    if number == 0:
        raise BadFile(
            Both(f"{source.path}: holds a header and no row", f"{source.path} : contient un en-tête et aucune ligne")
        )


def columns(source: Source) -> list[str]:
    """The columns of a source, in their order: of a XES log, those that its first events have and, marked, their cases."""
    cells, case_cells = dict[str, None](), dict[str, None]()
    for row in islice(rows(source), LOOKED_AT if source.format == "xes" else 1):
        cells.update(dict.fromkeys(row.cells))
        case_cells.update(dict.fromkeys(row.case_cells))
    return [*cells, *(f"case:{name}" for name in case_cells)]
