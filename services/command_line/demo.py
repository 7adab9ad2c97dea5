"""demo: see it work on a hospital that never was."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from services import reading
from services.command_line.facts import send
from services.command_line.instance import console_link
from services.command_line.reading import show_bounced, show_claims
from services.command_line.showing import SPOKEN, Home, Lang, chosen, err, out, plainly, run
from services.console.pages import view_of
from services.console.texts import number
from services.demo.playing import WEEKS, facts
from services.demo.stories import HOSPITAL
from services.instance import Instance, Options, running
from services.keeping import until_stopped
from services.security import Visitor
from services.servers import sole_owner
from services.settings import Settings, settings
from services.tables import connected

PLAYED = "demo_played"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(plainly(demo))


def demo(home: Home = None, lang: Lang = SPOKEN) -> None:
    """Start everything, play eight weeks of a small French hospital once, and show who is being lost.

    Example: parcours demo --lang fr
    """
    chosen(lang)
    run(_demo(settings(home), lang))


async def _demo(one: Settings, lang: str) -> None:
    with sole_owner(one):
        started = time.monotonic()
        err.print(
            ("Starting Kafka, PostgreSQL and the services…", "Démarrage de Kafka, PostgreSQL et des services…")[
                lang == "fr"
            ]
        )
        async with running(one, Options()) as instance:
            for notice in instance.servers.notices:
                err.print(notice, style="yellow", markup=False)
            await _play_once(instance, lang)
            await _show(instance, lang)
            seconds = time.monotonic() - started
            out.print(_last_line(one, seconds, lang), markup=False, highlight=False, soft_wrap=True)
            who = Visitor(("demo", "démo")[lang == "fr"], HOSPITAL, "admin", None)
            link = await console_link(instance.api, instance.servers.postgres_url, who)
            opens = ("The console (this link opens once): ", "La console (ce lien s'ouvre une fois) : ")[lang == "fr"]
            out.print(opens + link, markup=False, highlight=False, soft_wrap=True)
            await until_stopped()
            out.print(("Stopping…", "Arrêt…")[lang == "fr"])


async def _play_once(instance: Instance, lang: str) -> None:
    """Play the log, unless this home has had it played already."""
    found: dict[str, Any] = {"kafka": instance.servers.kafka_address, "postgres": instance.servers.postgres_url}
    async with connected(found["postgres"], "demo") as connection:
        if await connection.fetchval("select 1 from parcours.setting where name = $1", PLAYED):
            return
    until = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    log = facts(until)
    said = (
        f"Playing {number('en', len(log))} facts of {WEEKS} weeks…",
        f"Lecture de {number('fr', len(log))} faits sur {WEEKS} semaines…",
    )
    err.print(said[lang == "fr"])
    await send(found, log, len(log), wait=True)
    async with connected(found["postgres"], "demo") as connection:
        await connection.execute(
            "insert into parcours.setting (name, value) values ($1, $2) on conflict do nothing",
            PLAYED, {"until": until.isoformat(), "facts": len(log)},
        )  # fmt: skip


async def _show(instance: Instance, lang: str) -> None:
    async with connected(instance.servers.postgres_url, "demo") as connection:
        cases = await reading.bounced_cases(connection, HOSPITAL, "B2")
        patients = await reading.bounced_patients(connection, HOSPITAL)
        claims = await reading.claims(connection, HOSPITAL, overdue=True)
        told = await reading.summary(connection, HOSPITAL)
        times = await view_of(connection, "fr" if lang == "fr" else "en")
    show_bounced(cases, patients, lang)
    show_claims(claims, times, overdue=True)
    facts_told, cases_told, bounced, overdue = (
        told["events"],
        told["cases"],
        told["bounced_cases"],
        told["claims"]["overdue"],
    )
    english = f"{number('en', facts_told)} facts, {cases_told} cases, {bounced} bounced; {overdue} claims unanswered."
    french = f"{number('fr', facts_told)} faits, {cases_told} dossiers, dont {bounced} ballottés ; {overdue} réclamations sans réponse."
    out.print((english, french)[lang == "fr"], highlight=False)


def _last_line(one: Settings, seconds: float, lang: str) -> str:
    home = "" if one.home.name == ".parcours" else f" --home {one.home}"
    look = f".venv/bin/parcours case D-garance --lang {lang}{home} · .venv/bin/parcours claim R-delorme --lang {lang}{home}"
    if lang == "fr":
        return f"Prêt après {seconds:.0f} s. Dans un autre terminal : {look}. Arrêter : Ctrl-C."
    return f"Ready after {seconds:.0f} s. In another terminal: {look}. Stop with Ctrl-C."
