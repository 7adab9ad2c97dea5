"""What a batch writes, table by table. The order of the columns is that of services/tables_shapes."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from projections.known import NOTHING

Person = tuple[str, str]
Row = tuple[Any, ...]


@dataclass(slots=True)
class Rows:
    """Rows of one table: those whose key it does not hold yet, and those that may change one it holds."""

    new: list[Row] = field(default_factory=list)
    known: list[Row] = field(default_factory=list)

    def add(self, row: Row, *, is_new: bool) -> None:
        (self.new if is_new else self.known).append(row)


@dataclass(slots=True)
class Stored:
    """Which rows of a person the tables hold, by name. Not `is_sure`: they may hold others, from before their fold failed. `is_nobody`:
    they held none of this person when the person was first read.
    """

    person: bool = False
    is_sure: bool = True
    cases: AbstractSet[str] = NOTHING
    claims: AbstractSet[str] = NOTHING
    contacts: AbstractSet[str] = NOTHING
    findings: AbstractSet[str] = NOTHING
    is_nobody: bool = False


@dataclass(slots=True)
class Changes:
    """All a batch writes. Everything is keyed by person; rows are in the order of the columns. `packed`: new rows of a table, as COPY
    takes them. `timeline`: the table that takes the facts.
    """

    timeline: str = "timeline"
    packed: dict[str, list[bytes]] = field(default_factory=dict)
    facts: list[Row] = field(default_factory=list)
    replaced: list[Row] = field(default_factory=list)
    restored: list[Row] = field(default_factory=list)
    returned: list[tuple[str, bytes]] = field(default_factory=list)
    conflicting: list[Row] = field(default_factory=list)
    emptied: list[Person] = field(default_factory=list)
    patients: Rows = field(default_factory=Rows)
    gone: list[Person] = field(default_factory=list)
    cases: Rows = field(default_factory=Rows)
    claims: Rows = field(default_factory=Rows)
    findings: Rows = field(default_factory=Rows)
    lost_cases: list[Row] = field(default_factory=list)
    lost_claims: list[Row] = field(default_factory=list)
    lost_contacts: list[Row] = field(default_factory=list)
    lost_findings: list[Row] = field(default_factory=list)
    forgotten_acts: list[Person] = field(default_factory=list)
    acts: list[Row] = field(default_factory=list)
    contacts: Rows = field(default_factory=Rows)
    announced: Rows = field(default_factory=Rows)
    outbox: list[Row] = field(default_factory=list)
    parked: list[Row] = field(default_factory=list)
    corrections: list[Row] = field(default_factory=list)
    inbox: list[Row] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    tombstones: list[Row] = field(default_factory=list)
    erased: list[Row] = field(default_factory=list)

    def amend(self) -> None:
        """What is to be changed of facts that are not in the tables yet is changed before they are written."""
        if not (self.replaced or self.conflicting):
            return
        written_later = {row[:5] for row in self.restored}
        at = {row[:5]: n for n, row in enumerate(self.facts) if row[:5] not in written_later}
        left, self.replaced = self.replaced, []
        for row in left:
            n = at.get(row[:5])
            if n is None:
                self.replaced.append(row)
            else:
                kind, occurred_at, recorded_at, is_known, raw = row[5:]
                before = self.facts[n]
                self.facts[n] = (*row[:5], kind, occurred_at, recorded_at, before[8], is_known, before[10], raw)
        left, self.conflicting = self.conflicting, []
        for row in left:
            n = at.get(row)
            if n is None:
                self.conflicting.append(row)
            else:
                self.facts[n] = (*self.facts[n][:10], True, self.facts[n][11])
