"""A message in words and in JSON: thin, in the subscriber's language, without a word a patient wrote."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.tables_messages import Message

MOST_BYTES = 19_000
MOST_LINES = 60
ACTS = {
    "raised": ("new", "nouveau"),
    "revised": ("changed", "modifié"),
    "resolved": ("resolved", "résolu"),
}
CAUSES = {
    "ended": ("answered or ended", "répondu ou terminé"),
    "corrected": ("corrected", "corrigé"),
}
WHY = {
    "escalated": ("Nobody has taken this on", "Personne ne s'en est saisi"),
    "repeated": ("Still waiting", "Toujours en attente"),
}
GROUPED = ("{n} patients to look at", "{n} patients à regarder")
NOTICE = ("Alerts are held", "Les alertes sont retenues")
TEST = ("A test message of Parcours: this way works.", "Message d'essai de Parcours : cette voie fonctionne.")


def index(language: str) -> int:
    return ("en", "fr").index(language)


def thin(raw: bytes, language: str) -> dict[str, Any]:
    """What leaves the house of one alert: names of things and a link; reasons stay behind the link."""
    envelope = orjson.loads(raw)
    data = envelope["data"]
    kept = (
        "alert",
        "n",
        "rule",
        "level",
        "severity",
        "patient",
        "case",
        "claim",
        "department",
        "opened_at",
        "due_at",
        "link",
        "reason",
    )
    return {
        "id": envelope["id"], "type": envelope["type"], "time": envelope["time"], "tenant": envelope["tenant"],
        "title": data[f"title_{language}"], **{name: data[name] for name in kept if data.get(name) is not None},
    }  # fmt: skip


def body(message: Message, language: str, link: str, notice: str | None = None) -> bytes:
    """The JSON of a message, below 20 kB: a long group lists its first alerts, and says how many there are."""
    alerts = [thin(raw, language) for raw in message.alerts]
    kind = (
        "parcours.alerts.notice" if not alerts else alerts[0]["type"] if len(alerts) == 1 else "parcours.alerts.group"
    )
    found: dict[str, Any] = {
        "type": kind, "timestamp": alerts[-1]["time"] if alerts else None,
        "data": {
            "message": message.name, "why": message.why, "rule": message.rule, "severity": message.severity, "count": len(alerts),
            "title": title(message, language, alerts), "link": link, "alerts": alerts,
        },
    }  # fmt: skip
    if notice is not None:
        found["data"]["notice"] = notice
    while len(written := orjson.dumps(found)) > MOST_BYTES:
        found["data"]["alerts"] = found["data"]["alerts"][: len(found["data"]["alerts"]) * 9 // 10]
    return written


def title(message: Message, language: str, alerts: Sequence[dict[str, Any]]) -> str:
    """One line that says what it is about, whatever stands in a department's name."""
    return " ".join(_title(message, language, alerts).split())


def _title(message: Message, language: str, alerts: Sequence[dict[str, Any]]) -> str:
    n = index(language)
    if not alerts:
        return (TEST if message.why == "test" else NOTICE)[n]
    what = alerts[0]["title"] if len(alerts) == 1 else GROUPED[n].format(n=len({one.get("patient") for one in alerts}))
    where = {one.get("department") for one in alerts} - {None}
    place = f" · {where.pop()}" if len(where) == 1 else ""
    why = WHY.get(message.why)
    return f"{why[n]} : {what}{place}" if why and n else f"{why[n]}: {what}{place}" if why else f"{what}{place}"


def text(message: Message, language: str, base: str, notice: str | None = None) -> str:
    """A message as plain text, for a mail or a chat: pseudonyms and what is known of them."""
    n = index(language)
    lines = []
    if notice is not None:
        lines.append(notice)
    for raw in message.alerts[:MOST_LINES]:
        envelope = orjson.loads(raw)
        data, act = envelope["data"], envelope["type"].split(".")[2]
        level = f"{data['level']} · " if data.get("level") else ""
        about = " · ".join(data[name] for name in ("patient", "case", "claim", "department") if data.get(name))
        cause = CAUSES.get(data.get("reason") or "")
        lines.append(
            f"[{ACTS[act][n]}] {level}{data[f'title_{language}']}{f' ({cause[n]})' if cause else ''}\n  {about}"
        )
        lines += [f"  - {reason[f'text_{language}']}" for reason in data["reasons"]]
        lines.append(f"  {base}{data['link']}")
    if len(message.alerts) > MOST_LINES:
        lines.append(("… and {n} more: {base}/alerts", "… et {n} autres : {base}/alerts")[n].format(
            n=len(message.alerts) - MOST_LINES, base=base
        ))  # fmt: skip
    return "\n".join(lines) + "\n"
