"""Tokens: random, shown once, kept only as a hash. DESIGN section 2."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from services.tables import Connection

Role = Literal["emitter", "reader", "operator", "admin"]
ROLES: tuple[Role, ...] = ("emitter", "reader", "operator", "admin")
RANKS = {role: rank for rank, role in enumerate(ROLES)}
PREFIX = "parcours_"


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token stands for."""

    id: str
    tenant: str
    role: Role
    departments: tuple[str, ...] | None = None
    """What the bearer may see; None is everything of the tenant."""


def hashed(token: str) -> bytes:
    """What is stored of a token: it has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()


async def create_token(
    connection: Connection, tenant: str, role: Role, label: str, departments: Sequence[str] | None = None
) -> tuple[str, str]:
    """A new token: its id, and its text, which is shown this once."""
    number, text = secrets.token_hex(4), PREFIX + secrets.token_urlsafe(32)
    await connection.execute(
        "insert into parcours.token (id, tenant, role, hash, label, departments) values ($1, $2, $3, $4, $5, $6)",
        number, tenant, role, hashed(text), label, list(departments) if departments else None,
    )  # fmt: skip
    return number, text


async def bearer(connection: Connection, token: str) -> Bearer | None:
    """Whom a token stands for; None if nobody (unknown or revoked). Looked up by hash: nothing to time."""
    row = await connection.fetchrow(
        "select id, tenant, role, departments from parcours.token where hash = $1 and revoked_at is null", hashed(token)
    )
    if row is None:
        return None
    only = None if row["departments"] is None else tuple(row["departments"])
    return Bearer(row["id"], row["tenant"], cast("Role", row["role"]), only)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who came in by a one-time link. Without a tenant, every establishment's."""

    name: str
    tenant: str | None
    role: Role
    departments: tuple[str, ...] | None


async def create_link(connection: Connection, visitor: Visitor, minutes: int = 60) -> str:
    """The key of a one-time link into the console; only its hash is kept."""
    key = secrets.token_urlsafe(32)
    await connection.execute(
        "insert into parcours.login_link (hash, name, tenant, role, departments, expires_at)"
        " values ($1, $2, $3, $4, $5, now() + make_interval(mins => $6))",
        hashed(key), visitor.name, visitor.tenant, visitor.role,
        list(visitor.departments) if visitor.departments else None, minutes,
    )  # fmt: skip
    return key


async def use_link(connection: Connection, key: str) -> Visitor | None:
    """Whom a link lets in; it never opens twice."""
    row = await connection.fetchrow(
        "update parcours.login_link set used_at = now() where hash = $1 and used_at is null and expires_at > now()"
        " returning name, tenant, role, departments",
        hashed(key),
    )
    if row is None:
        return None
    only = None if row["departments"] is None else tuple(row["departments"])
    return Visitor(row["name"], row["tenant"], cast("Role", row["role"]), only)


async def session_key(connection: Connection) -> str:
    """What signs the console's cookies: made once for an instance."""
    await connection.execute(
        "insert into parcours.setting (name, value) values ('session_key', $1) on conflict (name) do nothing",
        secrets.token_urlsafe(48),
    )
    found: str = await connection.fetchval("select value from parcours.setting where name = 'session_key'")
    return found
