"""What makes two records one fact, and what makes them contradict each other. EVENTS section 1, DOMAIN section 2."""

import hashlib
import json
from typing import Any
from uuid import UUID

import rfc8785

NOT_CONTENT = frozenset({"recordedtime", "traceparent", "tenant", "partitionkey"})
ALERTS = UUID("0d0c2f4e-9a3b-5c57-8b68-5f1c7a6f2b10")
NAMESPACE = ALERTS.bytes


def canonical(content: dict[str, Any]) -> bytes:
    """Canonical JSON (RFC 8785) of what the emitter said, without what the way to us adds."""
    said = {name: value for name, value in content.items() if name not in NOT_CONTENT}
    try:
        return bytes(rfc8785.dumps(said))
    except rfc8785.CanonicalizationError:  # integers beyond 2**53 have no canonical form there
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


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
