"""Raw records of one partition, put together by the person they are about before any of them is read. DESIGN section 5."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter, itemgetter

from events.catalogue import TICK, is_binary
from events.envelope import Recorded, partition_key
from events.times import instant
from services.projector.changes import Person
from services.projector.records import Parked, Reader, Record

LATEST = 256
NAME = b"recordedtime"
STATED = b'"recordedtime":"'
UTC = b"+00:00"
WHEN = itemgetter(0)
OFFSET = attrgetter("offset")


@dataclass(slots=True, init=False)
class Raw:
    """What is kept of a record until its person's turn comes."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int

    def __init__(self, record: Record, key: bytes | None) -> None:
        self.partition = record.partition
        self.offset = record.offset
        self.key = key
        self.value = record.value
        self.headers = tuple(record.headers)
        self.timestamp = record.timestamp


@dataclass(slots=True)
class Gathered:
    """Records of one partition by person, as their keys say, in the order of the log. `loose`: those whose key names nobody."""

    most: int
    most_bytes: int
    theirs: dict[bytes, list[Raw]] = field(default_factory=dict)
    loose: list[Raw] = field(default_factory=list)
    last: Record | None = None
    records: int = 0
    size: int = 0
    latest: list[tuple[bytes, Raw]] = field(default_factory=list)
    unsure: list[Raw] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether there is as much as may be held at once."""
        return self.records >= self.most or self.size >= self.most_bytes

    @property
    def end(self) -> int:
        """The offset after it."""
        return 0 if self.last is None else self.last.offset + 1

    def add(self, records: Sequence[Record]) -> None:
        """Take in the next records."""
        theirs = self.theirs
        for record in records:
            key = record.key
            listed = None if key is None else theirs.get(key)
            if listed is not None:
                raw = Raw(record, listed[0].key)
                listed.append(raw)
            elif key is not None and is_name(key):
                raw = Raw(record, key)
                theirs[key] = [raw]
            else:
                raw = Raw(record, key)
                self.loose.append(raw)
            value = raw.value
            if value is not None:
                self.size += len(value)
            at = None if value is None or is_binary(raw.headers) else stated_time(value)
            if at is None:
                self.unsure.append(raw)
            else:
                self.latest.append((at, raw))
        self.records += len(records)
        if records:
            self.last = records[-1]
        if len(self.latest) > 2 * LATEST:
            self.latest.sort(key=WHEN)
            del self.latest[:-LATEST]

    def watermark(self, reader: Reader, before: datetime | None) -> datetime | None:
        """The largest recorded_at of the partition once all of this is taken in: that of the latest records that are facts."""
        found = before
        for raw in self.unsure:
            found = _later(found, reader.read(raw))
        self.latest.sort(key=WHEN, reverse=True)
        for _, raw in self.latest:
            one = reader.read(raw)
            if isinstance(one, Recorded):
                return _later(found, one)
        if self.records - len(self.unsure) > len(self.latest):  # none of the latest is a fact
            for listed in (self.loose, *self.theirs.values()):
                for raw in listed:
                    found = _later(found, reader.read(raw))
        return found

    def sort_out(self, reader: Reader) -> list[Recorded | Parked]:
        """Put the records whose keys name nobody to the persons they are about; back come those that are about none."""
        none, grown = list[Recorded | Parked](), list[list[Raw]]()
        for raw in self.loose:
            one = reader.read(raw)
            if isinstance(one, Parked) or one.type == TICK:
                none.append(one)
            else:
                listed = self.theirs.setdefault(partition_key(one.tenant, one.subject).encode(), [])
                listed.append(raw)
                grown.append(listed)
        for listed in {id(one): one for one in grown}.values():
            listed.sort(key=OFFSET)
        self.loose = []
        return none

    def shared_out(self, renamed: Mapping[Person, str]) -> Iterator[tuple[Person, list[Raw]]]:
        """Each person with their records; those of people who have become one together."""
        merged: dict[Person, list[Raw]] = {}
        into = {(tenant, person) for (tenant, _), person in renamed.items()}
        while self.theirs:
            key, listed = self.theirs.popitem()
            tenant, subject = named(key)
            person = (tenant, renamed.get((tenant, subject), subject)) if renamed else (tenant, subject)
            if person in into:
                merged.setdefault(person, []).extend(listed)
            else:
                yield person, listed
        for person, listed in merged.items():
            listed.sort(key=OFFSET)
            yield person, listed


def is_name(key: bytes) -> bool:
    """Whether a record's key can be the name of a person: `tenant|subject`, of which no two keys are the same."""
    try:
        return "|" in key.decode() and b"\x00" not in key
    except UnicodeDecodeError:
        return False


def named(key: bytes) -> Person:
    """The tenant and the subject that a record's key names."""
    tenant, _, subject = key.decode().partition("|")
    return tenant, subject


def stated_time(value: bytes) -> bytes | None:
    """The `recordedtime` of a structured record in UTC, as bytes in the order of time, where it can be told without reading the
    record; None where it cannot.
    """
    at = value.find(STATED)
    if at < 0 or value.find(NAME) != at + 1 or value.find(NAME, at + len(STATED)) >= 0:
        return None
    if b"\\" in value and b"\\u" in value:  # the name may be written in another way
        return None
    start = at + len(STATED)
    text = value[start : value.find(b'"', start)]
    if text[10:11] == b"T":
        if text.endswith(b"Z"):
            return text[:-1]
        if text.endswith(UTC):
            return text[: -len(UTC)]
    try:
        return instant(text.decode("ascii")).isoformat().encode()[: -len(UTC)]
    except ValueError:
        return None


def _later(found: datetime | None, one: object) -> datetime | None:
    if isinstance(one, Recorded) and (found is None or one.recorded_at > found):
        return one.recorded_at
    return found


def in_parts(persons: Iterable[tuple[Person, list[Raw]]], size: int) -> Iterator[list[tuple[Person, list[Raw]]]]:
    """Persons by about so many records."""
    part, n = list[tuple[Person, list[Raw]]](), 0
    for one in persons:
        part.append(one)
        n += len(one[1])
        if n >= size:
            yield part
            part, n = [], 0
    if part:
        yield part
