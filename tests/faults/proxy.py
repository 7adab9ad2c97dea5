"""Between the services and PostgreSQL: a wire that can be cut, slowed, or cut when a COMMIT has been done and not yet answered."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

COMMITTED = b"COMMIT\x00"  # the tag of PostgreSQL's CommandComplete


@dataclass
class Proxy:
    """Forwards what comes to its port to a server's."""

    to_port: int
    port: int = 0
    delay: float = 0.0
    answers_to_lose: int = 0
    lost: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, on any port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and cut what is open."""
        self.cut()
        if self._server is not None:
            self._server.close()

    def cut(self) -> None:
        """Every connection ends at once, as when a cable is pulled and the router says so."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pass_on(reader, server_writer, both, answers=False),
                self._pass_on(server_reader, writer, both, answers=True),
            )
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: set[asyncio.StreamWriter], *, answers: bool
    ) -> None:  # fmt: skip
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if answers and self.answers_to_lose and COMMITTED in data:
                    self.answers_to_lose -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        for one in both:
            one.transport.abort()
