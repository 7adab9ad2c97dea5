"""What is too much for memory and waits on disk: raw records of a long partition, in parts of which each fits. DESIGN section 5."""

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedRandom
from tempfile import TemporaryFile
from typing import Any
from zlib import crc32

PARTS = 64


@dataclass(slots=True, init=False)
class Raw:
    """What is kept of a record until its person's turn comes."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int

    def __init__(
        self, partition: int, offset: int, key: bytes | None, value: bytes | None,
        headers: tuple[tuple[str, bytes | None], ...], timestamp: int,
    ) -> None:  # fmt: skip
        self.partition = partition
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp


def raws(number: int, kept: Iterable[Any], start: int, end: int) -> list[Raw]:
    """The records of a batch of partition `number` from offset `start` on, up to before `end`. Headers that are all alike are kept once."""
    found, said, headers = list[Raw](), list[tuple[str, bytes | None]](), tuple[tuple[str, bytes | None], ...]()
    for record in kept:
        offset: int = record.offset
        if start <= offset < end:
            theirs: list[tuple[str, bytes | None]] = record.headers
            if theirs != said:
                said, headers = theirs, tuple(theirs)
            found.append(Raw(number, offset, record.key, record.value, headers, record.timestamp))
    return found


@dataclass(slots=True)
class Spilled:
    """Records by person, in `PARTS` files without a name: all of a person's in one file, in the order they came in.

    What lies there is what patients said: nobody else can open it, and it is gone with the process.
    """

    keys: set[bytes] = field(default_factory=set)
    files: list[BufferedRandom] = field(default_factory=list)

    def add(self, theirs: Mapping[bytes, Sequence[Raw]]) -> None:
        """Put some people's records behind what is there."""
        if not self.files:
            self.files = [TemporaryFile(prefix="parcours-") for _ in range(PARTS)]  # noqa: SIM115 - closed by `close`
        parts: list[list[bytes]] = [[] for _ in range(PARTS)]
        for key in theirs:
            parts[crc32(key) % PARTS].append(key)
        for n, keys in enumerate(parts):
            if keys:
                marshal.dump([(key, [_fields(raw) for raw in theirs[key]]) for key in keys], self.files[n])
        self.keys.update(theirs)

    def part(self, n: int) -> dict[bytes, list[Raw]]:
        """Everybody's records of one of the parts."""
        found: dict[bytes, list[Raw]] = {}
        file = self.files[n]
        file.seek(0)
        while True:
            try:
                some = marshal.load(file)  # noqa: S302 - written by `add` of this very process
            except EOFError:
                return found
            for key, listed in some:
                raws = [Raw(*fields) for fields in listed]
                before = found.get(key)
                if before is None:
                    found[key] = raws
                else:
                    before += raws

    def close(self) -> None:
        """Nothing of it is left."""
        for file in self.files:
            file.close()
        self.files = []


def _fields(raw: Raw) -> tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int]:
    return (raw.partition, raw.offset, raw.key, raw.value, raw.headers, raw.timestamp)


@dataclass(slots=True)
class Later:
    """Rows of numbers, texts and bytes that are written at the end, in the order they came in. They wait in a file without a name:
    kept in memory, among what is soon freed, they would keep a gigabyte of it from being used again.
    """

    files: list[BufferedRandom] = field(default_factory=list)

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Put some rows behind what is there."""
        if not self.files and rows:
            self.files = [TemporaryFile(prefix="parcours-")]  # noqa: SIM115 - closed by `close`
        if rows:
            marshal.dump(list(rows), self.files[0])

    def all(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows, as they were added."""
        for file in self.files:
            file.seek(0)
            while True:
                try:
                    yield marshal.load(file)  # noqa: S302 - written by `add` of this very process
                except EOFError:
                    break

    def close(self) -> None:
        """Nothing of it is left."""
        for file in self.files:
            file.close()
        self.files = []
