"""Somebody else's web server: takes webhooks, verifies them with the specification's own library, and misbehaves on demand."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError


@dataclass
class Taken:
    """One request as it came."""

    name: str
    genuine: bool
    body: dict[str, Any]
    trace: str | None = None


@dataclass
class Receiver:
    """Answers each request as `answer` says: a status, or 'hang' or 'reset'; with headers if it gives a pair."""

    secret: str = ""
    answer: Callable[[int], Any] = lambda _: 204
    taken: list[Taken] = field(default_factory=list)
    on_taken: Callable[[Taken], Any] = lambda _: None
    connections: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._open_one, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    async def _open_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {}
                for row in head.split("\r\n")[1:]:
                    name, _, value = row.partition(": ")
                    headers[name.lower()] = value
                raw = await reader.readexactly(int(headers["content-length"]))
                said = self.answer(len(self.taken))
                status, more = said if isinstance(said, tuple) else (said, {})
                self.taken.append(
                    Taken(
                        headers.get("webhook-id", ""),
                        self._is_genuine(raw, headers),
                        json.loads(raw),
                        headers.get("traceparent"),
                    )
                )
                self.on_taken(self.taken[-1])
                if status == "hang":
                    await asyncio.sleep(60)
                if status == "reset":
                    writer.transport.abort()
                    return
                extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{extra}content-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _is_genuine(self, raw: bytes, headers: dict[str, str]) -> bool:
        try:
            Webhook(self.secret).verify(raw, headers)
        except (WebhookVerificationError, EmptyWebhookSecretError):
            return False
        return True
