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
from services.refusals import refusal

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
    """What was said of a case at one instant: how many rows, how often each, and whether the last one had been said before."""

    at: datetime
    n: int = -1
    times: dict[str, int] = field(default_factory=dict)
    is_repeated: bool = False

    def name(self, said: bytes) -> str:
        """The identity of the next row: what it says, and the how manieth that says so."""
        self.n += 1
        digest = hashlib.blake2b(said, digest_size=16).hexdigest()
        self.times[digest] = times = self.times.get(digest, 0) + 1
        self.is_repeated = times > 1
        return f"{digest}-{times}" if self.is_repeated else digest


@dataclass(slots=True)
class Story:
    """What the rows of a case have said so far: whose the last one was, when its claim was registered, of whom, and answered; until when
    something was done on it, when a column says that it was closed, and when what was done closed it. `unread`: what stood where a time was
    to be, and was told.
    """

    patient: str = ""
    has_several: bool = False
    instant: Instant | None = None
    done_until: datetime | None = None
    registered_at: datetime | None = None
    subject: str = ""
    answered_at: datetime | None = None
    says_answer: bool = False
    closed_at: datetime | None = None
    ended_at: datetime | None = None
    unread: set[tuple[str, str]] = field(default_factory=set)


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
        stories: dict[str, Story] = {}
        never_done = set(self.chosen.closing_activities)
        for row in rows(self.source):
            self.report.rows += 1
            if not row.fits:
                self.report.warn(words.CELLS, words.row(row.number))
            case = self._cell(row, self.chosen.case).strip()
            if not self._usable_case(case, row):
                continue
            story = stories.get(case)
            if story is None:
                story = stories[case] = Story()
            self._whose(row, case, story)
            yield from self._claim(row, case, story)
            yield from self._closing(row, case, story)
            said = joined(self._cell(row, self.chosen.time), self._cell(row, self.chosen.clock))
            try:
                at = self._happened(said)
            except ValueError as wrong:
                self.report.refuse(wrong.args[0], row.number, said)
                continue
            if story.instant is None or story.instant.at != at:
                if story.instant is not None and at < story.instant.at:
                    self.report.warn(words.BACKWARDS, words.row_of_case(row.number, case))
                story.instant = Instant(at)
            yield from self._done(row, case, story, story.instant)
            never_done.discard(self._cell(row, self.chosen.activity).strip())
        for case, story in stories.items():
            if story.registered_at is None and story.says_answer:
                self.report.warn(words.UNREGISTERED, words.case(case))
        for activity in sorted(never_done):
            self.report.warn(words.never_done(activity), self.source.path.name)

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

    def _act(self, row: Row, case: str, story: Story, instant: Instant) -> bytes:
        data: dict[str, Any] = {"case": case}
        department, actor = self._value(row, self.chosen.department), self._value(row, self.chosen.actor)
        if department is not None:
            if department in ("EMPTY", "?", "UNKNOWN", "NULL", "N/A"):
                self.report.warn(words.literally(department), words.row(row.number))
            data["department"] = department[:LONGEST]
        elif self.chosen.department in row.cells and not self._cell(row, self.chosen.department).strip():
            self.report.warn(words.NOWHERE, words.row(row.number))
        if (activity := self._value(row, self.chosen.activity)) is not None:
            data["activity"] = activity
        data["actor"] = {"kind": "human", "id": actor[:LONGEST]} if actor else {"kind": "human"}
        made = self._fact("case.worked", story.patient, instant, data)
        if instant.is_repeated:
            self.report.warn(words.REPEATED, words.row_of_case(row.number, case))
        return made

    def _whose(self, row: Row, case: str, story: Story) -> None:
        """Whose a row is: the patient it names, else a person of the case's own name. No other row says it: that would make the order of a
        file a part of what its rows are known by.
        """
        said = self._value(row, self.chosen.patient)
        if said is None and self.chosen.patient is not None:
            self.report.warn(words.NO_PATIENT, words.row_of_case(row.number, case))
        before, story.patient = story.patient, said or case
        if before not in ("", story.patient) and not story.has_several:
            story.has_several = True
            self.report.warn(words.SEVERAL_PATIENTS, words.case(case))

    def _done(self, row: Row, case: str, story: Story, instant: Instant) -> Iterator[tuple[datetime, bytes]]:
        """What was done on a case; where that closes it, its closing, unless something was done later; what is done on one that was so
        closed opens it again.
        """
        at, subject = instant.at, story.patient
        if story.ended_at is not None and at > story.ended_at:
            story.ended_at = None
            yield at, self._fact("case.reopened", subject, instant, {"case": case, "actor": {"kind": "human"}})
        yield at, self._act(row, case, story, instant)
        story.done_until = at if story.done_until is None else max(at, story.done_until)
        if self._cell(row, self.chosen.activity).strip() in self.chosen.closing_activities and at == story.done_until:
            story.ended_at = at
            yield at, self._closed(case, story, subject, instant)

    def _closing(self, row: Row, case: str, story: Story) -> Iterator[tuple[datetime, bytes]]:
        """When a row says that its case was closed: whatever was done on it afterwards."""
        said = self._value(row, self.chosen.closing)
        if said is None:
            return
        try:
            at = self._happened(said)
            if (end := self.times.latest(said)) <= self.now:
                at = end
        except ValueError:
            self._warn_once(words.NO_CLOSING, case, story, said)
            return
        if at != story.closed_at:
            story.closed_at = at
            yield at, self._closed(case, story, story.patient, Instant(at))

    def _closed(self, case: str, story: Story, subject: str, instant: Instant) -> bytes:
        is_answered = story.answered_at is not None and story.answered_at <= instant.at
        reason = self.chosen.closing_reason or ("answered" if is_answered else "other")
        return self._fact("case.closed", subject, instant, {"case": case, "reason": reason, "actor": {"kind": "human"}})

    def _claim(self, row: Row, case: str, story: Story) -> Iterator[tuple[datetime, bytes]]:
        """What a row says of its case's claim: registered by the first row that says when, answered by the first from there on."""
        claim = self.chosen.claim
        if claim is None:
            return
        if story.registered_at is None and (registered := self._value(row, claim.registered_at)) is not None:
            try:
                at = self._happened(registered)
            except ValueError:
                self._warn_once(words.NO_CLAIM, case, story, registered)
                return
            story.registered_at, story.subject = at, story.patient
            yield at, self._fact("claim.registered", story.subject, Instant(at), self._registration(row, case, claim))
        answered = self._value(row, claim.answered_at)
        story.says_answer = story.says_answer or answered is not None
        if story.registered_at is None or story.answered_at is not None or answered is None:
            return
        try:
            until = self._happened(answered)
            if until < story.registered_at <= self.times.latest(answered):  # answered on the day it was registered
                until = story.registered_at
        except ValueError:
            self._warn_once(words.NO_ANSWER, case, story, answered)
            return
        story.answered_at = until
        if until < story.registered_at:
            self.report.warn(words.EARLY_ANSWER, words.case(case))
        data = {"claim": case, "actor": {"kind": "human"}}
        yield until, self._fact("claim.answered", story.subject, Instant(until), data)

    def _warn_once(self, what: str, case: str, story: Story, said: str) -> None:
        """What cannot be read, wherever the rows of a case say it again."""
        if (what, said) not in story.unread:
            story.unread.add((what, said))
            self.report.warn(what, words.case_said(case, said))

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
                report.refuse(refusal(wrong), number)
                continue
            if as_lived and fact.occurred_at > now + FORESIGHT:
                report.refuse(words.FUTURE, number)
            else:
                report.facts += 1
                yield fact.recorded_at if not as_lived else fact.occurred_at, raw


def started() -> datetime:
    """When an import began: what it records, it records then."""
    return datetime.now(UTC)
