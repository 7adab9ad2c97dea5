"""Which column is what, and which claims a case's attributes state."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from events.claims import ClaimKind
from services.bilingual import Both, of_system
from services.importer import words
from services.importer.encodings import unaccented
from services.publishing import BadFile

KNOWN = {
    "case": (
        "case:concept:name",
        "case_id",
        "case",
        "caseid",
        "case id",
        "dossier",
        "n° dossier",
        "n° de dossier",
        "no de dossier",
        "no dossier",
        "numéro de dossier",
        "numéro dossier",
        "ticket",
        "n° ticket",
        "ticket number",
        "ticket id",
        "case number",
        "case reference",
        "référence du dossier",
        "reference",
        "reference number",
        "référence",
        "id",
    ),
    "patient": (
        "patient_id",
        "patient",
        "patient number",
        "patient identifier",
        "id patient",
        "identifiant patient",
        "identifiant du patient",
        "n° patient",
        "numéro patient",
        "ipp",
        "nip",
        "mrn",
        "patient mrn",
        "medical record number",
        "nhs number",
    ),
    "time": (
        "time:timestamp",
        "timestamp",
        "time",
        "datetime",
        "date",
        "complete timestamp",
        "horodatage",
        "date et heure",
        "date heure",
        "date/heure",
        "event time",
        "event date",
        "created on",
        "created at",
        "créé le",
        "date de réception",
        "reçu le",
        "date received",
        "received on",
        "date de l'événement",
        "date de création",
    ),
    "clock": ("heure", "time of day", "hour", "time"),
    "department": (
        "org:group",
        "department",
        "group",
        "dept",
        "service",
        "département",
        "unit",
        "unité",
        "team",
        "équipe",
        "assigned team",
        "assigned group",
        "assignment group",
        "groupe assigné",
        "équipe assignée",
        "service concerné",
        "unité concernée",
        "department concerned",
    ),
    "activity": ("concept:name", "activity", "event", "activité", "action", "event type"),
    "actor": ("org:resource", "resource", "actor", "agent", "user"),
    "closing": (
        "closed on",
        "closed at",
        "date closed",
        "closed date",
        "closing date",
        "closure date",
        "date of closure",
        "date de clôture",
        "date clôture",
        "clôturé le",
        "clos le",
        "date de fermeture",
        "fermé le",
    ),
}

FRENCH = {
    "case": "dossier", "patient": "patient", "time": "date", "clock": "heure", "department": "service", "activity": "action",
    "actor": "agent", "closing": "clôture",
}  # fmt: skip
MOST_NAMED = 8


class BadMap(ValueError):
    """A map somebody wrote, and what is wrong with it."""


class ClaimMap(BaseModel):
    """The claim a case states: when it was registered, until when it is due, when it was answered (case attributes)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registered_at: str
    due_at: str | None = None
    answered_at: str | None = None
    kind: ClaimKind = "request"
    jurisdiction: str | None = None
    department: str | None = None


class Map(BaseModel):
    """Columns by what they mean; absent ones are looked for under their usual names. `closing_activities`: what is done where a case is
    closed, as the rows say it; `closing_reason`: why; absent, `answered` where its claim was by then, else `other`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: str | None = None
    patient: str | None = None
    time: str | None = None
    clock: str | None = None
    department: str | None = None
    activity: str | None = None
    actor: str | None = None
    closing: str | None = None
    closing_activities: tuple[str, ...] = ()
    closing_reason: Literal["answered", "withdrawn", "abandoned", "other"] | None = None
    ignore: tuple[str, ...] = ()
    zone: str | None = None
    claim: ClaimMap | None = None


def read_map(path: Path | None) -> Map:
    """The map of a file, or one that is shipped (receipt.toml). Raises `BadMap`."""
    if path is None:
        return Map()
    try:
        if path.exists():
            text = path.read_text(encoding="utf-8")
        else:
            text = (resources.files("services.importer") / "maps" / path.name).read_text(encoding="utf-8")
        document: dict[str, Any] = tomllib.loads(text)
        return Map.model_validate(document)
    except FileNotFoundError:
        raise BadMap(Both(f"{path}: there is no such map", f"{path} : ce plan n'existe pas")) from None
    except OSError as wrong:
        raise BadMap(of_system(wrong, path)) from wrong
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise BadMap(Both(f"{path}: is not TOML: {wrong}", f"{path} : n'est pas du TOML : {wrong}")) from wrong
    except ValidationError as wrong:
        said = [_said(".".join(map(str, e["loc"])), e) for e in wrong.errors()]
        raise BadMap(Both(f"{path}: " + "; ".join(said), f"{path} : " + " ; ".join(one.fr for one in said))) from None


def _said(key: str, wrong: ErrorDetails) -> Both:
    """What is wrong with a key of a map."""
    expected = wrong.get("ctx", {}).get("expected", "").replace(" or ", ", ")
    match wrong["type"]:
        case "extra_forbidden":
            return Both(f"{key} is no key of a map", f"{key} n'est pas une clé d'un plan")
        case "missing":
            return Both(f"{key} is missing", f"{key} manque")
        case "literal_error":
            return Both(f"{key} is one of {expected}", f"{key} est l'un de {expected}")
        case "string_type":
            return Both(f"{key} has to be a text", f"{key} doit être un texte")
        case "tuple_type":
            return Both(f"{key} has to be a list", f"{key} doit être une liste")
    return Both(f"{key}: {wrong['msg']}", f"{key} : {wrong['msg']}")


def _plain(name: str) -> str:
    """A column's name as it is looked for: without accents, capitals, and what joins its words."""
    return " ".join(unaccented(name.replace("_", " ")).split())


def described(chosen: Map, columns: Sequence[str]) -> Both:
    """One line about which column is read as what, and which are not read."""
    read = [(meaning, name) for meaning in KNOWN if (name := getattr(chosen, meaning)) is not None]
    used = {name for _, name in read} | (set() if chosen.claim is None else set(chosen.claim.model_dump().values()))
    left = [name for name in columns if name not in used]
    en = ", ".join(f"{meaning} = {name}" for meaning, name in read)
    fr = ", ".join(f"{FRENCH[meaning]} = {name}" for meaning, name in read)
    if not left:
        return Both(en, fr)
    some = ", ".join(left[:MOST_NAMED]) + (", …" if len(left) > MOST_NAMED else "")
    return Both(f"{en} (not read: {some})", f"{fr} (non lues : {some})")


def unseen(chosen: Map, columns: Sequence[str]) -> list[str]:
    """The columns that a map names for the claim and that are not there."""
    claim = chosen.claim
    named = () if claim is None else (claim.registered_at, claim.due_at, claim.answered_at)
    return [name for name in named if name is not None and name not in columns]


def settled(chosen: Map, columns: Sequence[str], path: Path, *, is_sample: bool = False) -> Map:
    """The map with every column it needs; a column that was named and is not there is refused (but one of the claim's, where the columns
    are those of a sample). Raises `BadFile`.
    """
    found: dict[str, str | None] = {}
    by_name = {_plain(name): name for name in columns}
    for meaning, usual in KNOWN.items():
        named = getattr(chosen, meaning)
        if named is not None and named not in columns:
            there = ", ".join(columns)
            raise BadFile(
                Both(
                    f"{path}: there is no column {named!r} for the {meaning}; there are: {there}",
                    f"{path} : aucune colonne {named!r} pour « {FRENCH[meaning]} » ; il y a : {there}",
                )
            )
        found[meaning] = named or next((by_name[plain] for name in usual if (plain := _plain(name)) in by_name), None)
    for name in () if is_sample else unseen(chosen, columns):
        wrong = words.no_column(name, ", ".join(columns))
        raise BadFile(Both(f"{path}: {wrong}", f"{path} : {wrong.fr}"))
    if found["case"] is None:
        found["case"] = found["patient"]
    if found["clock"] == found["time"]:  # Date and Time; or one column that is both
        found["time"] = chosen.time or by_name.get("date", found["time"])
        found["clock"] = None if found["clock"] == found["time"] else found["clock"]
    for meaning in ("case", "time", "activity") if chosen.closing_activities else ("case", "time"):
        if found[meaning] is None:
            there = ", ".join(columns)
            raise BadFile(
                Both(
                    f"{path}: which column is the {meaning}? Say --{meaning} NAME; there are: {there}",
                    f"{path} : quelle colonne est « {FRENCH[meaning]} » ? Indiquez --{meaning} NOM ; il y a : {there}",
                )
            )
    return chosen.model_copy(update=found)
