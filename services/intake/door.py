"""What comes through the HTTP door: reading a request's facts, and judging each. EVENTS section 1, who may send what."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from events.catalogue import PREFIX, accepted
from events.envelope import Recorded, Refused, parsed, partition_key, written
from events.patients import FactVoided
from projections.jurisdictions import UnknownJurisdiction
from projections.patient import check
from projections.policy import Policy
from services.guests import Problem
from services.refusals import outlawed
from services.security import Bearer

LONGEST_FACT = 1024 * 1024
OURS = ("clock.", "alert.raised.", "alert.revised.", "alert.resolved.")
OPERATORS = ("patient.merged.", "patient.erased.")
MICROSECOND = timedelta(microseconds=1)
BETWEEN = b" \t\r\n"
MARKS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
"""What tells where the elements of an array end: texts as a whole, a quote that begins one without an end, brackets and commas."""
OPENING, CLOSING = (b"[", b"{"), (b"]", b"}")


@dataclass(slots=True)
class Stamp:
    """recorded_at: UTC, microseconds, strictly increasing within this process."""

    last: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def next(self) -> datetime:
        self.last = max(datetime.now(UTC), self.last + MICROSECOND)
        return self.last


@dataclass(frozen=True, slots=True)
class Admitted:
    """A fact on its way to the log: its key and value, and its type where nobody here knows it."""

    id: str
    key: bytes
    value: bytes
    unknown: str | None = None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise Refused(twice, "stands twice in one object", "json")
    return found


def content_of(raw: bytes) -> dict[str, Any]:
    """The JSON object of one fact. Raises `Problem`."""
    if len(raw) > LONGEST_FACT:
        raise Problem(413, "Too large", "a fact may have at most 1 MiB")
    try:
        content = parsed(raw)
        if orjson.dumps(content) != raw:  # written just so, it says nothing twice
            json.loads(raw, object_pairs_hook=_no_duplicates)
    except Refused as wrong:
        raise refusal(wrong) from None
    except (RecursionError, TypeError, ValueError):
        raise Problem(422, "Not a fact", "(record): is nested too deeply", "(record)", "is nested too deeply") from None
    return content


def elements(raw: bytes) -> list[bytes]:
    """The elements of a JSON array, each as the bytes it was sent in: what is wrong with one of them is that one's own fault.

    Nothing is read but where each ends, so no depth and no number is too much for it. Raises `Problem` where that cannot be told.
    """
    text = raw.strip(BETWEEN)
    if not text.startswith(b"["):
        raise _no_batch("must be a JSON array")
    pieces, depth, start = list[bytes](), 0, 1
    for found in MARKS.finditer(text):
        mark = found[0]
        if mark in OPENING:
            depth += 1
        elif mark == b"," and depth == 1:
            pieces.append(text[start : found.start()].strip(BETWEEN))
            start = found.end()
        elif mark in CLOSING:
            depth -= 1
            if depth == 0 and mark != b"]":
                raise _no_batch("does not end")
            if depth == 0:
                break
        elif mark == b'"':
            raise _no_batch("holds a text that does not end")
    else:
        raise _no_batch("does not end")
    if found.end() != len(text):
        raise _no_batch("goes on after its end")
    last = text[start : found.start()].strip(BETWEEN)
    return [*pieces, last] if pieces or last else []


def _no_batch(rule: str) -> Problem:
    return Problem(422, "Not a batch", f"(request): {rule}", "(request)", rule)


def refusal(wrong: Refused) -> Problem:
    return Problem(422, "Not a fact", str(wrong), wrong.field, wrong.rule)


def admit(content: dict[str, Any], who: Bearer, policy: Policy, at: datetime) -> Admitted:
    """A fact as it goes to the log; `content` has our `recordedtime` from here on. Raises `Problem` naming the field and the rule."""
    _may_send(content, who)
    content["recordedtime"] = written(at)
    tenant = content.setdefault("tenant", "default")
    if tenant != who.tenant:
        raise Problem(
            403,
            "Another tenant",
            f"this token is for {who.tenant!r}, the fact says {tenant!r}",
            "tenant",
            "must be the token's",
        )
    if content.get("partitionkey") is None:
        content["partitionkey"] = partition_key(tenant, str(content.get("subject")))
    try:
        value = orjson.dumps(content)
        fact = accepted(content, value, at)
        check(fact, policy)
        _may_void(fact, who)
    except Refused as wrong:
        raise refusal(wrong) from None
    except UnknownJurisdiction as unknown:
        rule = outlawed(unknown)
        raise Problem(422, "Not a fact", f"data.jurisdiction: {rule}", "data.jurisdiction", rule) from None
    except (TypeError, orjson.JSONEncodeError):
        raise Problem(422, "Not a fact", "(record): holds what JSON cannot", "(record)", "must be JSON") from None
    key = partition_key(fact.tenant, fact.subject).encode()
    return Admitted(fact.id, key, value, fact.type if fact.data is None else None)


def _may_send(content: dict[str, Any], who: Bearer) -> None:
    kind = content.get("type")
    name = kind.removeprefix(PREFIX) if isinstance(kind, str) else ""
    if name.startswith(OURS):
        raise Problem(
            403, "Not yours to send", f"{kind} is said by Parcours itself", "type", "is said by Parcours itself"
        )
    if name.startswith(OPERATORS) and who.role not in ("operator", "admin"):
        raise Problem(
            403, "Role needed", f"{kind} needs the role operator or admin", "type", "needs the role operator or admin"
        )


def _may_void(fact: Recorded, who: Bearer) -> None:
    data = fact.data
    if (
        isinstance(data, FactVoided)
        and data.of_source not in (None, fact.source)
        and who.role not in ("operator", "admin")
    ):
        rule = "voiding another source's fact needs the role operator or admin"
        raise Problem(403, "Role needed", f"data.of_source: {rule}", "data.of_source", rule)
