"""rebuild, verify, what-if, generations, rollback, drop: the tables made anew, and proved."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress

from services.command_line.facts import progress
from services.command_line.instance import LogWasLost, PolicyFile, read_policy
from services.command_line.showing import (
    AsJson,
    Exit,
    Home,
    Problem,
    heads,
    here,
    out,
    plainly,
    print_json,
    print_table,
    run,
    said,
    state_shown,
)
from services.projector import comparing
from services.projector import rebuild as making
from services.settings import EVENTS
from services.tables import BEHIND, connected, generations, open_pool
from services.tables_alerts import set_setting

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(rebuild))
    app.command()(plainly(verify))
    app.command("what-if")(plainly(what_if))
    app.command("generations")(plainly(list_generations))
    app.command()(plainly(rollback))
    app.command()(plainly(drop))


async def working(home: Path | None, what: Callable[[making.Rebuilding], Awaitable[T]]) -> T:
    """Do something with the log and the tables of a running instance, with a bar."""
    _, found = here(home)
    os.nice(BEHIND)  # whoever reads and writes meanwhile goes first
    pool = await open_pool(str(found["postgres"]), "rebuild", gives_way=True)
    try:
        with progress() as bar:
            one = making.Rebuilding(
                str(found["kafka"]), pool, EVENTS, bool(found.get("clock", True)), stepping(bar), str(found["postgres"])
            )
            return await what(one)
    finally:
        await pool.close()


def stepping(bar: Progress) -> making.Step:
    """Show records done, rate and time left."""
    task = bar.add_task(said("folding", "calcul"), total=None, rate="")

    def step(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, rate=f"{bar.tasks[task].speed or 0:,.0f}/s")

    return step


def rebuild(
    home: Home = None,
    policy_file: PolicyFile = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a rebuild that was interrupted.")] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=64, help="Processes that share the partitions.")
    ] = min(4, os.cpu_count() or 1),
    log_was_lost: LogWasLost = False,
) -> None:
    """Make the tables anew from the log, beside the old ones, and switch when they have caught up.

    Example: parcours rebuild --policy policy.json
    """
    chosen = read_policy(policy_file)
    one_home, _ = here(home)

    async def work(one: making.Rebuilding) -> int:
        if one_home.home.exists():
            await making.room_for_another(one, one_home.home)
        one = replace(one, log_was_lost=log_was_lost)
        made = await making.rebuild(one, chosen, resume=resume, processes=processes)
        return made.id

    _in_use(run(working(home, work)))


def _in_use(generation: int) -> None:
    out.print(said(f"Generation {generation} is in use.", f"La génération {generation} sert maintenant."), markup=False)


def verify(home: Home = None, *, as_json: AsJson = False) -> None:
    """Fold the whole log anew, aside, and compare every table; exit 1 and the patients' names on any difference.

    Example: parcours verify
    """
    _, found = here(home)

    async def work(one: making.Rebuilding) -> comparing.Verdict:
        async with connected(str(found["postgres"]), "verify") as connection:
            verdict = await comparing.verify(one, connection)
            now = datetime.now(UTC).isoformat()
            await set_setting(
                connection, "last_verify", {"at": now, "same": verdict.is_same, "patients": verdict.persons}
            )
            return verdict

    verdict = run(working(home, work))
    told: dict[str, Any] = {
        "same": verdict.is_same, "patients": verdict.persons, "records": verdict.records, "seconds": round(verdict.seconds, 1),
        "differences": {table: [f"{tenant}/{patient}" for tenant, patient in odd] for table, odd in verdict.differences.items()},
    }  # fmt: skip
    if as_json:
        print_json(told)
    elif verdict.is_same:
        secondes = str(told["seconds"]).replace(".", ",")
        out.print(
            said(
                f"The same: {verdict.persons} patients, {verdict.records} records folded anew in {told['seconds']} s.",
                f"Identique : {verdict.persons} patients, {verdict.records} enregistrements recalculés en {secondes} s.",
            ),
            markup=False,
        )
    else:
        rows = [(table, len(odd), ", ".join(odd[:20])) for table, odd in told["differences"].items()]
        title = said("The tables are not the fold of the log", "Les tables ne sont pas ce que donne le journal")
        print_table(title, heads("table", "patients", "who"), rows)
    if not verdict.is_same:
        raise typer.Exit(int(Exit.PROBLEM))


def what_if(policy_file: PolicyFile = None, home: Home = None, *, as_json: AsJson = False) -> None:
    """Which findings another policy would open, close or change; nothing is switched.

    Example: parcours what-if --policy policy.json --json
    """
    chosen = read_policy(policy_file)
    if chosen is None:
        raise Problem(said("which policy? say --policy FILE", "quelle politique ? indiquez --policy FICHIER"))
    policy = chosen

    async def work(one: making.Rebuilding) -> list[dict[str, Any]]:
        return await comparing.what_if(one, policy)

    rows = run(working(home, work))
    if as_json:
        print_json(rows)
        return
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row["what"], row["kind"]] = counts.get((row["what"], row["kind"]), 0) + 1
    print_table(
        said("What would change", "Ce qui changerait"),
        heads("what", "finding", "how many"),
        [(what, kind, n) for (what, kind), n in sorted(counts.items())],
    )
    print_table(
        said("The first of them", "Les premiers"),
        heads("what", "finding", "patient", "level now", "level then"),
        [(r["what"], r["id"], r["patient"], r["level_now"], r["level_then"]) for r in rows[:50]],
    )


def list_generations(home: Home = None, *, as_json: AsJson = False) -> None:
    """The generations of the tables, and which is in use.

    Example: parcours generations
    """
    _, found = here(home)

    async def read() -> list[dict[str, Any]]:
        async with connected(str(found["postgres"]), "generations") as connection:
            return [
                {
                    "id": g.id,
                    "state": g.state,
                    "policy": g.policy.id,
                    "policy_version": g.policy.version,
                    "fold_version": g.fold_version,
                }
                for g in await generations(connection)
            ]

    rows = run(read())
    if as_json:
        print_json(rows)
    else:
        print_table(
            said("Generations", "Générations"),
            heads("id", "state", "policy", "its version", "fold version"),
            [tuple((row | {"state": state_shown(row["state"])}).values()) for row in rows],
        )


def rollback(home: Home = None) -> None:
    """Back to the generation before: it catches up first.

    Example: parcours rollback
    """

    async def work(one: making.Rebuilding) -> int:
        return (await comparing.rollback(one)).id

    _in_use(run(working(home, work)))


def drop(number: Annotated[int, typer.Argument(metavar="ID")], home: Home = None) -> None:
    """Remove a generation that is not in use.

    Example: parcours drop 1
    """

    async def work(one: making.Rebuilding) -> None:
        await comparing.drop(one.pool, number)

    run(working(home, work))
    out.print(said(f"Generation {number} is gone.", f"La génération {number} est supprimée."), markup=False)
