"""publish, fold, export: facts in, and the result of a fold out."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from events.catalogue import decoded
from events.envelope import Refused, parsed
from events.times import instant
from projections.jurisdictions import UnknownJurisdiction
from projections.patient import check
from projections.policy import Policy
from projections.rows import Log, Row, result
from services import reading
from services.command_line.instance import PolicyFile, read_policy
from services.command_line.showing import (
    AsJson,
    Exit,
    Home,
    Problem,
    Tenant,
    err,
    fail,
    here,
    out,
    plainly,
    print_json,
    run,
    said,
)
from services.importer.words import counted
from services.log_writing import LogWriter
from services.projector.records import parked_digest
from services.publishing import Published, lines, until_caught_up
from services.publishing import publish as publish_lines
from services.tables import NoGeneration, active_generation, connected

Wait = Annotated[bool, typer.Option("--wait", help="Return once the tables hold everything published.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(publish))
    app.command()(plainly(fold))
    app.command()(plainly(export))


def progress() -> Progress:
    """A bar on standard error: what is done, how fast, how long still."""
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=err, transient=True,
    )  # fmt: skip


async def policy_here(url: str) -> tuple[Policy, int]:
    """The policy in force, and the number of partitions."""
    async with connected(url, "command") as connection:
        generation = await active_generation(connection)
        if generation is None:
            raise NoGeneration("there are no read tables yet: parcours up")
        number = await connection.fetchval("select count(*) from parcours.checkpoint")
    return generation.policy, int(number)


async def send(found: dict[str, Any], source: Iterable[bytes], total: int | None, *, wait: bool) -> Published:
    """Publish lines with a bar, and wait for the tables if asked to."""
    policy, partitions = await policy_here(str(found["postgres"]))
    writer = LogWriter(str(found["kafka"]))
    try:
        with progress() as bar:
            task = bar.add_task(said("publishing", "publication"), total=total, rate="")

            def step(n: int) -> None:
                bar.advance(task, n)
                bar.update(task, rate=f"{bar.tasks[task].speed or 0:,.0f}/s")

            done = await publish_lines(writer, source, partitions, policy, step)
    finally:
        await writer.close()
    if wait:
        await wait_for(str(found["postgres"]), done.ends)
    return done


async def wait_for(url: str, ends: dict[int, int]) -> None:
    """Wait until the tables hold everything up to those ends of the log."""
    async with connected(url, "waiting") as connection:
        with progress() as bar:
            task = bar.add_task(said("folding", "calcul"), total=None, rate="")
            async for behind in until_caught_up(connection, ends):
                total = max(int(bar.tasks[task].total or 0), behind)
                bar.update(task, total=total, completed=total - behind, rate=f"{bar.tasks[task].speed or 0:,.0f}/s")


def publish(
    file: Annotated[Path, typer.Argument(help="CloudEvents, one a line.")],
    home: Home = None,
    *,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Write the facts of a file to Kafka, in file order; each tick goes to every partition.

    Example: parcours publish facts.jsonl --wait
    """
    _, found = here(home)
    total = _examined(file)
    done = run(send(found, lines(file), total, wait=wait))
    if as_json:
        print_json({"facts": done.facts, "ticks": done.ticks, "will_be_parked": done.refused})
    else:
        published = said(f"{counted(done.facts, 'fact')} published", f"{counted(done.facts, 'fait')} au journal")
        parked = said(
            f"{counted(done.refused, 'line')} that will be parked", f"{counted(done.refused, 'ligne')} à mettre de côté"
        )
        out.print(f"{published}, {parked}.", markup=False)
        for number, wrong in done.wrong.items():
            err.print(said(f"  line {number}: {wrong}", f"  ligne {number} : {wrong.fr}"), markup=False)
        if done.refused:
            err.print(said("  all of them: parcours parked list", "  toutes : parcours parked list"), markup=False)
    if done.refused:
        raise typer.Exit(int(Exit.PROBLEM))


def _examined(file: Path) -> int:
    """How many lines a file has. One in which not a line is a JSON object is refused: the log is kept for ever."""
    total, objects = 0, False
    for line in filter(None, lines(file)):
        total += 1
        if not objects:
            try:
                parsed(line)
            except Refused:
                continue
            objects = True
    if not total:
        raise Problem(said(f"{file}: holds no line", f"{file} : aucune ligne"))
    if not objects:
        raise Problem(
            said(
                f"{file}: not one of its {total} lines is a JSON object. An event log is taken in with: parcours import",
                f"{file} : aucune de ses {total} lignes n'est un objet JSON. Un journal d'événements se prend avec : parcours import",
            )
        )
    return total


def read_log(file: Path, policy: Policy) -> Log:
    """The facts of a file; what is no fact is counted, and stops nothing."""
    log = Log(policy)
    for line in filter(None, lines(file)):
        add(log, line)
    return log


def add(log: Log, line: bytes) -> None:
    """One line to a log: a fact, or counted as none."""
    try:
        fact = decoded(line)
        check(fact, log.policy)
    except (Refused, UnknownJurisdiction):
        log.parked.add(parked_digest(line))
    else:
        log.add(fact)


def folded(file: Path, policy: Policy, watermark: datetime | None) -> Row:
    """The result of a file's fold."""
    log = read_log(file, policy)
    if watermark is not None and (log.watermark is None or watermark > log.watermark):
        log.watermark = watermark
    return result(log)


def fold(
    files: Annotated[list[Path], typer.Argument(help="CloudEvents, one a line; each file is a partition of its own.")],
    policy_file: PolicyFile = None,
    watermark: Annotated[
        str | None, typer.Option("--watermark", help="Evaluate at this instant, if later than the file's own.")
    ] = None,
) -> None:
    """Fold facts without any server, and print what comes out (EVENTS section 6).

    Example: parcours fold facts.jsonl --policy policy.json
    """
    policy = read_policy(policy_file) or Policy()
    try:
        at = None if watermark is None else instant(watermark)
    except ValueError as wrong:
        fail(f"--watermark {wrong}", Exit.USAGE)
    for file in files:
        _examined(file)
        found = folded(file, policy, at)
        if len(files) == 1:
            print_json(found)
        else:
            out.file.write(orjson.dumps(found).decode() + "\n")


def export(home: Home = None, tenant: Tenant = None, *, as_json: AsJson = True) -> None:
    """Print the read tables in the same shape as `fold`.

    Example: parcours export --tenant north
    """
    del as_json
    _, found = here(home, tenant)

    async def read() -> Row:
        async with connected(str(found["postgres"]), "export") as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await reading.export(connection, tenant)

    print_json(run(read()))
