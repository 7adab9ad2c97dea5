"""backup, restore: log and tables together, in a folder."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.backup import Place, back_up, index_of, put_back
from services.command_line.facts import progress
from services.command_line.generations import stepping
from services.command_line.showing import Home, Problem, at_home, here, out, plainly, run, said
from services.log_topics import ensure_topics
from services.servers import Servers, sole_owner
from services.settings import ALERTS, EVENTS, settings

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the backup is, or is to be.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(backup))
    app.command()(plainly(restore))


def backup(folder: Folder, home: Home = None) -> None:
    """Copy the log and the tables into a new folder while everything goes on. It holds what patients said: keep it safe.

    Example: parcours backup /srv/backups/2026-11-22
    """
    _, found = here(home)
    with progress() as bar:
        counts = run(back_up(Place(str(found["kafka"]), str(found["postgres"])), folder, stepping(bar)))
    facts, alerts = counts[EVENTS], counts[ALERTS]
    kept = said(
        f"{facts} facts, {alerts} alerts and the tables are in {folder}.",
        f"{facts} faits, {alerts} alertes et les tables sont dans {folder}.",
    )
    out.print(kept, markup=False)


def restore(folder: Folder, home: Home = None) -> None:
    """Put a backup back into a home where nothing runs and nothing is kept; then `parcours up` goes on from there.

    Example: parcours restore /srv/backups/2026-11-22 --home /srv/parcours
    """
    one = settings(home)
    index = index_of(folder)
    with sole_owner(one):
        servers = Servers(one)
        servers.start()
        try:
            if index["partitions"] != one.partitions:
                raise Problem(
                    said(
                        f"the backup has {index['partitions']} partitions: PARCOURS_PARTITIONS={index['partitions']}",
                        f"la sauvegarde a {index['partitions']} partitions : PARCOURS_PARTITIONS={index['partitions']}",
                    )
                )
            asyncio.run(ensure_topics(servers.kafka_address, [EVENTS, ALERTS], one.partitions, one.replication))
            with progress() as bar:
                place = Place(servers.kafka_address, servers.postgres_url)
                work = put_back(place, folder, stepping(bar), one.replication, one.restoring_file.touch)
                counts = run(work)
        finally:
            servers.stop()
        one.restoring_file.unlink(missing_ok=True)
    out.print(
        said(
            f"{counts[EVENTS]} facts, {counts[ALERTS]} alerts and the tables are back. Start with: parcours up{at_home(one)}",
            f"{counts[EVENTS]} faits, {counts[ALERTS]} alertes et les tables sont de retour. Pour démarrer : parcours up{at_home(one)}",
        ),
        markup=False,
    )
