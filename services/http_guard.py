"""The HTTP protocol with patience and measure: headers must come in time and be few, or the connection ends with a reason."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLOWEST_HEADERS = 10.0
MOST_HEADERS = 100
LONGEST_HEADERS = 64 * 1024


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, which has no limits of its own for what comes before a body."""

    _guard: asyncio.TimerHandle | None = None
    _count = 0
    _size = 0
    _ended = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._ended:
            super().data_received(data)

    def on_message_begin(self) -> None:
        self._count = self._size = 0
        self._arm()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._measure(len(url), 0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._measure(len(name) + len(value), 1)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._disarm()
        if not self._ended:
            super().on_headers_complete()

    def _measure(self, size: int, count: int) -> None:
        self._size += size
        self._count += count
        if self._count > MOST_HEADERS or self._size > LONGEST_HEADERS:
            self._end(b"431 Request Header Fields Too Large", b"too many headers, or too long ones")

    def _arm(self) -> None:
        self._disarm()
        self._guard = self.loop.call_later(
            SLOWEST_HEADERS, self._end, b"408 Request Timeout", b"the headers did not come in time"
        )

    def _disarm(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None

    def _end(self, status: bytes, why: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        self._disarm()
        body = b'{"type":"about:blank","title":"Refused","status":' + status[:3] + b',"detail":"' + why + b'"}'
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode() + b"\r\n\r\n" + body
        )  # fmt: skip
        self.transport.close()
