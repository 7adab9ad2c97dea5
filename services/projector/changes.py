"""What a batch writes, table by table. The order of the columns is that of services/tables_projector."""

from dataclasses import dataclass, field
from typing import Any

Person = tuple[str, str]
Row = tuple[Any, ...]


@dataclass(slots=True)
class Changes:
    """All a batch writes. Everything is keyed by person; rows are in the order of the columns."""

    facts: list[Row] = field(default_factory=list)
    replaced: list[Row] = field(default_factory=list)
    conflicting: list[Row] = field(default_factory=list)
    emptied: list[Person] = field(default_factory=list)
    patients: list[Row] = field(default_factory=list)
    gone: list[Person] = field(default_factory=list)
    cases: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    findings: list[Row] = field(default_factory=list)
    lost_findings: list[tuple[str, str]] = field(default_factory=list)
    forgotten_acts: list[Person] = field(default_factory=list)
    acts: list[Row] = field(default_factory=list)
    contacts: list[Row] = field(default_factory=list)
    announced: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    parked: list[Row] = field(default_factory=list)
    corrections: list[Row] = field(default_factory=list)
    inbox: list[Row] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    tombstones: list[Row] = field(default_factory=list)
    erased: list[Row] = field(default_factory=list)
