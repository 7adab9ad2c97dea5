"""Keeping services alive: processes and tasks that are begun again when they end."""

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil
import structlog

from services.settings import Settings

log = structlog.get_logger("parcours.instance")


@dataclass(slots=True)
class Child:
    """A projector process that is started again when it ends."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """In a session of its own: Ctrl-C reaches us, and we stop it in our order."""
        self.log.touch(mode=0o600)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )
        self.starts += 1

    async def keep(self) -> NoReturn:
        """Start it again whenever it ends, more slowly the more often it does."""
        pause = 0.2
        while True:
            started = asyncio.get_running_loop().time()
            self.start()
            code = await asyncio.to_thread(self._wait)
            lived = asyncio.get_running_loop().time() - started
            pause = 0.2 if lived > 60 else min(pause * 2, 10.0)
            log.warning("projector ended", code=code, again_in=pause)
            await asyncio.sleep(pause)

    def _wait(self) -> int | None:
        return None if self.process is None else self.process.wait()

    async def stop(self, seconds: float = 25.0) -> None:
        """SIGTERM, and SIGKILL if it does not drain in time (nothing is lost by that)."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()


def leftovers(one: Settings) -> list[psutil.Process]:
    """Projectors of this home whose `up` is gone: they would go on beside the new ones."""
    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        try:
            ours = "services.command_line.main" in words and "projector" in words and process.info["ppid"] == 1
            if ours and process.environ().get("PARCOURS_HOME") == str(one.home):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def kept(name: str, service: Callable[[], Awaitable[NoReturn]], pause: float = 0.2) -> NoReturn:
    """Run a service for ever: one that fails says why in the log and is begun again, more slowly the more often it does."""
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await service()
        except Exception as wrong:
            lived = asyncio.get_running_loop().time() - began
            pause = 0.2 if lived > 60 else min(pause * 2, 10.0)
            log.exception("service failed", service=name, error=type(wrong).__name__, again_in=pause)
            await asyncio.sleep(pause)


async def until_stopped() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
