"""The page: figures, the longest paths, who is bounced, which claims wait. French or English."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from projections.path import LEVELS
from projections.policy import Policy
from projections.rows import Row
from projections.words import LADDER, arrows
from projections.words import LEVELS as LEVEL_WORDS
from services.console.texts import day, moment
from services.matrix import drawing, matrix

Language = Literal["en", "fr"]
MOST_LISTED = 200
LONGEST = 10
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "Who is sent from department to department", "from": "From:", "cases": "cases", "bounced": "bounced",
        "handoffs": "handoffs", "returns": "returns", "claims": "claims open", "overdue": "claims unanswered",
        "moves": "Moves between departments",
        "moves_said": "Rows send, columns receive. A red frame marks moves most of which were returns.",
        "left_out": "departments with fewer moves are not drawn", "longest": "The longest paths", "list": "Bounced cases",
        "level": "Level", "case": "Case", "patient": "Patient", "path": "Path", "hops": "Hops", "back": "Returns", "now": "Now in",
        "unanswered": "Unanswered claims", "step": "Step", "claim": "Claim", "since": "Since", "chases": "Chases",
        "more": "more are not listed", "none": "None.", "returned": "returns", "until": "As of", "skip": "To the list",
    },
    "fr": {
        "title": "Qui est ballotté de service en service", "from": "Source :", "cases": "dossiers", "bounced": "ballottés",
        "handoffs": "transferts", "returns": "retours", "claims": "réclamations ouvertes", "overdue": "réclamations sans réponse",
        "moves": "Passages d'un service à l'autre",
        "moves_said": "Les lignes envoient, les colonnes reçoivent. Un cadre rouge signale les passages qui sont surtout des retours.",
        "left_out": "services avec moins de passages ne sont pas dessinés", "longest": "Les parcours les plus longs",
        "list": "Dossiers ballottés", "level": "Niveau", "case": "Dossier", "patient": "Patient", "path": "Parcours",
        "hops": "Passages", "back": "Retours", "now": "Actuellement", "unanswered": "Réclamations sans réponse", "step": "Échelon",
        "claim": "Réclamation", "since": "Depuis", "chases": "Relances", "more": "autres ne sont pas listés", "none": "Aucun.",
        "returned": "retours", "until": "Situation au", "skip": "Aller à la liste",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A case as a line of the page."""

    level: str
    word: str
    case: str
    patient: str
    path: str
    hops: int
    returns: int
    now: str


def environment() -> Environment:
    """Templates of the project's own; everything put into a page is escaped."""
    return Environment(loader=PackageLoader("services.report", "."), autoescape=True, undefined=StrictUndefined)


def listed(row: Row, language: int) -> Listed:
    """One case, in one language."""
    level = row["level"] or ""
    word = LEVEL_WORDS[level][language] if level else ""
    return Listed(
        level,
        word,
        row["case"],
        row["patient"],
        arrows(row["path"]),
        row["hops"],
        row["returns"],
        row["department"] or "",
    )


def page(result: Row, source: str, lang: Language, policy: Policy) -> str:
    """The whole page for the result of a fold; days are those of each claim's jurisdiction."""
    words, language = WORDS[lang], ("en", "fr").index(lang)
    home, zones = policy.home.calendar.tz, policy.zones
    cases = sorted(result["cases"], key=lambda row: (-LEVELS.index(row["level"]), -row["hops"], row["case"]))
    bounced = [row for row in cases if row["bounced"]]
    overdue = sorted(
        (row for row in result["claims"] if row["unanswered"]), key=lambda row: (-int(row["ladder"][1]), row["t0"])
    )
    moves = matrix(row["path"] for row in result["cases"])
    figures: list[tuple[int, str]] = [
        (len(cases), words["cases"]), (len(bounced), words["bounced"]), (sum(r["handoffs"] for r in cases), words["handoffs"]),
        (sum(r["returns"] for r in cases), words["returns"]),
    ]  # fmt: skip
    if result["claims"]:
        still = sum(
            row["state"] in ("open", "transferred") or (row["state"] == "concluded" and row["answered_at"] is None)
            for row in result["claims"]
        )
        figures += [(still, words["claims"]), (len(overdue), words["overdue"])]
    until = moment(lang, datetime.fromisoformat(result["watermark"]), home) if result["watermark"] else ""
    waiting = [
        (row, LADDER[row["ladder"]][language], day(lang, datetime.fromisoformat(row["t0"]), zones.get(row["jurisdiction"], home)))
        for row in overdue[:MOST_LISTED]
    ]  # fmt: skip
    values: dict[str, Any] = {
        "lang": lang, "words": words, "source": source, "watermark": until,
        "figures": figures, "drawing": drawing(moves, words["moves"], words["returned"]), "has_moves": bool(moves.departments),
        "left_out": moves.left_out, "longest": [listed(row, language) for row in sorted(cases, key=lambda r: -r["hops"])[:LONGEST]],
        "bounced": [listed(row, language) for row in bounced[:MOST_LISTED]], "bounced_more": max(0, len(bounced) - MOST_LISTED),
        "overdue": waiting, "overdue_more": max(0, len(overdue) - MOST_LISTED),
    }  # fmt: skip
    return environment().get_template("page.html").render(values)
