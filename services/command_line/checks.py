"""What `parcours doctor` looks at."""

import shutil
import sys

import psutil

from events import native
from services import tables_messages, tables_system
from services.bilingual import Both
from services.log import LogUnavailable
from services.log_topics import TopicDiffers, ensure_topics
from services.settings import ALERTS, EVENTS, Settings, running
from services.tables import TablesUnavailable, active_generation, connected, fold_version
from services.telemetry import STALE

Check = tuple[str, bool, str]
FOLDS = Both("folds", "calculs")
DISK = Both("disk", "disque")
RUNNING = Both("running", "en marche")
TOPICS = Both("topics", "sujets Kafka")
TABLES = Both("tables", "tables")
PARKED = Both("parked records", "enregistrements mis de côté")
SICK = Both("quarantined patients", "patients en quarantaine")
MESSAGES = Both("messages not delivered", "messages non remis")
OVERDUE = Both("deadlines not fired", "échéances non déclenchées")
SERVICES = Both("services", "services")
KILLED = Both(
    "`up` was killed: start it again, or parcours down", "`up` a été tué : relancez-le, ou bien parcours down"
)
NO_PROJECTOR = Both(
    "no projector: parcours up, or parcours run projector", "aucun projecteur : parcours up, ou parcours run projector"
)
ROOM = 2 * 1024**3
BEATS = """select service, extract(epoch from now() - beat_at)::float as silent from parcours.heartbeat
    where beat_at > now() - interval '1 hour' and service <> 'rebuild' order by 1"""


async def checks(one: Settings) -> list[Check]:
    """Every check, with what was seen."""
    free = shutil.disk_usage(one.home if one.home.exists() else one.home.parent).free
    found: list[Check] = [
        ("Python", sys.version_info >= (3, 11), sys.version.split()[0]),
        (
            FOLDS,
            True,
            Both("machine code", "code machine")
            if native.is_used()
            else Both(
                "interpreted, at half the speed: python -m deploy.native (needs gcc)",
                "interprétés, à la moitié de la vitesse : python -m deploy.native (il faut gcc)",
            ),
        ),
        (
            DISK,
            free > ROOM,
            Both(
                f"{free / 1024**3:.1f} GiB free for {one.home}",
                f"{free / 1024**3:.1f} Gio libres pour {one.home}".replace(".", ",", 1),
            ),
        ),
    ]
    now = running(one)
    pid = now.get("pid")
    lives = isinstance(pid, int) and psutil.pid_exists(pid)
    dead = (
        KILLED
        if now
        else Both(f"not running in {one.home}: parcours up", f"rien ne tourne dans {one.home} : parcours up")
    )
    found.append((RUNNING, lives, str(now.get("api")) if lives else dead))
    if not now:
        return found
    found.append(await _topics(one, str(now["kafka"])))
    return found + await _tables(str(now["postgres"]))


async def _topics(one: Settings, kafka: str) -> Check:
    try:
        await ensure_topics(kafka, [EVENTS, ALERTS], one.partitions)
    except (LogUnavailable, TopicDiffers) as wrong:
        return (TOPICS, False, str(wrong))
    kept = Both(
        f"{EVENTS}, {ALERTS}: {one.partitions} partitions, kept for ever",
        f"{EVENTS}, {ALERTS} : {one.partitions} partitions, gardées pour toujours",
    )
    return (TOPICS, True, kept)


async def _tables(url: str) -> list[Check]:
    try:
        async with connected(url, "doctor") as connection:
            generation = await active_generation(connection)
            parked = await tables_system.parked_count(connection)
            sick = await connection.fetchval("select count(*) from parcours.patient where is_quarantined")
            overdue = await connection.fetchval(
                "select count(*) from parcours.patient p join parcours.checkpoint c using (partition)"
                " where p.next_due_at <= c.watermark and not p.is_quarantined"
            )
            undelivered, answer = await tables_messages.undelivered(connection)
            beats = {row["service"]: row["silent"] for row in await connection.fetch(BEATS)}
    except TablesUnavailable as wrong:
        return [(TABLES, False, str(wrong))]
    current = generation is not None and generation.fold_version == fold_version(generation.policy)
    number = generation.id if generation else "–"
    rest = "" if current else ": parcours rebuild"
    return [
        (TABLES, current, Both(f"generation {number}{rest}", f"génération {number}{rest.replace(':', ' :')}")),
        (PARKED, parked == 0, Both(f"{parked}; see parcours parked list", f"{parked} ; voir parcours parked list")),
        (SICK, sick == 0, f"{sick}"),
        (OVERDUE, overdue == 0, f"{overdue}"),
        (MESSAGES, undelivered == 0, _undelivered(undelivered, answer)),
        _beating(beats),
    ]


def _undelivered(n: int, answer: str | None) -> str:
    if n == 0:
        return "0"
    answer = answer or "–"
    return Both(f"{n} ({answer}); see parcours alerts deliveries", f"{n} ({answer}) ; voir parcours alerts deliveries")


def _beating(beats: dict[str, float]) -> Check:
    """Who has not been heard of; without a projector nothing moves."""
    silent = {name: seconds for name, seconds in beats.items() if seconds > STALE}
    if silent:
        en = ", ".join(f"{name}: silent for {seconds:.0f} s" for name, seconds in silent.items())
        fr = ", ".join(f"{name} : silencieux depuis {seconds:.0f} s" for name, seconds in silent.items())
        return (SERVICES, False, Both(en, fr))
    if not any(name.startswith("projector") for name in beats):
        return (SERVICES, False, NO_PROJECTOR)
    return (SERVICES, True, ", ".join(sorted(beats)))
