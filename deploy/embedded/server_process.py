"""What both servers need: a folder of their own, a free port that stays theirs, a process that can be found again."""

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take ports for outgoing connections: a port kept between runs must not
# be borrowed by somebody's browser meanwhile.
PORTS = range(20_000, 32_000)
ROOM_NEEDED = 512 * 1024**2
LOG_KEPT = 8 * 1024**2


class EmbeddedServerError(RuntimeError):
    """A sentence for a person: what is wrong and what to do about it."""


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT is no obstacle
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def pick_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.sample(PORTS, 200):
        if not is_taken(port):
            found.append(port)
            if len(found) == count:
                return found
    raise EmbeddedServerError(f"No {count} free ports between {PORTS.start} and {PORTS.stop} on {LOOPBACK}.")


def require_free(port: int, what: str, kept_in: Path) -> None:
    if not wait_until(lambda: not is_taken(port), 2.0):  # its predecessor may be a moment in leaving
        raise EmbeddedServerError(
            f"Port {port} on {LOOPBACK}, the address of {what} in this folder, is taken by another program{_owner(port)}. "
            f"Stop that program, or delete {kept_in} to let {what} move to another port."
        )


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" ({psutil.Process(connection.pid).name()}, process {connection.pid})"
    except (psutil.Error, OSError):
        pass  # not every system lets us ask
    return ""


def require_room(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise EmbeddedServerError(
            f"Nothing can be written to {folder}: {error.strerror}. Is the disk mounted and yours?"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < ROOM_NEEDED:
        raise EmbeddedServerError(
            f"Only {free // 1024**2} MB are free on the disk of {folder}; at least {ROOM_NEEDED // 1024**2} MB are needed."
        )


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """All of the text or none of it, whenever the process is killed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def read_json(path: Path) -> dict[str, object]:
    try:
        read: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EmbeddedServerError(f"{path} cannot be read: {error}. Delete it to have it made anew.") from error
    return read if isinstance(read, dict) else {}


def text_of(read: Mapping[str, object], key: str) -> str | None:
    value = read.get(key)
    return value if isinstance(value, str) else None


def number_of(read: Mapping[str, object], key: str) -> int | None:
    value = read.get(key)
    return value if isinstance(value, int) else None


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Two commands in the same folder start one server, not two. The lock goes with its holder, even by kill -9."""
    with open(lock, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_KEPT:
        os.replace(log, log.with_name(log.name + ".1"))


def end_of(log: Path, lines: int = 8) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str],
    user: int | None = None,
    group: int | None = None,
) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C on the terminal reaches us and not the server, which we stop last."""
    rotate(log)
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )


@dataclass
class ServerProcess:
    """A server by its process: our child, or one that an earlier run left behind and that we took over."""

    name: str
    pid: int
    mark: str  # an argument of the command line that only this server has: a number alone may be somebody else's by now
    log: Path
    stop_signal: signal.Signals
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def is_alive(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None
        return runs_with(self.pid, self.mark)

    def resident_bytes(self) -> int:
        try:
            process = psutil.Process(self.pid)
            return sum(int(each.memory_info().rss) for each in [process, *process.children(recursive=True)])
        except psutil.Error:
            return 0

    def wait_gone(self, seconds: float) -> bool:
        return wait_until(lambda: not self.is_alive(), seconds)

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        def over() -> bool:
            return not self.is_alive() or ready()

        if not wait_until(over, seconds):
            self.kill()
            raise EmbeddedServerError(
                f"{self.name} was not ready after {seconds:.0f} s. The end of {self.log}:\n{end_of(self.log)}"
            )
        if not self.is_alive():
            raise EmbeddedServerError(f"{self.name} ended while starting. The end of {self.log}:\n{end_of(self.log)}")

    def stop(self, seconds: float = 30.0) -> None:
        """Cleanly; after that many seconds by force (nothing acknowledged is lost by that)."""
        self._send(self.stop_signal)
        if not self.wait_gone(seconds):
            self.kill()

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        self.wait_gone(10.0)

    def _send(self, which: signal.Signals) -> None:
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, which)


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs_with(pid: int, mark: str) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and mark in process.cmdline()
    except psutil.Error:
        return False


def find(name: str, mark: str) -> int | None:
    """Asking the system rather than a file with a number in it, which kill -9 leaves behind and a moment's crash leaves out."""
    for process in psutil.process_iter(["name", "status", "cmdline"]):
        facts = process.info
        if facts["name"] == name and facts["status"] != psutil.STATUS_ZOMBIE and mark in (facts["cmdline"] or []):
            return int(process.pid)
    return None
