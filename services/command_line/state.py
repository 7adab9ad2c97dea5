"""status, doctor: how an instance is, for people and for programs."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psutil
import typer

from services import tables_system
from services.bilingual import spoken
from services.command_line.checks import checks
from services.command_line.showing import (
    SPOKEN,
    AsJson,
    Exit,
    Home,
    Lang,
    chosen,
    err,
    here,
    plainly,
    print_json,
    print_table,
    run,
)  # fmt: skip
from services.command_line.times import times_of
from services.log import LogUnavailable, end_offsets, records_left
from services.reading import watermark
from services.settings import EVENTS, settings
from services.tables import TablesUnavailable, connected
from services.telemetry import STALE

FAR_BEHIND = 5_000_000
LONGEST = 10.0
DEAD = "dead: `up` was killed; start it again"
STEPS = {
    "fetch": ("fetching", "lecture"),
    "decode": ("decoding", "décodage"),
    "fold": ("folding", "calcul des parcours"),
    "load": ("loading", "chargement"),
    "rows": ("making rows", "mise en lignes"),
    "write": ("database", "base de données"),
}
NAMES = {
    "api": ("API and console", "API et console"),
    "kafka": ("Kafka", "Kafka"),
    "postgres": ("PostgreSQL", "PostgreSQL"),
    "watermark": ("known up to", "connu jusqu'au"),
    "lag": ("records not yet read", "enregistrements à lire"),
    "facts_per_s": ("facts a second, now", "faits par seconde, en ce moment"),
    "share_of_time": ("where the time goes", "où passe le temps"),
    "parked": ("parked records", "enregistrements mis de côté"),
}
STATES = {"up": "en marche", "away": "absent", DEAD: "mort : `up` a été tué ; relancez-le"}
FAR = (
    (
        "The tables are far behind the log. `parcours rebuild` reads a long history faster than the projector, and takes its place when it"
        " has caught up."
    ),
    (
        "Les tables sont loin derrière le journal. `parcours rebuild` lit une longue histoire plus vite que le projecteur, et prend sa"
        " place quand il l'a rattrapé."
    ),
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(status))
    app.command()(plainly(doctor))


async def state_of(found: dict[str, Any]) -> dict[str, Any]:
    """What `parcours status` tells."""
    told: dict[str, Any] = {
        "api": found.get("api"), "console": found.get("api"), "kafka": found.get("kafka"), "postgres": _address(str(found.get("postgres"))),
        "watermark": None, "lag": None, "facts_per_s": None, "share_of_time": None, "parked": None, "services": {},
    }  # fmt: skip
    try:
        ends = await end_offsets(str(found["kafka"]), EVENTS)
        told["services"]["kafka"] = "up"
    except LogUnavailable:
        ends, told["services"]["kafka"] = {}, "away"
    try:
        async with connected(str(found["postgres"]), "status") as connection:
            told["services"]["postgres"] = "up"
            told["watermark"] = await watermark(connection)
            at = {
                r["partition"]: r["next_offset"]
                for r in await connection.fetch("select partition, next_offset from parcours.checkpoint")
            }
            told["lag"] = await _lag(str(found["kafka"]), ends, at)
            told["parked"] = await tables_system.parked_count(connection)
            await _services(connection, told, clock=bool(found.get("clock", True)), supervised=_lives(found))
    except TablesUnavailable:
        told["services"]["postgres"] = "away"
    return told


async def _lag(kafka: str, ends: dict[int, int], at: dict[int, int]) -> int | None:
    """How many records are still to be read, where the log answers within some seconds."""
    if not ends:
        return None
    try:
        async with asyncio.timeout(LONGEST):
            return await records_left(kafka, EVENTS, ends, at)
    except (LogUnavailable, TimeoutError):
        return None


async def _services(connection: Any, told: dict[str, Any], *, clock: bool, supervised: bool) -> None:
    rows = await connection.fetch("select service, beat_at, detail from parcours.heartbeat order by service")
    now = datetime.now(UTC)
    rate, spent = 0.0, dict.fromkeys(STEPS, 0.0)
    for row in rows:
        silent = (now - row["beat_at"]).total_seconds()
        if silent > 3600 or (row["service"] == "clock" and not clock):
            continue
        told["services"][row["service"]] = "up" if silent < STALE else f"silent for {silent:.0f} s"
        if not supervised and not row["service"].startswith("projector"):
            told["services"][row["service"]] = DEAD
        rate += float(row["detail"].get("facts_per_s", 0.0)) if silent < STALE else 0.0
        for step in STEPS if row["service"].startswith("projector") and silent < STALE else ():
            spent[step] += float(row["detail"].get(step, 0.0))
    told["facts_per_s"] = round(rate, 1)
    total = sum(spent.values())
    told["share_of_time"] = {step: round(seconds / total, 3) for step, seconds in spent.items()} if total else None


def _lives(found: dict[str, Any]) -> bool:
    """Whether the process that keeps the instance is there; one that was started elsewhere is taken at its word."""
    pid = found.get("pid")
    return not isinstance(pid, int) or psutil.pid_exists(pid)


def _address(url: str) -> str:
    return url.rpartition("@")[2]


def _service_said(state: str, language: int) -> str:
    if not language:
        return state
    return STATES.get(state) or state.replace("silent for", "silencieux depuis")


def _shares_said(shares: Mapping[str, float] | None, language: int) -> str | None:
    if shares is None:
        return None
    percent = ("%", "\N{NO-BREAK SPACE}%")[language]
    return ", ".join(
        f"{STEPS[step][language]} {100 * share:.0f}{percent}"
        for step, share in sorted(shares.items(), key=lambda one: -one[1])
    )


def status(home: Home = None, lang: Lang = SPOKEN, *, as_json: AsJson = False) -> None:
    """What runs here, how far it has read, how fast it is, and where its time goes.

    Example: parcours status --lang fr
    """
    language = chosen(lang)
    _, found = here(home)
    told = run(state_of(found))
    bad = {name: state for name, state in told["services"].items() if state != "up"}
    if as_json:
        print_json(told)
    else:
        at = None if told["watermark"] is None else times_of(found, language).moment(told["watermark"])
        shown = told | {"share_of_time": _shares_said(told["share_of_time"], language), "watermark": at}
        print_table("Parcours", ("", ""), [(said[language], shown[name]) for name, said in NAMES.items()])
        services = [(name, _service_said(state, language)) for name, state in told["services"].items()]
        print_table("Services", (("service", "state"), ("service", "état"))[language], services)
        if (told["lag"] or 0) > FAR_BEHIND:
            err.print(FAR[language], style="yellow")
    if bad:
        raise typer.Exit(int(Exit.AWAY if "away" in bad.values() else Exit.PROBLEM))


def doctor(home: Home = None, lang: Lang = SPOKEN, *, as_json: AsJson = False) -> None:
    """Look at everything that could be wrong, and say what to do.

    Example: parcours doctor --lang fr
    """
    language = chosen(lang)
    wrong = ("PROBLEM", "PROBLÈME")[language]
    found = run(checks(settings(home)))
    if as_json:
        print_json([{"check": name, "ok": ok, "detail": detail} for name, ok, detail in found])
    else:
        print_table(
            ("Doctor", "Diagnostic")[language],
            (("check", "", "what was seen"), ("vérification", "", "ce qui a été vu"))[language],
            [(spoken(name, language), "ok" if ok else wrong, spoken(detail, language)) for name, ok, detail in found],
        )
    if not all(ok for _, ok, _ in found):
        raise typer.Exit(int(Exit.PROBLEM))
