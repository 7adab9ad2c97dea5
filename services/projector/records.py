"""From Kafka records to facts: each one alone, so that a bad record costs nobody else anything. DESIGN section 4."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from events.catalogue import TICK, decoded
from events.envelope import FORESIGHT, Recorded, Refused, parsed, partition_key
from events.partitions import partition_of
from projections.jurisdictions import UnknownJurisdiction
from projections.known import corrects
from projections.patient import check
from projections.policy import Policy
from services.projector.changes import Person
from services.projector.spilled import Raw
from services.refusals import outlawed

REFUSED_BY_TABLES = "table"
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Record(Protocol):
    """What is read of a record, whether Kafka gives it or it was parked."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...
    @property
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Parked:
    """A record that is no fact: raw, with the rule it breaks."""

    record: Record
    digest: bytes
    code: str
    field: str
    rule: str
    tenant: str | None
    subject: str | None


@dataclass(slots=True)
class Reader:
    """How records are read in this instance. `clock_rule` is off for histories (`up --no-clock`).

    It remembers whose fact it read last, and where theirs belong: of a person's facts, many are often read one after another. And up to
    when the facts of a record `_appended` at some time, or later, may have been recorded.
    """

    policy: Policy
    partitions: int
    clock_rule: bool = True
    _person: Person = ("", "")
    _home: int = -1
    _appended: int = 0
    _latest: datetime = LONG_AGO

    def read(self, record: Record) -> Recorded | Parked:
        """The fact of a record, or the record parked with its reason."""
        return self._read(record, record.value, record.headers, record.partition, record.timestamp)

    def each(self, records: Sequence[Raw]) -> list[tuple[Raw, Recorded | Parked]]:
        """Some records, each with its fact or parked."""
        read = list[tuple[Raw, Recorded | Parked]]()
        for record in records:
            read.append((record, self._read(record, record.value, record.headers, record.partition, record.timestamp)))
        return read

    def _read(
        self, record: Record, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], partition: int, timestamp: int
    ) -> Recorded | Parked:  # fmt: skip
        try:
            fact = self._fact(value, headers, partition, timestamp)
        except Refused as wrong:
            return parked(record, wrong.code, wrong.field, wrong.rule)
        except UnknownJurisdiction as unknown:
            return parked(record, "jurisdiction", "data.jurisdiction", outlawed(unknown))
        except RecursionError:
            return parked(record, "json", "(record)", "is nested too deeply")
        return fact

    def _fact(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], partition: int, timestamp: int
    ) -> Recorded:  # fmt: skip
        if value is None:
            raise Refused("(record)", "has no value", "empty")
        for name, content in headers:
            if content is None and name.lower().startswith("ce_"):
                raise Refused(name, "a header without a value", "header")
        fact = decoded(value, tuple(headers))
        if fact.type != TICK and self._home_of(fact) != partition:
            raise Refused(
                "(record)", f"lies in partition {partition}, not in that of tenant|subject", "wrong_partition"
            )
        if self.clock_rule and (fact.recorded_at > self._latest or timestamp < self._appended):
            self._latest, self._appended = appended_at(timestamp) + FORESIGHT, timestamp
            if fact.recorded_at > self._latest:
                raise Refused("recordedtime", "lies more than 5 minutes after the log took the record", "future")
        check(fact, self.policy)
        return fact

    def _home_of(self, fact: Recorded) -> int:
        if fact.subject != self._person[1] or fact.tenant != self._person[0]:
            self._person = (fact.tenant, fact.subject)
            self._home = partition_of(partition_key(fact.tenant, fact.subject).encode(), self.partitions)
        return self._home


@dataclass(slots=True)
class Batch:
    """Records of some partitions, read, in the order of the log; and what is told of all of them, so that nobody has to look for it.

    `subjects`: whom the facts are about, before any merge; `latest`: the largest recorded_at of each partition's facts and ticks.
    """

    read: dict[int, list[tuple[Any, Recorded | Parked]]] = field(default_factory=dict)
    records: int = 0
    facts: int = 0
    corrects: bool = False
    subjects: set[Person] = field(default_factory=set)
    latest: dict[int, datetime] = field(default_factory=dict)
    parked: list[Parked] = field(default_factory=list)

    def take(self, number: int, records: Sequence[Any], reader: Callable[[Any], Recorded | Parked]) -> None:
        """The next records of a partition."""
        listed = self.read.get(number)
        if listed is None:
            listed = self.read[number] = []
        latest, subjects, facts = self.latest.get(number), self.subjects, 0
        for record in records:
            one = reader(record)
            listed.append((record, one))
            if isinstance(one, Parked):
                self.parked.append(one)
                continue
            if latest is None or one.recorded_at > latest:
                latest = one.recorded_at
            if one.type == TICK:
                continue
            facts += 1
            subjects.add((one.tenant, one.subject))
            if corrects(one):
                self.corrects = True
        self.facts += facts
        self.records += len(records)
        if latest is not None:
            self.latest[number] = latest


def appended_at(timestamp: int) -> datetime:
    """When Kafka took the record."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=timestamp)


def parked(record: Record, code: str, field: str, rule: str) -> Parked:
    """Park a record, with whatever it says of whose it is."""
    value = record.value or b""
    content = stated(value)
    tenant, subject = content.get("tenant", "default"), content.get("subject")
    digest = parked_digest(value or f"{record.partition}:{record.offset}".encode())
    named = isinstance(tenant, str) and isinstance(subject, str)
    return Parked(
        record, digest, code, field, rule, _kept(tenant) if named else None, _kept(subject) if named else None
    )


def refused_by_tables(record: Record, wrong: Exception) -> Parked:
    """Park a record that is a fact, but of which the tables keep no row."""
    return parked(record, REFUSED_BY_TABLES, "(record)", f"the tables keep no such row ({type(wrong).__name__})")


def parked_row(one: Parked) -> tuple[Any, ...]:
    record = one.record
    headers = [[name, None if value is None else value.hex()] for name, value in record.headers]
    return (
        record.partition, record.offset, one.digest, one.code, one.field, one.rule, one.tenant, one.subject, record.key,
        record.value, headers, appended_at(record.timestamp),
    )  # fmt: skip


def stated(value: bytes) -> dict[str, Any]:
    """What a bad record says all the same."""
    try:
        return parsed(value)
    except Refused:
        return {}


def parked_digest(value: bytes) -> bytes:
    """What makes a parked record distinct: the identity it states, else its bytes."""
    content = stated(value)
    names = [content.get(name) for name in ("subject", "source", "id")]
    if all(isinstance(name, str) for name in names):
        text = "\x1f".join([str(content.get("tenant", "default")), *map(str, names)])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return hashlib.sha256(value).digest()


def _kept(text: object) -> str | None:
    return text[:256] if isinstance(text, str) and "\x00" not in text else None


def digest_of(record: Record) -> bytes:
    """What tells that a log is another log: a hash of a record's bytes."""
    return hashlib.blake2b((record.key or b"") + b"\x1f" + (record.value or b""), digest_size=16).digest()


def shown_value(value: object) -> object:
    """Bytes as text where they are text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
