"""up, down, console: the life of an instance."""

import os
import signal
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import psutil
import typer

from deploy.embedded import kafka_server, postgres_server
from projections.policy import InvalidPolicy, Policy, policy
from services.command_line.showing import (
    Exit,
    Home,
    Problem,
    at_home,
    err,
    fail,
    fail_for,
    here,
    out,
    plainly,
    run,
    said,
)  # fmt: skip
from services.instance import Options
from services.instance import running as running_instance
from services.keeping import leftovers, until_stopped
from services.security import Role, Visitor, create_link
from services.servers import sole_owner
from services.settings import Settings, running, settings
from services.tables import connected

PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="A policy document (JSON or TOML): what differs from the defaults.")
]


LogWasLost = Annotated[
    bool,
    typer.Option("--log-was-lost", help="The log ends before what the tables have read: go on with what it holds."),
]

VISITORS = ("reader", "operator", "admin")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(up))
    app.command()(plainly(down))
    app.command()(plainly(console))


def read_policy(path: Path | None) -> Policy | None:
    """The policy of a file. Raises `InvalidPolicy`."""
    if path is None:
        return None
    try:
        text = path.read_bytes()
        document: Any = tomllib.loads(text.decode()) if path.suffix == ".toml" else orjson.loads(text)
    except OSError as wrong:
        raise InvalidPolicy(f"{path}: {wrong.strerror}") from wrong
    except ValueError as wrong:
        raise InvalidPolicy(f"{path}: {wrong}") from wrong
    if not isinstance(document, dict):
        raise InvalidPolicy(f"{path}: must hold one object")
    return policy(document)


def up(
    home: Home = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the API on 127.0.0.1.")] = None,
    policy_file: PolicyFile = None,
    projectors: Annotated[
        int, typer.Option("--projectors", min=1, max=64, help="Processes that share the partitions.")
    ] = 1,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is ready.")] = False,
    no_clock: Annotated[
        bool, typer.Option("--no-clock", help="No ticks: an imported history ends at its own last moment.")
    ] = False,
    log_was_lost: LogWasLost = False,
) -> None:
    """Start Kafka, PostgreSQL and every service here, and keep them running.

    Example: parcours up --detach
    """
    one = settings(home)
    chosen = read_policy(policy_file)
    if detach:
        flags = ["--no-clock"] * no_clock + ["--log-was-lost"] * log_was_lost
        _detach(one, port, policy_file, projectors, flags)
        return
    run(_up(one, Options(port, not no_clock, chosen, projectors, log_was_lost)))


async def _up(one: Settings, options: Options) -> None:
    with sole_owner(one):
        if one.restoring_file.exists():
            raise Problem(
                said(
                    f"putting a backup back into {one.home} was interrupted: what is there is not whole. Delete it, and restore once more.",
                    f"la remise d'une sauvegarde dans {one.home} a été interrompue : ce qui s'y trouve n'est pas entier. Supprimez-le, puis"
                    " recommencez.",
                )
            )
        started = time.monotonic()
        async with running_instance(one, options) as instance:
            for notice in instance.servers.notices:
                err.print(notice, style="yellow", markup=False)
            seconds = time.monotonic() - started
            ready = said(
                f"Parcours is ready after {seconds:.1f} s: facts to {instance.api}/v1/events",
                f"Parcours est prêt en {f'{seconds:.1f}'.replace('.', ',')} s : envoyez les faits à {instance.api}/v1/events",
            )
            out.print(ready, markup=False)
            await _show_link(instance.api, instance.servers.postgres_url)
            out.print(
                said(
                    "Look: parcours status · parcours bounced · parcours claims   Stop: Ctrl-C, or parcours down",
                    "Regarder : parcours status · parcours bounced · parcours claims   Arrêter : Ctrl-C, ou parcours down",
                ),
                markup=False,
            )
            await until_stopped()
            out.print(said("Stopping…", "Arrêt…"))


async def _show_link(api: str, postgres: str) -> None:
    """A way into the console for whoever reads this; not into a file, which others may read."""
    if stat.S_ISREG(os.fstat(1).st_mode):
        out.print(
            said("The console: parcours console prints a link.", "La console : parcours console écrit un lien."),
            markup=False,
        )
        return
    link = await console_link(api, postgres, Visitor("admin", None, "admin", None))
    opens = said("Console (opens once, within the hour): ", "Console (s'ouvre une fois, dans l'heure) : ")
    out.print(opens + link, markup=False, soft_wrap=True, highlight=False)


def _detach(one: Settings, port: int | None, policy_file: Path | None, projectors: int, flags: list[str]) -> None:
    there = at_home(one)
    if _pid(one) is not None:
        raise Problem(
            said(
                f"Parcours is already running in {one.home}. See `parcours status{there}`, stop it with `parcours down{there}`.",
                f"Parcours tourne déjà dans {one.home}. Voir `parcours status{there}` ; pour l'arrêter : `parcours down{there}`.",
            )
        )
    command = [sys.executable, "-m", "services.command_line.main", "up", "--home", str(one.home)]
    command += ["--port", str(port)] if port is not None else []
    command += ["--policy", str(policy_file.absolute())] if policy_file is not None else []
    command += ["--projectors", str(projectors), *flags]
    one.home.mkdir(parents=True, exist_ok=True)
    log = one.home / "parcours.log"
    begun = log.stat().st_size if log.exists() else 0
    log.touch(mode=0o600)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    while child.poll() is None:
        if running(one).get("pid") == child.pid:
            api = running(one)["api"]
            ready = said(
                f"Parcours is ready: facts to {api}/v1/events. Stop it with: parcours down{there}",
                f"Parcours est prêt : envoyez les faits à {api}/v1/events. Pour l'arrêter : parcours down{there}",
            )
            out.print(ready, markup=False)
            run(_show_link(str(running(one)["api"]), str(running(one)["postgres"])))
            return
        time.sleep(0.05)
    with log.open("rb") as file:
        file.seek(begun)
        why = file.read().decode("utf-8", "replace").strip()
    fail(
        why or said(f"it ended at once: see {log}", f"il s'est arrêté aussitôt : voir {log}"),
        Exit(child.returncode) if child.returncode in set(Exit) else Exit.PROBLEM,
    )


def _pid(one: Settings) -> int | None:
    """The process that keeps a home, if it lives."""
    pid = running(one).get("pid")
    if not isinstance(pid, int) or not psutil.pid_exists(pid):
        return None
    try:
        return (
            pid
            if "services.command_line.main" in " ".join(psutil.Process(pid).cmdline()) or _is_parcours(pid)
            else None
        )
    except psutil.Error:
        return None


def _is_parcours(pid: int) -> bool:
    return any("parcours" in part for part in psutil.Process(pid).cmdline())


def down(home: Home = None) -> None:
    """Stop the instance that runs here.

    Example: parcours down
    """
    one = settings(home)
    pid = _pid(one)
    if pid is None:
        _reap(one)
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 90
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            fail(said(f"process {pid} does not stop", f"le processus {pid} ne s'arrête pas"), Exit.PROBLEM)
        time.sleep(0.05)
    out.print(said("Stopped.", "Arrêté."))


def _reap(one: Settings) -> None:
    """What an `up` that was killed has left behind: its projectors and its servers."""
    left = leftovers(one)
    for process in left:
        process.terminate()
    psutil.wait_procs(left, timeout=30)
    stopped = [said(f"{len(left)} projectors", f"{len(left)} projecteurs")] if left else []
    for name, server in (
        ("Kafka", kafka_server.running(one.home / "kafka")),
        ("PostgreSQL", postgres_server.running(one.home / "postgres")),
    ):
        if server is not None:
            server.stop()
            stopped.append(name)
    one.run_file.unlink(missing_ok=True)
    if stopped:
        listed = ", ".join(stopped)
        out.print(
            said(
                f"`up` had been killed; what it left is stopped: {listed}.",
                f"`up` avait été tué ; ce qu'il avait laissé est arrêté : {listed}.",
            ),
            markup=False,
        )
    else:
        out.print(said(f"Nothing is running in {one.home}.", f"Rien ne tourne dans {one.home}."), markup=False)


async def console_link(api: str, postgres: str, who: Visitor) -> str:
    """A one-time way into the console."""
    async with connected(postgres, "console") as connection:
        return f"{api}/login?key={await create_link(connection, who)}"


def console(
    home: Home = None,
    name: Annotated[
        str, typer.Option("--name", help="Who it is for: the name that stands beside what they do.")
    ] = "admin",
    role: Annotated[str, typer.Option("--role", help="reader, operator or admin.")] = "admin",
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this establishment (default: all).")] = None,
    department: Annotated[
        list[str] | None, typer.Option("--department", help="Only what concerns these departments (may be repeated).")
    ] = None,
) -> None:
    """Print a link that opens the console once, within the hour.

    Example: parcours console --name "Mme Lambert" --role operator --tenant north
    """
    if role not in VISITORS:
        fail_for("--role", VISITORS, role)
    _, found = here(home)
    who = Visitor(name, tenant, cast("Role", role), tuple(department) if department else None)
    out.print(
        run(console_link(str(found.get("api") or ""), str(found["postgres"]), who)),
        markup=False,
        soft_wrap=True,
        highlight=False,
    )
