"""Rules: which findings are said, to whom, how soon, and what keeps them quiet. Data, with a version; issue of trust."""

import re
import tomllib
from datetime import date, timedelta
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from events.alerts import Severity
from projections.findings import Kind

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
STRETCH = re.compile(r"(\d{1,6})(s|m|h|d)")


class InvalidRules(ValueError):
    """Rules that cannot be used: where, and what to do."""


def stretch(value: object) -> timedelta:
    """A stretch of time as people write it: 30s, 5m, 8h, 2d."""
    if isinstance(value, timedelta):
        return value
    found = STRETCH.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        msg = 'must be a number and s, m, h or d, as in "30s" or "8h"'
        raise ValueError(msg)
    return timedelta(**{UNITS[found[2]]: int(found[1])})


Stretch = Annotated[timedelta, BeforeValidator(stretch)]


Level = Annotated[str, Field(pattern=r"^(B[1-4]|U[0-5])$")]
"""A level of a case or a step of a claim."""


class Strictly(BaseModel):
    """Unknown names are mistakes, not wishes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Rule(Strictly):
    """Which findings it is about, for whom, and how they are put together."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
    findings: Annotated[tuple[Kind, ...], Field(min_length=1)]
    from_level: Level | None = None
    severity: Severity | None = None
    roles: Annotated[tuple[str, ...], Field(alias="for")] = ()
    group_by: tuple[Literal["department", "rule"], ...] = ()
    wait: Stretch = timedelta()
    interval: Stretch = timedelta()
    repeat: Stretch | None = None
    escalate_after: Stretch | None = None
    escalate_to: tuple[str, ...] = ()
    at_any_hour: bool = False

    def takes(self, kind: str, level: str | None) -> bool:
        """Whether a finding is this rule's. Levels of one ladder compare as their names do."""
        if kind not in self.findings:
            return False
        return self.from_level is None or level is None or level[0] != self.from_level[0] or level >= self.from_level


class Inhibition(Strictly):
    """An open finding that speaks for others of the same case."""

    by: tuple[Kind, ...]
    from_level: Level | None = None
    mutes: tuple[Kind, ...]


class ClosingDays(Strictly):
    department: str
    days: tuple[date, ...]


class Rules(Strictly):
    """The whole document."""

    version: str
    rule: tuple[Rule, ...] = ()
    inhibit: tuple[Inhibition, ...] = ()
    raises_a_minute: Annotated[int, Field(ge=1)] = 100
    budgets: dict[str, Annotated[int, Field(ge=1)]] = {}
    closing_days: tuple[ClosingDays, ...] = ()

    def of(self, kind: str, level: str | None) -> Rule | None:
        """The first rule that takes a finding."""
        return next((rule for rule in self.rule if rule.takes(kind, level)), None)

    def is_closed(self, department: str | None, day: date) -> bool:
        return any(one.department == department and day in one.days for one in self.closing_days)


def rules(document: dict[str, Any]) -> Rules:
    """Rules from a document. Raises `InvalidRules` saying where."""
    try:
        found = Rules.model_validate(document)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRules(f"rules: {where}: {first['msg']}") from None
    names = [rule.id for rule in found.rule]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRules(f"rules: two rules are called {', '.join(twice)}")
    return found


def read_rules(text: str) -> Rules:
    """Rules from TOML. Raises `InvalidRules`."""
    try:
        return rules(tomllib.loads(text))
    except tomllib.TOMLDecodeError as wrong:
        raise InvalidRules(f"rules: {wrong}") from None


def default_text() -> str:
    """The rules that hold until somebody puts others."""
    return (resources.files("services.notifier") / "default_rules.toml").read_text(encoding="utf-8")
