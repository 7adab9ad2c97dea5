"""What `parcours doctor` looks at."""

import shutil
import sys

import psutil

from events import native
from services.log import LogUnavailable, TopicDiffers, ensure_topics
from services.settings import ALERTS, EVENTS, Settings, running
from services.tables import TablesUnavailable, active_generation, connected, fold_version
from services.telemetry import STALE

Check = tuple[str, bool, str]
ROOM = 2 * 1024**3
BEATS = """select service, extract(epoch from now() - beat_at)::float as silent from parcours.heartbeat
    where beat_at > now() - interval '1 hour' and service <> 'rebuild' order by 1"""


async def checks(one: Settings) -> list[Check]:
    """Every check, with what was seen."""
    free = shutil.disk_usage(one.home if one.home.exists() else one.home.parent).free
    found: list[Check] = [
        ("Python", sys.version_info >= (3, 11), sys.version.split()[0]),
        (
            "folds",
            True,
            "machine code"
            if native.is_used()
            else "interpreted, at half the speed: python -m deploy.native (needs gcc)",
        ),
        ("disk", free > ROOM, f"{free / 1024**3:.1f} GiB free for {one.home}"),
    ]
    now = running(one)
    pid = now.get("pid")
    lives = isinstance(pid, int) and psutil.pid_exists(pid)
    dead = "`up` was killed: start it again, or parcours down" if now else f"not running in {one.home}: parcours up"
    found.append(("running", lives, str(now.get("api")) if lives else dead))
    if not now:
        return found
    found.append(await _topics(one, str(now["kafka"])))
    return found + await _tables(str(now["postgres"]))


async def _topics(one: Settings, kafka: str) -> Check:
    try:
        await ensure_topics(kafka, [EVENTS, ALERTS], one.partitions)
    except (LogUnavailable, TopicDiffers) as wrong:
        return ("topics", False, str(wrong))
    return ("topics", True, f"{EVENTS}, {ALERTS}: {one.partitions} partitions, kept for ever")


async def _tables(url: str) -> list[Check]:
    try:
        async with connected(url, "doctor") as connection:
            generation = await active_generation(connection)
            parked = await connection.fetchval("select count(*) from parcours.parked where not is_taken")
            sick = await connection.fetchval("select count(*) from parcours.patient where is_quarantined")
            overdue = await connection.fetchval(
                "select count(*) from parcours.patient p join parcours.checkpoint c using (partition)"
                " where p.next_due_at <= c.watermark and not p.is_quarantined"
            )
            beats = {row["service"]: row["silent"] for row in await connection.fetch(BEATS)}
    except TablesUnavailable as wrong:
        return [("tables", False, str(wrong))]
    current = generation is not None and generation.fold_version == fold_version(generation.policy)
    return [
        (
            "tables",
            current,
            f"generation {generation.id if generation else '–'}" + ("" if current else ": parcours rebuild"),
        ),
        ("parked records", parked == 0, f"{parked}; see parcours parked list"),
        ("quarantined patients", sick == 0, f"{sick}"),
        ("deadlines not fired", overdue == 0, f"{overdue}"),
        _beating(beats),
    ]


def _beating(beats: dict[str, float]) -> Check:
    """Who has not been heard of; without a projector nothing moves."""
    silent = {name: seconds for name, seconds in beats.items() if seconds > STALE}
    if silent:
        return ("services", False, ", ".join(f"{name}: silent for {seconds:.0f} s" for name, seconds in silent.items()))
    if not any(name.startswith("projector") for name in beats):
        return ("services", False, "no projector: parcours up, or parcours run projector")
    return ("services", True, ", ".join(sorted(beats)))
