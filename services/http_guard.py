"""The HTTP protocol with patience and measure: headers must come in time and be few, a body in time, or the connection ends with a
reason.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLOWEST_HEADERS = 10.0
SLOWEST_BODY = 20.0
MOST_HEADERS = 100
LONGEST_HEADERS = 64 * 1024
MOST_GATHERED = 64 * 1024


class OnePacket:
    """A transport that sends what is written at one go as one packet, not the head of an answer and then its body: half the system
    calls of the door, and of whoever reads it. What is more than `MOST_GATHERED` is passed on at once, so that whoever writes is
    told to wait.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this with what is written before the loop goes on."""
        if not self._waiting:
            self._loop.call_soon(self._pass_on)
        self._waiting.append(data)
        self._size += len(data)
        if self._size > MOST_GATHERED:
            self._pass_on()

    def close(self) -> None:
        """Close once everything is sent."""
        self._pass_on()
        self._transport.close()

    def _pass_on(self) -> None:
        if self._waiting:
            waiting, self._waiting, self._size = self._waiting, [], 0
            if not self._transport.is_closing():  # else whoever waited for it has gone
                self._transport.writelines(waiting)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, which has no limits of its own. A request that comes in one piece costs no timer."""

    _guard: asyncio.TimerHandle | None = None
    _awaits = ""
    _guarded = ""
    _size = 0
    _ended = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast("asyncio.Transport", OnePacket(transport, self.loop)))
        self._awaits = "headers"
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._size += len(data)
        super().data_received(data)
        if self._awaits:  # of a body, what is counted is what comes behind it: trailers
            self._measure(self._size)
        if self._awaits != self._guarded:
            self._look()

    def on_message_begin(self) -> None:
        self._disarm()  # each request has its own time, also behind another in one piece
        self._guarded, self._awaits = "", "headers"
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._measure(len(self.url) + sum([len(name) + len(value) for name, value in self.headers]))
        self._awaits, self._size = "body", 0
        if not self._ended:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._size = 0
        if not self._ended:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._awaits, self._size = "", 0
        if not self._ended:
            super().on_message_complete()

    def _measure(self, size: int) -> None:
        if size > LONGEST_HEADERS or len(self.headers or ()) > MOST_HEADERS:
            self._end(b"431 Request Header Fields Too Large", b"too many headers, or too long ones")

    def _look(self) -> None:
        """Have a timer for what is awaited now, and none when nothing is."""
        self._disarm()
        self._guarded = self._awaits
        if self._awaits == "headers":
            self._guard = self.loop.call_later(
                SLOWEST_HEADERS, self._end, b"408 Request Timeout", b"the headers did not come in time"
            )
        elif self._awaits == "body":
            self._guard = self.loop.call_later(
                SLOWEST_BODY, self._end, b"408 Request Timeout", b"the body did not come in time"
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
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.pipeline or (answering and (self._awaits == "headers" or self.cycle.response_started)):
            self.transport.close()  # what is said now would be read as the answer to another request
            return
        body = b'{"type":"about:blank","title":"Refused","status":' + status[:3] + b',"detail":"' + why + b'"}'
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode() + b"\r\n\r\n" + body
        )  # fmt: skip
        self.transport.close()
