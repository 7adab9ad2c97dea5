"""What makes two records one fact, and what makes them contradict each other. EVENTS section 1, DOMAIN section 2."""

import hashlib
import json
import re
from typing import Any, Final
from uuid import UUID

import orjson
import rfc8785

from events.envelope import parsed

NOT_CONTENT = frozenset({"recordedtime", "traceparent", "tenant", "partitionkey"})
ALERTS = UUID("0d0c2f4e-9a3b-5c57-8b68-5f1c7a6f2b10")
NAMESPACE = ALERTS.bytes
STATED = ("specversion", "id", "source", "type", "subject", "tenant", "time", "recordedtime")
NAMED = ("into", "fact", "of_source")
CONTENT: Final = "parcours:content"
"""Under this name, which no attribute of CloudEvents can have, a correction that is `bared` says what it was."""
DIGEST: Final = re.compile("[0-9a-f]{64}")


def canonical(content: dict[str, Any]) -> bytes:
    """Canonical JSON (RFC 8785) of what the emitter said, without what the way to us adds."""
    said = {name: value for name, value in content.items() if name not in NOT_CONTENT}
    try:
        return bytes(rfc8785.dumps(said))
    except rfc8785.CanonicalizationError:  # integers beyond 2**53 have no canonical form there
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def bare(raw: bytes) -> bytes:
    """A merge, a void or an erasure with what makes it one, and no word more: it outlives an erasure."""
    return orjson.dumps(_bare(parsed(raw)))


def bared(raw: bytes) -> bytes:
    """As `bare`; whether copies of it contradict each other is still told, by a digest."""
    content = parsed(raw)
    return orjson.dumps(_bare(content) | {CONTENT: _digest(content)})


def contents(one: bytes, other: bytes) -> tuple[tuple[bytes, str], tuple[bytes, str]]:
    """What two copies of a fact say, to be compared, and put in order: in full, or by what is left and its digest where one is `bared`."""
    said, also = parsed(one), parsed(other)
    if CONTENT in said or CONTENT in also:
        return (canonical(_bare(said)), _digest(said)), (canonical(_bare(also)), _digest(also))
    return (canonical(said), ""), (canonical(also), "")


def _bare(content: dict[str, Any]) -> dict[str, Any]:
    said = {name: content[name] for name in STATED if name in content}
    data = content.get("data", {})
    kept = {name: data[name] for name in NAMED if name in data} | ({"reason": ""} if "reason" in data else {})
    return said | {"data": kept}


def _digest(content: dict[str, Any]) -> str:
    """Of a fact's content; of one that is `bared`, what it was. Somebody may write that name themselves: it is no word all the same."""
    kept = content.get(CONTENT)
    return kept if isinstance(kept, str) and DIGEST.fullmatch(kept) else hashlib.sha256(canonical(content)).hexdigest()


def alert_id(tenant: str, finding: str, n: int) -> str:
    """The CloudEvents id of the n-th thing said of a finding, as uuid5 makes it. EVENTS section 4."""
    digest = bytearray(
        hashlib.sha1(NAMESPACE + f"{tenant}|{finding}|{n}".encode(), usedforsecurity=False).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unreadable(tenant: str, subject: str, source: str, name: str) -> bytes:
    """A digest of a fact's identity: what is kept of one that was erased."""
    return hashlib.sha256(f"{tenant}\x1f{subject}\x1f{source}\x1f{name}".encode()).digest()
