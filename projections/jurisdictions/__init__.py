"""The rules of answering, as data: one TOML a jurisdiction, with source, version and date of effect. DOMAIN section 4."""

import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

import holidays
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from projections.working_days import Allowance, Calendar


class UnknownJurisdiction(LookupError):
    """Nobody guesses which law holds."""


class Invalid(ValueError):
    """A jurisdiction document somebody wrote, and what is wrong with it, a line each."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force from a day on: what is due when."""

    version: str
    effective_from: date
    source: str
    answer: Allowance
    acknowledge: Allowance | None
    final: Allowance | None
    agreed_date: bool
    deemed: str | None


@dataclass(frozen=True)
class Jurisdiction:
    """Where a claim is answered: its calendar, and its rules by date of effect."""

    id: str
    name_en: str
    name_fr: str
    calendar: Calendar
    versions: tuple[Rules, ...]

    def rules_at(self, at: datetime) -> Rules:
        """The rules in force on the local day of an instant; before the first ones, the first ones."""
        day = self.calendar.day_of(at)
        in_force = [rules for rules in self.versions if rules.effective_from <= day]
        return in_force[-1] if in_force else self.versions[0]


def _zone(name: str) -> str:
    if name not in available_timezones():
        msg = f"{name!r} is no time zone; write one as in Europe/Paris"
        raise ValueError(msg)
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AllowanceDocument(_Strict):
    working_days: Annotated[int, Field(ge=0, le=1000)] | None = None
    days: Annotated[int, Field(ge=0, le=5000)] | None = None
    months: Annotated[int, Field(ge=0, le=120)] | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> "AllowanceDocument":
        if sum(x is not None for x in (self.working_days, self.days, self.months)) != 1:
            msg = "give exactly one of working_days, days, months"
            raise ValueError(msg)
        return self

    def allowance(self) -> Allowance:
        return Allowance(self.working_days, self.days, self.months)


class VersionDocument(_Strict):
    version: str
    effective_from: date
    source: str
    acknowledge: AllowanceDocument | None = None
    answer: AllowanceDocument
    final: AllowanceDocument | None = None
    agreed_date: bool = False
    deemed: Literal["refusal", "negative"] | None = None

    @model_validator(mode="after")
    def deemed_needs_a_limit(self) -> "VersionDocument":
        if self.deemed and self.final is None:
            msg = "deemed needs a final limit: silence until when?"
            raise ValueError(msg)
        return self

    def rules(self) -> Rules:
        def of(document: AllowanceDocument | None) -> Allowance | None:
            return document.allowance() if document else None

        return Rules(
            self.version, self.effective_from, self.source, self.answer.allowance(),
            of(self.acknowledge), of(self.final), self.agreed_date, self.deemed,
        )  # fmt: skip


class Names(_Strict):
    en: str
    fr: str


class Holidays(_Strict):
    country: str
    subdivision: str | None = None

    @model_validator(mode="after")
    def the_library_knows_it(self) -> "Holidays":
        try:
            holidays.country_holidays(self.country, subdiv=self.subdivision)
        except NotImplementedError as wrong:
            raise ValueError(str(wrong)) from None
        return self


class Exceptions(_Strict):
    """A place's own days: closed although they would count, open although they would not."""

    closed: tuple[date, ...] = ()
    open: tuple[date, ...] = ()


class Document(_Strict):
    """A jurisdiction as its TOML says it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    name: Names
    zone: Annotated[str, AfterValidator(_zone)]
    holidays: Holidays | None = None
    exceptions: Exceptions = Exceptions()
    version: tuple[VersionDocument, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def dates_differ(self) -> "Document":
        dates = [v.effective_from for v in self.version]
        if len(set(dates)) != len(dates):
            msg = "two versions take effect on the same day"
            raise ValueError(msg)
        return self

    def jurisdiction(self) -> Jurisdiction:
        country, subdivision = (self.holidays.country, self.holidays.subdivision) if self.holidays else (None, None)
        days = self.exceptions
        calendar = Calendar(
            self.zone,
            country,
            subdivision,
            frozenset(days.closed),
            frozenset(days.open),
        )
        versions = sorted((v.rules() for v in self.version), key=lambda rules: rules.effective_from)
        return Jurisdiction(self.id, self.name.en, self.name.fr, calendar, tuple(versions))


def jurisdiction(document: dict[str, Any]) -> Jurisdiction:
    """The jurisdiction a TOML document states. Raises `Invalid` with a line for each thing wrong."""
    try:
        return Document.model_validate(document).jurisdiction()
    except ValidationError as wrong:
        lines = [f"{'.'.join(map(str, e['loc'])) or '(document)'}: {e['msg']}" for e in wrong.errors()]
        raise Invalid("\n".join(lines)) from None


@cache
def shipped() -> dict[str, Jurisdiction]:
    """The jurisdictions that come with Parcours, by id."""
    found = {}
    for entry in sorted(resources.files(__name__).iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            one = jurisdiction(tomllib.loads(entry.read_text(encoding="utf-8")))
            found[one.id] = one
    return found
