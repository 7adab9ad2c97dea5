"""The CloudEvents envelope of a fact, in its structured and binary modes. EVENTS section 1."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from events.fields import Data, is_storable
from events.times import instant

CONTENT_TYPE: Final = "application/cloudevents+json"
FORESIGHT: Final = timedelta(minutes=5)
TENANT: Final = re.compile(r"[a-z0-9-]{1,40}")
SPECVERSION: Final = "1.0"
LONGEST_SOURCE: Final = 1024
DEEPEST: Final = 500
SHARED: Final[dict[str, str]] = {}
MOST_SHARED: Final = 50_000
LONGEST_SHARED: Final = 64


def shared(text: str) -> str:
    """The same text, as it was said before: facts by the million name the same patients and sources."""
    found = SHARED.get(text)
    if found is not None:
        return found
    if len(text) <= LONGEST_SHARED:
        if len(SHARED) >= MOST_SHARED:
            SHARED.clear()
        SHARED[text] = text
    return text


class Refused(ValueError):
    """A record that is no fact: where it fails, and the rule it breaks."""

    def __init__(self, field: str, rule: str, code: str = "schema") -> None:
        super().__init__(f"{field}: {rule}")
        self.field, self.rule, self.code = field, rule, code


@dataclass(slots=True, init=False)
class Recorded:
    """A fact as the log took it; nobody changes it. Times are UTC; `data` is None for a type this version does not know. `identity`: its
    subject, source and id.
    """

    tenant: str
    subject: str
    source: str
    id: str
    type: str
    occurred_at: datetime
    recorded_at: datetime
    data: Data | None
    raw: bytes
    identity: tuple[str, str, str]

    def __init__(  # noqa: PLR0917 - in the order of the columns; the dataclass's own is not compiled
        self, tenant: str, subject: str, source: str, id: str, type: str,  # noqa: A002 - the names of CloudEvents
        occurred_at: datetime, recorded_at: datetime, data: Data | None, raw: bytes,
    ) -> None:  # fmt: skip
        self.tenant = tenant
        self.subject = subject
        self.source = source
        self.id = id
        self.type = type
        self.occurred_at = occurred_at
        self.recorded_at = recorded_at
        self.data = data
        self.raw = raw
        self.identity = (subject, source, id)

    @property
    def place(self) -> tuple[datetime, datetime, str, str, str]:
        """Its place in history order. DOMAIN section 2; the subject settles a tie between merged records."""
        return (self.occurred_at, self.recorded_at, self.source, self.id, self.subject)

    @property
    def name(self) -> str:
        """How findings name it."""
        return f"{self.source}#{self.id}"


@dataclass(slots=True, init=False)
class Envelope:
    """The context attributes of one record, checked, before its data is read."""

    tenant: str
    subject: str
    source: str
    id: str
    type: str
    time: datetime
    recorded_at: datetime
    content: dict[str, Any]

    def __init__(  # noqa: PLR0917 - as of Recorded
        self, tenant: str, subject: str, source: str, id: str, type: str,  # noqa: A002 - the names of CloudEvents
        time: datetime, recorded_at: datetime, content: dict[str, Any],
    ) -> None:  # fmt: skip
        self.tenant = tenant
        self.subject = subject
        self.source = source
        self.id = id
        self.type = type
        self.time = time
        self.recorded_at = recorded_at
        self.content = content


def parsed(value: bytes) -> dict[str, Any]:
    """The JSON object of a structured record. From Kafka, the last of two equal keys counts."""
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError as wrong:
        raise Refused("(record)", f"is not JSON in UTF-8: {wrong.msg}", "json") from None
    if not isinstance(content, dict):
        raise Refused("(record)", "must be a JSON object", "json")
    return content


def of_binary(headers: Iterable[tuple[str, bytes | None]], value: bytes) -> dict[str, Any]:
    """The structured form of a record in binary mode: `ce_*` headers, and the value as data."""
    content: dict[str, Any] = {}
    for name, raw in headers:
        if not name.lower().startswith("ce_"):
            continue
        if raw is None:
            raise Refused(name, "a header without a value", "header")
        try:
            content[name[3:].lower()] = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(name, "a header that is not UTF-8", "header") from None
    content["datacontenttype"] = "application/json"
    content["data"] = parsed(value) if value else {}
    return content


def envelope(content: dict[str, Any], recorded_at: datetime | None = None) -> Envelope:
    """Check the context attributes. `recorded_at` replaces `recordedtime` at the intake's door.

    Raises `Refused` naming the attribute and the rule.
    """
    get = content.get
    tenant, subject, source, name, kind, time, recorded = checked(
        get("specversion"), get("tenant", "default"), get("subject"), get("time"), recorded_at or get("recordedtime"),
        get("partitionkey"), get("source"), get("id"), get("type"),
    )  # fmt: skip
    if not isinstance(get("data", {}), dict):
        raise Refused("data", "must be a JSON object")
    return Envelope(tenant, subject, source, name, kind, time, recorded, content)


def checked(  # noqa: PLR0917 - one call for every record
    specversion: object, tenant: object, subject: object, time: object, recorded_at: object, key: object, source: object, name: object,
    kind: object,
) -> tuple[str, str, str, str, str, datetime, datetime]:  # fmt: skip
    """The context attributes as they are said, checked: tenant, subject, source, id, type, time, recordedtime. Raises `Refused` naming the
    attribute and the rule.
    """
    if specversion != SPECVERSION:
        raise Refused("specversion", 'must be "1.0"')
    if not isinstance(tenant, str) or (tenant != "default" and not TENANT.fullmatch(tenant)):
        raise Refused("tenant", "must be 1 to 40 of a-z, 0-9 and -")
    about = shared(_text("subject", subject, 128))
    occurred = _time("time", time)
    recorded = recorded_at if isinstance(recorded_at, datetime) else _time("recordedtime", recorded_at)
    if occurred > recorded:
        if occurred - recorded > FORESIGHT:
            raise Refused("time", "lies more than 5 minutes after recordedtime", "future")
        occurred = recorded
    if key is not None and key != f"{tenant}|{about}":
        raise Refused("partitionkey", "must be tenant|subject", "partitionkey")
    emitter, names, what = shared(_source(source)), _text("id", name, 128), _text("type", kind, 256)
    return (tenant, about, emitter, names, what, occurred, recorded)


def _text(name: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise Refused(name, f"must be a text of 1 to {longest} characters")
    return value


def _source(value: object) -> str:
    source = _text("source", value, LONGEST_SOURCE)
    if not source.isascii() and len(source.encode("utf-8", "surrogatepass")) > LONGEST_SOURCE:  # docs/decisions/0009
        raise Refused("source", f"must be a text of at most {LONGEST_SOURCE} bytes")
    return source


def _time(name: str, value: object) -> datetime:
    try:
        return instant(value)
    except ValueError as wrong:
        raise Refused(name, str(wrong)) from None


def partition_key(tenant: str, subject: str) -> str:
    """The record key that gives all facts of one patient one order."""
    return f"{tenant}|{subject}"


def storable(content: dict[str, Any], value: bytes) -> None:
    """Refuse what no text column keeps: a NUL, or half a surrogate pair, anywhere in the record; and what is nested beyond reason."""
    if b"\\" in value and b"\\u" in value and not is_storable(content):
        raise Refused("(record)", "holds a NUL character or a lone surrogate")
    if len(value) > DEEPEST and value.count(b"[") + value.count(b"{") > DEEPEST and _is_deep(content):
        raise Refused("(record)", "is nested too deeply", "json")


def _is_deep(content: dict[str, Any]) -> bool:
    """Whether anything lies deeper than what every later step can walk through."""
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def written(at: datetime) -> str:
    """An instant in UTC with `Z`, as EVENTS section 6 writes it: to the microsecond where it has a fraction, else to the second."""
    said = orjson.dumps(at if at.tzinfo is UTC else at.astimezone(UTC), option=orjson.OPT_UTC_Z)
    return said[1:-1].decode()  # without its quotes
