"""Facts in the project's words: each an hour after the one before, unless a test says when."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from events.cases import CaseWorked
from events.catalogue import decoded
from events.envelope import Recorded, Refused, written
from projections.jurisdictions import UnknownJurisdiction
from projections.patient import check
from projections.policy import Policy, policy
from projections.rows import Log, Row, result
from services import tables_writing
from services.projector.changes import Changes
from services.tables_shapes import TIMELINE, Table

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


@dataclass
class Said:
    """A fact to be: what, and optionally when, about whom, from where."""

    name: str
    data: dict[str, Any]
    at: datetime | None = None
    recorded: datetime | None = None
    patient: str = "p1"
    source: str = "/test"
    id: str | None = None
    tenant: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def on(self, at: datetime | str) -> "Said":
        self.at = datetime.fromisoformat(at).astimezone(UTC) if isinstance(at, str) else at
        return self

    def recorded_at(self, at: datetime | str) -> "Said":
        self.recorded = datetime.fromisoformat(at).astimezone(UTC) if isinstance(at, str) else at
        return self

    def of(self, patient: str, tenant: str | None = None) -> "Said":
        self.patient, self.tenant = patient, tenant
        return self

    def named(self, number: str, source: str | None = None) -> "Said":
        self.id, self.source = number, source or self.source
        return self

    def by(self, kind: str) -> "Said":
        self.data["actor"] = {"kind": kind}
        return self


def said(name: str, **data: Any) -> Said:
    return Said(name, data)


def opened(department: str | None = None, case: str = "c1", **more: Any) -> Said:
    return said("case.opened", case=case, **({"department": department} if department else {}), **more)


def worked(department: str, case: str = "c1", **more: Any) -> Said:
    return said("case.worked", case=case, department=department, **more)


def taken(department: str, case: str = "c1") -> Said:
    return said("case.taken", case=case, department=department)


def transferred(to: str, case: str = "c1", **more: Any) -> Said:
    return said("case.transferred", case=case, to_department=to, **more)


def consulted(department: str, case: str = "c1") -> Said:
    return said("case.consulted", case=case, department=department)


def closed(reason: str, case: str = "c1", **more: Any) -> Said:
    return said("case.closed", case=case, reason=reason, **more)


def received(contact: str, channel: str = "phone", **more: Any) -> Said:
    return said("contact.received", contact=contact, channel=channel, **more)


def handled(contact: str, department: str, outcome: str = "none", **more: Any) -> Said:
    return said("contact.handled", contact=contact, department=department, outcome=outcome, **more)


def redirected(contact: str, here: str, there: str, **more: Any) -> Said:
    return said("contact.redirected", contact=contact, from_department=here, to_department=there, **more)


def sent(contact: str, kind: str = "answer", to: str = "patient", **more: Any) -> Said:
    return said("contact.sent", contact=contact, kind=kind, to=to, channel="mail", **more)


def registered(claim: str = "k1", jurisdiction: str = "eng-nhs", **more: Any) -> Said:
    return said("claim.registered", claim=claim, kind="complaint", jurisdiction=jurisdiction, **more)


def answered(claim: str = "k1", **more: Any) -> Said:
    return said("claim.answered", claim=claim, **more)


def acknowledged(claim: str = "k1", **more: Any) -> Said:
    full = {"reference": "R-1", "contact_name": "Mme Lambert", "expected_at": "2026-03-20"}
    return said("claim.acknowledged", claim=claim, **(full | more))


def paused(reason: str = "waiting_claimant", claim: str = "k1", **more: Any) -> Said:
    return said("claim.paused", claim=claim, reason=reason, **more)


def tick(at: datetime | str) -> Said:
    return said("clock.ticked").of("clock").on(at).recorded_at(at).named(f"tick-{at}", "/clock")


def envelope(one: Said, number: int, at: datetime) -> dict[str, Any]:
    """The CloudEvent of a fact."""
    recorded = one.recorded or at + SECOND
    found = {
        "specversion": "1.0", "id": one.id or f"f-{number:04d}", "source": one.source, "type": f"parcours.{one.name}.v1",
        "subject": one.patient, "time": written(at), "recordedtime": written(recorded),
        "datacontenttype": "application/json", "data": one.data,
    }  # fmt: skip
    return found | ({"tenant": one.tenant} if one.tenant else {}) | one.extra


def lines(*facts: Said) -> list[bytes]:
    """The facts as lines of a log, in the order given; each an hour after the one before, unless it says when."""
    told, at = [], MONDAY - HOUR
    for number, one in enumerate(facts, 1):
        at = one.at or at + HOUR
        told.append(orjson.dumps(envelope(one, number, at)))
    return told


def facts_of(*facts: Said) -> list[Recorded]:
    return [decoded(line) for line in lines(*facts)]


@dataclass(frozen=True)
class Folded:
    """What came out of a fold, by name."""

    row: Row

    def case(self, name: str = "c1", patient: str = "p1") -> Row:
        return next(r for r in self.row["cases"] if r["case"] == name and r["patient"] == patient)

    def claim(self, name: str = "k1") -> Row:
        return next(r for r in self.row["claims"] if r["claim"] == name)

    def clock(self, name: str, instance: int = 1, claim: str = "k1") -> Row:
        return next(c for c in self.claim(claim)["clocks"] if (c["clock"], c["instance"]) == (name, instance))

    def clocks(self, name: str, claim: str = "k1") -> list[Row]:
        return [c for c in self.claim(claim)["clocks"] if c["clock"] == name]

    def findings(self, kind: str | None = None) -> list[Row]:
        return [f for f in self.row["findings"] if kind in (None, f["kind"])]

    def finding(self, kind: str) -> Row:
        (one,) = self.findings(kind)
        return one

    @property
    def patients(self) -> list[Row]:
        return list(self.row["patients"])

    @property
    def errors(self) -> Row:
        return dict(self.row["errors"])


def fold_lines(log: list[bytes], chosen: Policy) -> Row:
    """The result of lines, as `parcours fold` has it."""
    taken_in = Log(chosen)
    for line in log:
        try:
            fact = decoded(line)
            check(fact, chosen)
        except (Refused, UnknownJurisdiction):
            taken_in.parked.add(line)
        else:
            taken_in.add(fact)
    return result(taken_in)


def fold(*facts: Said, **parameters: Any) -> Folded:
    """Fold facts under the default policy, or one with other parameters."""
    return Folded(fold_lines(lines(*facts), policy(parameters)))


def unfoldable(monkeypatch: pytest.MonkeyPatch, case: str | None = None) -> None:
    """From here on the fold raises at every `case.worked`, or at those of one case: as code would that has a fault."""
    slot = CaseWorked.__dict__["case"]

    def read(fact: CaseWorked) -> object:
        if case in (None, (found := slot.__get__(fact))):
            raise ZeroDivisionError
        return found

    monkeypatch.setattr(CaseWorked, "case", property(read, slot.__set__))


def refusing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """From here on Postgres keeps no row of the facts of these ids."""
    honest, honest_of_packed = tables_writing.write_facts, tables_writing.copy_packed
    fields = [len(name.encode()).to_bytes(4) + name.encode() for name in names]

    async def write_facts(connection: Any, schema: str, facts: Sequence[tuple[Any, ...]], into: str) -> None:
        if any(row[4] in names for row in facts):
            raise asyncpg.DataError("no such row")
        await honest(connection, schema, facts, into)

    async def copy_packed(connection: Any, schema: str, table: Table, changes: Changes) -> None:
        if table is TIMELINE and any(field in some for field in fields for some in changes.packed.get(table.name, [])):
            raise asyncpg.DataError("no such row")
        await honest_of_packed(connection, schema, table, changes)

    monkeypatch.setattr(tables_writing, "write_facts", write_facts)
    monkeypatch.setattr(tables_writing, "copy_packed", copy_packed)
