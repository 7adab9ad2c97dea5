"""Past what pages need on the way: a request for facts needs no session, no language and no template."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class Straight:
    """An app whose busiest addresses (method, path) go straight to their functions; everything else is the app's."""

    def __init__(self, api: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._api, self._endpoints = api, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._api(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)
