"""Opening a file somebody brought: what it is, what it holds, said before anything is done with it."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from services.bilingual import Both, of_system
from services.importer.encodings import Letters, marked
from services.publishing import BadFile

Format = Literal["xes", "csv", "jsonl"]
LONGEST_LINE = 6 * 1024 * 1024
CHUNK = 1024 * 1024
SAMPLE = 256 * 1024
OFFICE = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How the files of office programs begin, those of today and the old ones."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read through once: its format, a digest of its content, and how its text is written."""

    path: Path
    format: Format
    digest: str
    encoding: str
    delimiter: str
    lost: int = 0

    def described(self) -> Both:
        """One line about what was detected."""
        kind, name = f"{self.format.upper()}, {self.encoding}", self.path.name
        lost = Both("", "")
        if self.lost:
            lost = Both(
                f" ({self.lost} characters that are not, read as \ufffd)",
                f" ({self.lost} caractères qui n'en sont pas, lus comme \ufffd)",
            )
        found = Both(f"{name}: {kind}{lost}", f"{name} : {kind}{lost.fr}")
        if self.format != "csv":
            return found
        return Both(
            f"{found}, columns separated by {self.delimiter!r}", f"{found.fr}, colonnes séparées par {self.delimiter!r}"
        )


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, unpacked if it is gzip. Raises `BadFile`."""
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":  # a gzip file says so in its first bytes, whatever its name
                with gzip.open(file) as unpacked:
                    yield unpacked  # type: ignore[misc]  # GzipFile is a binary file in all that is used here
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as wrong:
        raise BadFile(
            Both(
                f"{path}: the gzip file is damaged or cut short: {wrong}",
                f"{path} : fichier gzip abîmé ou incomplet : {wrong}",
            )
        ) from wrong
    except OSError as wrong:
        raise BadFile(of_system(wrong, path)) from wrong


def examined(path: Path, wanted: Format | None) -> Source:
    """Read a file through once, so that a damaged one is refused before anything is published."""
    digest, letters, sample, line = hashlib.sha256(), Letters(), b"", 0
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            letters.see(chunk)
            if len(sample) < SAMPLE:
                sample += chunk[: SAMPLE - len(sample)]
            line = _longest_open_line(line, chunk)
            if line > LONGEST_LINE and wanted != "xes" and not _looks_like_xml(sample):
                raise BadFile(
                    Both(
                        f"{path}: holds a line longer than 6 MiB: this is no event log",
                        f"{path} : contient une ligne de plus de 6 Mio : ce n'est pas un journal",
                    )
                )
    if not sample.strip():
        raise BadFile(Both(f"{path}: is empty", f"{path} : fichier vide"))
    kind = wanted or _format(path, sample)
    encoding = marked(sample) or letters.encoding()
    if b"\x00" in sample and encoding != "utf-16":
        raise BadFile(_not_text(path, sample))
    delimiter = _delimiter(sample, encoding) if kind == "csv" else ""
    lost = letters.lost if encoding in ("utf-8", "utf-8-sig") else 0
    return Source(path, kind, digest.hexdigest()[:16], encoding, delimiter, lost)


def _not_text(path: Path, sample: bytes) -> Both:
    if sample.startswith(OFFICE):
        return Both(
            f"{path}: looks like an Excel file: save it as CSV there (File, Save as), and import that",
            f"{path} : semble être un fichier Excel : enregistrez-le au format CSV (Fichier, Enregistrer sous), puis importez celui-ci",
        )
    return Both(
        f"{path}: is not text: it holds NUL bytes", f"{path} : n'est pas du texte : il contient des octets nuls"
    )


def _longest_open_line(length: int, chunk: bytes) -> int:
    longest = 0
    for piece in chunk.split(b"\n"):
        length += len(piece)
        longest, length = max(longest, length), 0
    last = chunk.rpartition(b"\n")[2]
    return longest if longest > LONGEST_LINE else (length + len(last) if b"\n" in chunk else longest)


def _looks_like_xml(sample: bytes) -> bool:
    return sample.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")


def _format(path: Path, sample: bytes) -> Format:
    names = {suffix.lower() for suffix in path.suffixes}
    if ".xes" in names or _looks_like_xml(sample):
        return "xes"
    if names & {".jsonl", ".ndjson", ".json"} or sample.lstrip().startswith(b"{"):
        return "jsonl"
    return "csv"


def _delimiter(sample: bytes, encoding: str) -> str:
    text = sample.decode(encoding, "replace")
    head = text.splitlines()[0]
    try:
        return csv.Sniffer().sniff("\n".join(text.splitlines()[:50]), ",;\t|").delimiter
    except csv.Error:
        return max(",;\t|", key=head.count)


@contextmanager
def as_text(source: Source) -> Iterator[IO[str]]:
    """The text of a source."""
    with opened(source.path) as file, io.TextIOWrapper(file, source.encoding, errors="replace", newline="") as text:
        yield text
