"""Who is looking: the signed cookie, the role, the language, and the proof that a form is ours."""

import secrets
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request

from services.console.texts import LANGUAGES, Language
from services.security import RANKS, Role, Visitor


class Away(Exception):
    """Nobody is logged in."""


class NotAllowed(Exception):
    """The role does not allow this, or the form is not ours."""


class Missing(Exception):
    """There is no such thing, or it is another establishment's."""


@dataclass(frozen=True, slots=True)
class Looking:
    """The person behind a request."""

    name: str
    role: Role
    tenant: str
    tenants: tuple[str, ...]
    departments: tuple[str, ...] | None
    csrf: str

    def may(self, role: Role) -> bool:
        return RANKS[self.role] >= RANKS[role]


def open_session(request: Request, who: Visitor) -> None:
    """Put a visitor into the signed cookie."""
    request.session.clear()
    request.session.update(
        name=who.name, role=who.role, tenant=who.tenant, only=list(who.departments) if who.departments else None,
        csrf=secrets.token_urlsafe(16),
    )  # fmt: skip


def looking(request: Request, tenants: tuple[str, ...]) -> Looking:
    """Whom the cookie names. Raises `Away`."""
    kept: dict[str, Any] = request.session
    if not kept.get("name") or kept.get("role") not in ("reader", "operator", "admin"):
        raise Away
    if kept.get("tenant"):
        mine: tuple[str, ...] = (kept["tenant"],)
        tenant = kept["tenant"]
    else:
        mine = tenants or ("default",)
        tenant = kept.get("chosen") if kept.get("chosen") in mine else mine[0]
        if tenants:
            kept["chosen"] = tenant  # another that comes by an import does not take its place
    only = None if kept.get("only") is None else tuple(kept["only"])
    return Looking(kept["name"], cast("Role", kept["role"]), str(tenant), mine, only, kept.get("csrf", ""))


def check_form(who: Looking, given: str, role: Role = "operator") -> None:
    """The form was made by a page of ours for this session, and its sender may do this. Raises `NotAllowed`."""
    if not who.csrf or not secrets.compare_digest(given.encode(), who.csrf.encode()) or not who.may(role):
        raise NotAllowed


def language_of(request: Request, wanted: str = "") -> Language:
    """The language of the address that is `wanted`, else the one last chosen, else what the browser likes, else French."""
    for one in LANGUAGES:
        if wanted.startswith(f"/{one}") and wanted[3:4] in ("", "/", "?"):
            return one
    kept = request.scope.get("session", {}).get("lang")  # a failure outside the session has none
    if kept in LANGUAGES:
        return cast("Language", kept)
    likes = request.headers.get("accept-language", "").lower()
    first = next((part[:2] for part in likes.split(",") if part[:2] in LANGUAGES), "fr")
    return cast("Language", first)
