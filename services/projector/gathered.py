"""Raw records of one partition, put together by the person they are about before any of them is read. DESIGN section 5."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter, itemgetter

from events.catalogue import TICK, is_binary
from events.envelope import Recorded, partition_key
from events.times import instant
from services.projector.changes import Person
from services.projector.records import Parked, Reader, Record
from services.projector.spilled import PARTS, Raw, Spilled

LATEST = 256
NAME = b"recordedtime"
STATED = b'"recordedtime":"'
UTC = b"+00:00"
WHEN = itemgetter(0)
OFFSET = attrgetter("offset")


@dataclass(slots=True)
class Gathered:
    """Records of one partition by person, as their keys say, in the order of the log. `loose`: those whose key names nobody.

    No more than `most` records or `most_bytes` are in memory: once it `is_full`, `put_aside` takes them to the disk.
    """

    most: int
    most_bytes: int
    theirs: dict[bytes, list[Raw]] = field(default_factory=dict)
    loose: list[Raw] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    last: Record | None = None
    records: int = 0
    held: int = 0
    size: int = 0
    latest: list[tuple[bytes, Raw]] = field(default_factory=list)
    unsure: list[Raw] = field(default_factory=list)
    looked_at: int = 0
    found: datetime | None = None
    spilled: Spilled = field(default_factory=Spilled)

    @property
    def is_full(self) -> bool:
        """Whether there is as much in memory as may be."""
        return self.held >= self.most or self.size >= self.most_bytes

    @property
    def end(self) -> int:
        """The offset after it."""
        return 0 if self.last is None else self.last.offset + 1

    @property
    def keys(self) -> Collection[bytes]:
        """Whom the records are about, as their keys say."""
        return self.spilled.keys or self.theirs.keys()

    def add(self, records: Sequence[Record]) -> None:
        """Take in the next records."""
        theirs, headers, is_structured = self.theirs, tuple[tuple[str, bytes | None], ...](), True
        for record in records:
            raw = record if isinstance(record, Raw) else as_raw(record)
            key, value = raw.key, raw.value
            listed = None if key is None else theirs.get(key)
            if listed is not None:
                raw.key = listed[0].key
                listed.append(raw)
            elif key is not None and is_name(key):
                theirs[key] = [raw]
            else:
                self.loose.append(raw)
            if value is not None:
                self.size += len(value)
            if raw.headers is not headers:
                headers = raw.headers
                is_structured = not is_binary(headers)
            at = stated_time(value) if value is not None and is_structured else None
            if at is None:
                self.unsure.append(raw)
            else:
                self.latest.append((at, raw))
        self.records += len(records)
        self.held += len(records)
        if records:
            self.last = records[-1]
        if len(self.latest) > 2 * LATEST:
            self.latest.sort(key=WHEN)
            del self.latest[:-LATEST]

    def put_aside(self, reader: Reader) -> None:
        """To the disk with what is in memory, whosever it is."""
        self._sort_out(reader)
        self._look_at_unsure(reader)
        self.spilled.add(self.theirs)
        self.theirs, self.held, self.size = {}, 0, 0

    def complete(self, reader: Reader) -> None:
        """Nothing more comes."""
        self._sort_out(reader)
        if self.spilled.files:
            self.put_aside(reader)

    def watermark(self, reader: Reader, before: datetime | None) -> datetime | None:
        """The largest recorded_at of the partition once all of this is taken in: that of the latest records that are facts."""
        self._look_at_unsure(reader)
        found = before if self.found is None or (before is not None and before > self.found) else self.found
        self.latest.sort(key=WHEN, reverse=True)
        for _, raw in self.latest:
            one = reader.read(raw)
            if isinstance(one, Recorded):
                return _later(found, one)
        if self.records - self.looked_at > len(self.latest):  # none of the latest is a fact
            for raw in self.loose:
                found = _later(found, reader.read(raw))
            for theirs in self._parts():
                for listed in theirs.values():
                    for raw in listed:
                        found = _later(found, reader.read(raw))
        return found

    def _look_at_unsure(self, reader: Reader) -> None:
        for raw in self.unsure:
            self.found = _later(self.found, reader.read(raw))
        self.looked_at += len(self.unsure)
        self.unsure = []

    def _sort_out(self, reader: Reader) -> None:
        """Put the records whose keys name nobody to the persons they are about; what is no fact is `parked`, ticks are let go."""
        grown: dict[bytes, list[Raw]] = {}
        for raw in self.loose:
            one = reader.read(raw)
            if isinstance(one, Parked):
                self.parked.append(one)
                continue
            self.found = _later(self.found, one)
            if one.type != TICK:
                key = partition_key(one.tenant, one.subject).encode()
                listed = grown[key] = self.theirs.setdefault(key, [])
                listed.append(raw)
        for listed in grown.values():
            listed.sort(key=OFFSET)
        self.loose = []

    def shared_out(self, renamed: Mapping[Person, str]) -> Iterator[tuple[Person, list[Raw]]]:
        """Each person with their records; those of people who have become one together."""
        merged: dict[Person, list[Raw]] = {}
        into = {(tenant, person) for (tenant, _), person in renamed.items()}
        for theirs in self._parts():
            while theirs:
                key, listed = theirs.popitem()
                tenant, subject = named(key)
                person = (tenant, renamed.get((tenant, subject), subject)) if renamed else (tenant, subject)
                if person in into:
                    merged.setdefault(person, []).extend(listed)
                else:
                    yield person, listed
        for person, listed in merged.items():
            listed.sort(key=OFFSET)
            yield person, listed

    def _parts(self) -> Iterator[dict[bytes, list[Raw]]]:
        yield self.theirs
        if self.spilled.files:
            for n in range(PARTS):
                yield self.spilled.part(n)

    def close(self) -> None:
        """Let go of what is on disk."""
        self.spilled.close()


def as_raw(record: Record) -> Raw:
    """What is kept of a record."""
    return Raw(record.partition, record.offset, record.key, record.value, tuple(record.headers), record.timestamp)


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
    if at < 0 or value.count(NAME) != 1:
        return None
    if value.find(b"\\") >= 0 and value.find(b"\\u") >= 0:  # the name may be written in another way
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
