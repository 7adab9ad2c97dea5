"""Into the console: a one-time link, or the house's own login by OpenID Connect (Authlib), roles from a claim."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from authlib.integrations.starlette_client import OAuth, OAuthError
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.console.visits import NotAllowed, language_of, open_session
from services.security import Role, Visitor, use_link
from services.tables import Pool

ROLES = ("admin", "operator", "reader")
TENANT, DEPARTMENTS = "parcours_tenant", "parcours_departments"


class Login:
    """The ways in. OIDC is there when PARCOURS_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET are set."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._link = (os.environ.get("PARCOURS_LINK") or "").rstrip("/")
        self.https = self._link.startswith("https://")
        self.issuer = os.environ.get("PARCOURS_OIDC_ISSUER")
        self.name = os.environ.get("PARCOURS_OIDC_NAME") or "OpenID Connect"
        self._roles = os.environ.get("PARCOURS_OIDC_ROLE_CLAIM") or "parcours_role"
        self._oauth = OAuth()
        if self.issuer:
            self._oauth.register(
                "house",
                server_metadata_url=self.issuer.rstrip("/") + "/.well-known/openid-configuration",
                client_id=os.environ.get("PARCOURS_OIDC_CLIENT_ID"),
                client_secret=os.environ.get("PARCOURS_OIDC_CLIENT_SECRET"),
                client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
            )

    def add(
        self, routes: APIRouter, page: Callable[..., Response], view: Callable[..., Awaitable[Any]], pool: Pool
    ) -> None:
        """The routes of coming and going."""

        @routes.get("/login")
        async def login(request: Request, key: str = "", next: str = "") -> Response:  # noqa: A002 - the address says next
            wanted = _ours(next or request.session.get("next", ""))
            language = language_of(request, wanted or "")
            async with pool.acquire() as connection:
                shown = await view(connection, language)
                who = await use_link(connection, key) if key else None
            if who is not None:
                open_session(request, who)
                return RedirectResponse(wanted or f"/{language}", 303)
            if next:
                request.session["next"] = next[:500]
            hint = shown.t("login_wrong" if key else "login_hint")
            return page(
                request, None, shown, "login", 403 if key else 200, hint=hint,
                provider=self.name if self.issuer else None,
            )  # fmt: skip

        @routes.get("/login/house")
        async def house(request: Request) -> Response:
            if not self.issuer:
                raise NotAllowed
            # behind a proxy, the address people use is not the one this process sees
            back = f"{self._link}/login/back" if self._link else request.url_for("house_back")
            return cast("Response", await self._oauth.house.authorize_redirect(request, str(back)))

        @routes.get("/login/back")
        async def house_back(request: Request) -> Response:
            if not self.issuer:
                raise NotAllowed
            wanted = request.session.get("next", "")
            try:
                token = await self._oauth.house.authorize_access_token(request)
            except OAuthError:
                raise NotAllowed from None
            claims = dict(token.get("userinfo") or {})
            if not claims.keys() >= {self._roles, TENANT, DEPARTMENTS}:  # some houses tell more there than in the token
                known = await self._oauth.house.load_server_metadata()
                if "userinfo_endpoint" in known:
                    claims = dict(await self._oauth.house.userinfo(token=token)) | claims
            who = visitor(claims, self._roles)
            if who is None:
                raise NotAllowed
            open_session(request, who)
            return RedirectResponse(_ours(wanted) or f"/{language_of(request)}", 303)

        @routes.post("/logout")
        async def logout(request: Request) -> Response:
            language = language_of(request)
            request.session.clear()
            request.session["lang"] = language
            return RedirectResponse("/login", 303)


def visitor(claims: Mapping[str, Any], role_claim: str) -> Visitor | None:
    """Who the house says it is; nobody without a role of ours, or where it cannot be told what they may see."""
    roles = _texts(claims.get(role_claim)) or []
    role = next((one for one in ROLES if one in roles), None)
    tenant, only = claims.get(TENANT, "default"), claims.get(DEPARTMENTS)
    departments = _texts(only)
    if role is None or not isinstance(tenant, str) or (only is not None and not departments):
        return None
    name = str(claims.get("preferred_username") or claims.get("name") or claims.get("sub"))[:128]
    return Visitor(name, tenant, cast("Role", role), tuple(departments) if departments else None)


def _texts(said: object) -> list[str] | None:
    """A claim of one text or of several; None where it is neither."""
    if isinstance(said, str):
        return [said] if said else None
    if isinstance(said, list) and all(isinstance(one, str) and one for one in said):
        return said
    return None


def _ours(path: str) -> str | None:
    """Only a page of ours: an address elsewhere would be a trap."""
    if path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable():
        return path
    return None
