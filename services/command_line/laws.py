"""jurisdictions, jurisdiction check: the rules of answering, as data."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from projections.jurisdictions import Invalid, Jurisdiction, Rules, jurisdiction
from projections.policy import Policy
from projections.working_days import Allowance
from services.command_line.instance import PolicyFile, read_policy
from services.command_line.showing import AsJson, Speaking, heads, out, plainly, print_json, print_table, said


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(plainly(jurisdictions))
    law = typer.Typer(help="A jurisdiction somebody wrote.", no_args_is_help=True)
    law.command("check")(plainly(check))
    app.add_typer(law, name="jurisdiction")


UNITS = {
    "working day": "jour ouvré", "working days": "jours ouvrés", "day": "jour", "days": "jours", "month": "mois", "months": "mois",
}  # fmt: skip


def allowed(one: Allowance | None) -> str:
    """An allowance in words."""
    if one is None:
        return "–"
    number, unit = next(
        (n, u)
        for n, u in ((one.working_days, "working day"), (one.days, "day"), (one.months, "month"))
        if n is not None
    )
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def units_said(value: object) -> object:
    """An allowance in the language of the session."""
    number, _, unit = str(value).partition(" ")
    return f"{number} {UNITS[unit]}" if Speaking.language == "fr" and unit in UNITS else value


def rules_row(one: Jurisdiction, rules: Rules) -> dict[str, Any]:
    """One version of one jurisdiction."""
    calendar = one.calendar
    place = "/".join(part for part in (calendar.country, calendar.subdivision) if part)
    return {
        "id": one.id, "name_en": one.name_en, "name_fr": one.name_fr, "zone": calendar.zone, "holidays": place or None,
        "version": rules.version, "effective_from": rules.effective_from.isoformat(), "source": rules.source,
        "acknowledge": allowed(rules.acknowledge), "answer": allowed(rules.answer), "final": allowed(rules.final),
        "agreed_date": rules.agreed_date, "deemed": rules.deemed,
    }  # fmt: skip


def show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Jurisdictions for programs or people."""
    if as_json:
        print_json(rows)
        return
    names = ("id", "effective_from", "zone", "holidays", "acknowledge", "answer", "final", "source")
    print_table(
        said("Jurisdictions", "Réglementations"),
        [head.replace("_", " ") for head in heads(*names)],
        [[units_said(row[name]) for name in names] for row in rows],
    )


def jurisdictions(policy_file: PolicyFile = None, *, as_json: AsJson = False) -> None:
    """Every jurisdiction and version known here, with what is due when, and its source.

    Example: parcours jurisdictions --json
    """
    known = (read_policy(policy_file) or Policy()).known
    show([rules_row(known[name], rules) for name in sorted(known) for rules in known[name].versions], as_json=as_json)


def check(file: Annotated[Path, typer.Argument(help="A jurisdiction in TOML.")], *, as_json: AsJson = False) -> None:
    """Validate a jurisdiction that you wrote, and show what it says.

    Example: parcours jurisdiction check our-hospital.toml
    """
    try:
        found = jurisdiction(tomllib.loads(file.read_text(encoding="utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise Invalid(f"{file}: {wrong}") from wrong
    except Invalid as wrong:
        raise Invalid(f"{file}:\n{wrong}") from None
    show([rules_row(found, rules) for rules in found.versions], as_json=as_json)
    if not as_json:
        then = "parcours what-if --policy, parcours rebuild --policy."
        out.print(
            said(
                f'Put it in force by adding it to the policy\'s "jurisdictions", then: {then}',
                f"Pour la mettre en vigueur, ajoutez-la aux « jurisdictions » de la politique, puis : {then}",
            )
        )
