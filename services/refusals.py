"""Why a record is no fact, for people: the rules of EVENTS as `Refused` names them, in French. Programs get the English."""

import re
from typing import Final

from events.envelope import Refused
from projections.jurisdictions import UnknownJurisdiction
from services.bilingual import Both

RULES: Final = tuple(
    (re.compile(pattern), french)
    for pattern, french in (
        (r"Field required", "ce champ est obligatoire"),
        (r"Input should be a valid string", "doit être un texte"),
        (r"Input should be a valid boolean", "doit être true ou false"),
        (r"Input should be a valid number", "doit être un nombre"),
        (r"Input should be a valid integer", "doit être un nombre entier"),
        (r"Input should be a valid (?:tuple|list)", "doit être une liste"),
        (r"Input should be greater than or equal to (.+)", r"ne peut être inférieur à \1"),
        (r"Input should be a dictionary or an instance of .+", "doit être un objet JSON"),
        (r"Input should be ('.+') or ('.+')", r"doit être \1 ou \2"),
        (r"String should have at least (\d+) characters?", r"doit compter au moins \1 caractère(s)"),
        (r"String should have at most (\d+) characters?", r"doit compter au plus \1 caractères"),
        (r"must name other_case when the reason is (.+)", r"doit nommer other_case quand reason est \1"),
        (
            r"must be an RFC 3339 time with an offset, as in (.+)",
            r"doit être une date et une heure RFC 3339 avec leur décalage, comme \1",
        ),
        (r"must lie between (\d+) and (\d+)", r"doit être entre \1 et \2"),
        (r"month must be in 1\.\.12", "le mois doit être entre 1 et 12"),
        (r"day is out of range for month|day .+ must be in range.*", "ce mois n'a pas ce jour"),
        (r"hour must be in 0\.\.23", "l'heure doit être entre 0 et 23"),
        (r"minute must be in 0\.\.59", "les minutes doivent être entre 0 et 59"),
        (r"second must be in 0\.\.59", "les secondes doivent être entre 0 et 59"),
        (r"is not JSON in UTF-8: (.+)", r"n'est pas du JSON en UTF-8 : \1"),
        (r"must be a JSON object", "doit être un objet JSON"),
        (r"a header without a value", "un en-tête sans valeur"),
        (r"a header that is not UTF-8", "un en-tête qui n'est pas en UTF-8"),
        (r'must be "1\.0"', "doit être « 1.0 »"),
        (r"must be 1 to 40 of a-z, 0-9 and -", "de 1 à 40 caractères parmi a-z, 0-9 et -"),
        (r"lies more than 5 minutes after recordedtime", "dépasse recordedtime de plus de 5 minutes"),
        (
            r"lies more than 5 minutes after the log took the record",
            "dépasse de plus de 5 minutes l'heure à laquelle le journal a pris l'enregistrement",
        ),
        (r"must be tenant\|subject", "doit être tenant|subject"),
        (r"must be a text of 1 to (\d+) characters", r"doit être un texte de 1 à \1 caractères"),
        (r"must be a text of at most (\d+) bytes", r"doit être un texte d'au plus \1 octets"),
        (
            r"holds a NUL character or a lone surrogate",
            "contient un caractère NUL ou une moitié de caractère (surrogate)",
        ),
        (r"is nested too deeply", "est imbriqué trop profondément"),
        (r"has no value", "est vide"),
        (r"stands twice in one object", "figure deux fois dans le même objet"),
        (
            r"lies in partition (\d+), not in that of tenant\|subject",
            r"se trouve dans la partition \1, qui n'est pas celle de tenant|subject",
        ),
        (r"the tables keep no such row \((.+)\)", r"les tables ne peuvent garder une telle ligne (\1)"),
        (
            r"(.+) is no jurisdiction of the policy in force",
            r"\1 n'est pas une réglementation de la politique en vigueur",
        ),
    )
)


def refusal(wrong: Refused | UnknownJurisdiction) -> Both:
    """Where a record fails, and the rule it breaks."""
    field, rule = (wrong.field, wrong.rule) if isinstance(wrong, Refused) else ("data.jurisdiction", outlawed(wrong))
    return Both(f"{field}: {rule}", f"{field} : {ruled(rule).fr}")


def outlawed(unknown: UnknownJurisdiction) -> str:
    """The rule that a claim under a law nobody here knows breaks."""
    return f"{unknown} is no jurisdiction of the policy in force"


def ruled(rule: str) -> Both:
    """A broken rule in both languages; in English twice where it is not known in French."""
    plain = rule.removeprefix("Value error, ")
    for pattern, french in RULES:
        if found := pattern.fullmatch(plain):
            return Both(rule, found.expand(french))
    return Both(rule, rule)
