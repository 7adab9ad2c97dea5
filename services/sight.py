"""What somebody limited to departments may see of an establishment, and of a person's file. None is everything."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from events.envelope import Recorded
from projections.claim import Claim
from projections.findings import Finding, findings
from projections.patient import PatientFile
from projections.rows import Row
from services.files import concerns

Only = Sequence[str] | None


def may_see(only: Only, departments: Iterable[str | None]) -> bool:
    """Whether something that passed through some departments may be seen."""
    return only is None or not set(only).isdisjoint(departments)


def departments_seen(found: Row, only: Only) -> Row:
    """Of the departments and the moves between them, one's own and those with one's own."""
    if only is None:
        return found
    return {
        "departments": [one for one in found["departments"] if one["department"] in only],
        "moves": [one for one in found["moves"] if may_see(only, (one["here"], one["there"]))],
    }


@dataclass(frozen=True, slots=True)
class Sight:
    """What of a person's file may be seen: cases that passed one's departments, their claims, and what concerns those."""

    file: PatientFile
    only: Only

    @property
    def cases(self) -> list[str]:
        return [name for name in self.file.cases if self.case(name)]

    @property
    def claims(self) -> list[str]:
        return [name for name, one in self.file.claims.items() if one.has_begun and self.claim(one)]

    @property
    def findings(self) -> list[Finding]:
        return [one for one in findings(self.file) if self._finding(one)]

    @property
    def facts(self) -> list[Recorded]:
        if self.only is None:
            return list(self.file.facts)
        mine = self.cases
        return [fact for fact in self.file.facts if self._fact(fact, mine)]

    def case(self, name: str) -> bool:
        """Whether a case may be seen."""
        one = self.file.cases.get(name)
        return one is not None and may_see(self.only, (visit.department for path in one.paths for visit in path.visits))

    def claim(self, one: Claim) -> bool:
        """Whether a claim may be seen: it was lodged with one's department, or its case may be seen."""
        return may_see(self.only, (one.said.department,)) or self.case(one.said.case or "")

    def _finding(self, found: Finding) -> bool:
        if self.only is None or found.department in self.only:
            return True
        claim = self.file.claims.get(found.claim or "")
        return self.case(found.case or "") or (claim is not None and self.claim(claim))

    def _fact(self, fact: Recorded, mine: Sequence[str]) -> bool:
        said: Any = fact.data
        named = (getattr(said, name, None) for name in ("department", "from_department", "to_department"))
        return may_see(self.only, named) or any(concerns(self.file, fact, name) for name in mine)
