"""Rows into facts: each row an act on a case, each case's deadlines a claim. Nothing is dropped without being counted."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from events.catalogue import decoded
from events.envelope import FORESIGHT, Refused, parsed, written
from services.importer import words
from services.importer.files import Source, opened
from services.importer.mapping import ClaimMap, Map
from services.importer.rows import Row, rows
from services.importer.times import TimeReader, joined

SOURCE = "/import"
SAMPLES = 10
SHOWN = 40
MICROSECOND = timedelta(microseconds=1)
LONGEST = 128


@dataclass(slots=True)
class Report:
    """What an import saw: facts made, rows it could not use by reason, and what looks wrong."""

    rows: int = 0
    facts: int = 0
    unusable: dict[str, list[int]] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_mostly_unusable(self) -> bool:
        """Whether more rows could not be used than could."""
        return 2 * sum(map(len, self.unusable.values())) > self.rows

    def refuse(self, reason: str, number: int, example: str = "") -> None:
        """A row that is no fact, and what stands there."""
        self.unusable.setdefault(reason, []).append(number)
        if example:
            self.examples.setdefault(reason, example[:SHOWN])

    def warn(self, what: str, where: str) -> None:
        """Something that looks wrong but was taken."""
        self.warnings.setdefault(what, []).append(where)

    def as_json(self) -> dict[str, Any]:
        """For programs, in English: JSON takes no key that also knows itself in French."""
        return {
            "rows": self.rows, "facts": self.facts,
            "unusable": {
                str(reason): {"count": len(n), "rows": n, "example": self.examples.get(reason)} for reason, n in self.unusable.items()
            },
            "warnings": {str(what): {"count": len(n), "where": n[:SAMPLES]} for what, n in self.warnings.items()},
        }  # fmt: skip


@dataclass(slots=True)
class Instant:
    """What was said of a case at one instant: how many rows, and how often each."""

    at: datetime
    n: int = -1
    times: dict[str, int] = field(default_factory=dict)

    def name(self, said: bytes) -> str:
        """The identity of the next row: what it says, and the how manieth that says so."""
        self.n += 1
        digest = hashlib.blake2b(said, digest_size=16).hexdigest()
        self.times[digest] = times = self.times.get(digest, 0) + 1
        return digest if times == 1 else f"{digest}-{times}"


@dataclass(frozen=True, slots=True)
class Registered:
    """A claim that was registered and whose answer no row has said yet."""

    at: datetime
    subject: str


@dataclass(slots=True)
class Importing:
    """One import: how rows are read, and when their facts are taken to have been recorded.

    A fact is known by what its row says, wherever the row stands and in whatever file: the next, longer export of a source brings what is
    new in it. Rows that say the same of one instant are numbered, and keep the order of the file.
    """

    source: Source
    chosen: Map
    times: TimeReader
    tenant: str
    as_lived: bool
    now: datetime
    report: Report = field(default_factory=Report)
    made: int = 0

    def facts(self) -> Iterator[tuple[datetime, bytes]]:
        """Every fact with its time, in file order."""
        last: dict[str, Instant] = {}
        claims: dict[str, Registered | None] = {}
        for row in rows(self.source):
            self.report.rows += 1
            if not row.fits:
                self.report.warn(words.CELLS, words.row(row.number))
            case = self._cell(row, self.chosen.case).strip()
            if not self._usable_case(case, row):
                continue
            yield from self._claim(row, case, claims)
            said = joined(self._cell(row, self.chosen.time), self._cell(row, self.chosen.clock))
            try:
                at = self._happened(said)
            except ValueError as wrong:
                self.report.refuse(wrong.args[0], row.number, said)
                continue
            instant = last.get(case)
            if instant is None or instant.at != at:
                if instant is not None and at < instant.at:
                    self.report.warn(words.BACKWARDS, words.row_of_case(row.number, case))
                instant = last[case] = Instant(at)
            yield at, self._act(row, case, instant)

    def _happened(self, text: str) -> datetime:
        """When something happened. Raises `ValueError` for what is no time, and for one to come: the log would park it, and the clock
        would run on to it.
        """
        at = self.times.read(text)
        if at > self.now + FORESIGHT:
            raise ValueError(words.FUTURE)
        return at

    def _usable_case(self, case: str, row: Row) -> bool:
        if not case:
            self.report.refuse(words.NO_CASE, row.number)
        elif len(case) > LONGEST:
            self.report.refuse(words.longer_case(LONGEST), row.number)
        else:
            if case == "NA":
                self.report.warn(words.NOT_APPLICABLE, words.row(row.number))
            return True
        return False

    def _cell(self, row: Row, name: str | None) -> str:
        if name is None:
            return ""
        if name.startswith("case:") and name not in row.cells:
            return row.case_cells.get(name.removeprefix("case:"), "")
        return row.cells.get(name, "")

    def _value(self, row: Row, name: str | None) -> str | None:
        text = self._cell(row, name).strip()
        return text if text and text not in self.chosen.ignore else None

    def _act(self, row: Row, case: str, instant: Instant) -> bytes:
        data: dict[str, Any] = {"case": case}
        department, actor = self._value(row, self.chosen.department), self._value(row, self.chosen.actor)
        if department is not None:
            if department in ("EMPTY", "?", "UNKNOWN", "NULL", "N/A"):
                self.report.warn(words.literally(department), words.row(row.number))
            data["department"] = department[:LONGEST]
        elif self.chosen.department in row.cells and not self._cell(row, self.chosen.department).strip():
            self.report.warn(words.NOWHERE, words.row(row.number))
        if self.chosen.patient is not None and self._value(row, self.chosen.patient) is None:
            self.report.warn(words.NO_PATIENT, words.row_of_case(row.number, case))
        if (activity := self._value(row, self.chosen.activity)) is not None:
            data["activity"] = activity
        data["actor"] = {"kind": "human", "id": actor[:LONGEST]} if actor else {"kind": "human"}
        return self._fact("case.worked", self._subject(row, case), instant, data)

    def _subject(self, row: Row, case: str) -> str:
        return self._value(row, self.chosen.patient) or case

    def _claim(self, row: Row, case: str, claims: dict[str, Registered | None]) -> Iterator[tuple[datetime, bytes]]:
        """What a row says of its case's claim: registered by the first row that says when, answered by the first from there on. `claims`:
        those that wait for their answer; None of whom nothing more is to be said.
        """
        claim = self.chosen.claim
        if claim is None:
            return
        if case not in claims and (registered := self._value(row, claim.registered_at)) is not None:
            try:
                at = self._happened(registered)
            except ValueError:
                self.report.warn(words.NO_CLAIM, words.case_said(case, registered))
                claims[case] = None
                return
            subject = self._subject(row, case)
            claims[case] = Registered(at, subject)
            yield at, self._fact("claim.registered", subject, Instant(at), self._registration(row, case, claim))
        waiting, answered = claims.get(case), self._value(row, claim.answered_at)
        if waiting is None or answered is None:
            return
        claims[case] = None
        try:
            until = self._happened(answered)
        except ValueError:
            self.report.warn(words.NO_ANSWER, words.case_said(case, answered))
            return
        if until < waiting.at:
            self.report.warn(words.EARLY_ANSWER, words.case(case))
        data = {"claim": case, "actor": {"kind": "human"}}
        yield until, self._fact("claim.answered", waiting.subject, Instant(until), data)

    def _registration(self, row: Row, case: str, claim: ClaimMap) -> dict[str, Any]:
        data: dict[str, Any] = {"claim": case, "kind": claim.kind, "case": case, "actor": {"kind": "human"}}
        if (due := self._value(row, claim.due_at)) is not None:
            try:
                data["due_at"] = self.times.moment(due)
            except ValueError:
                self.report.warn(words.NO_DEADLINE, words.case_said(case, due))
        if claim.jurisdiction is not None:
            data["jurisdiction"] = claim.jurisdiction
        if claim.department is not None:
            data["department"] = claim.department
        return data

    def _fact(self, name: str, subject: str, instant: Instant, data: dict[str, Any]) -> bytes:
        self.report.facts += 1
        self.made += 1
        at = instant.at
        number = instant.name(orjson.dumps([name, subject, at, data]))
        recorded = at + instant.n * MICROSECOND if self.as_lived else max(self.now + self.made * MICROSECOND, at)
        envelope = {
            "specversion": "1.0", "id": number, "source": SOURCE, "type": f"parcours.{name}.v1", "subject": subject,
            "time": written(at), "recordedtime": written(recorded), "datacontenttype": "application/json", "data": data,
        }  # fmt: skip
        if self.tenant != "default":
            envelope["tenant"] = self.tenant
        return orjson.dumps(envelope)


def jsonl_facts(
    source: Source, tenant: str | None, now: datetime, report: Report, *, as_lived: bool
) -> Iterator[tuple[datetime, bytes]]:
    """The facts of a file of CloudEvents: checked, stamped where they are not, told to a tenant if one is named."""
    with opened(source.path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            report.rows += 1
            try:
                content = parsed(line)
                if tenant is not None:
                    content = {k: v for k, v in content.items() if k != "partitionkey"} | {"tenant": tenant}
                if as_lived or "recordedtime" not in content:
                    content["recordedtime"] = content.get("time") if as_lived else written(now + number * MICROSECOND)
                raw = orjson.dumps(content)
                fact = decoded(raw)
            except Refused as wrong:
                report.refuse(f"{wrong.field}: {wrong.rule}", number)
                continue
            if as_lived and fact.occurred_at > now + FORESIGHT:
                report.refuse(words.FUTURE, number)
            else:
                report.facts += 1
                yield fact.recorded_at if not as_lived else fact.occurred_at, raw


def started() -> datetime:
    """When an import began: what it records, it records then."""
    return datetime.now(UTC)
