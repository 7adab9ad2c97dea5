"""Who was one person at an instant: merges recorded since had not been said then. DOMAIN section 2, merged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from events.catalogue import decoded
from projections.people import People, people
from projections.rows import effective_merges
from services.tables import Connection, Generation


@dataclass(frozen=True, slots=True)
class Persons:
    """The merges of one tenant as they were judged at an instant, and as they are today."""

    then: People = field(default_factory=People)
    now: Mapping[str, str] = field(default_factory=dict)

    def today(self, subject: str) -> str:
        """Who a subject is today."""
        return self.now.get(subject, subject)

    @property
    def moved(self) -> frozenset[str]:
        """Persons of today who were others, or part of others, then."""
        named = {*self.then.into, *self.then.into.values(), *self.now, *self.now.values()}
        changed = [subject for subject in named if self.then.person(subject) != self.today(subject)]
        return frozenset({self.today(s) for s in changed} | {self.today(self.then.person(s)) for s in changed})

    def were(self, person: str) -> list[str]:
        """The persons then of whoever is this person today."""
        subjects = {person, *(subject for subject, today in self.now.items() if today == person)}
        return sorted({self.then.person(subject) for subject in subjects})

    def subjects(self, person: str) -> list[str]:
        """The subjects that were this person then."""
        named = {*self.then.into, *self.now, *self.now.values(), person}
        return sorted(subject for subject in named if self.then.person(subject) == person)


async def persons_at(
    connection: Connection, generation: Generation, tenant: str | None, at: datetime
) -> dict[str, Persons]:
    """Of every tenant that has merges, who was whom at an instant (by what had been recorded), and who is whom today."""
    rows = await connection.fetch(
        f"select tenant, raw from {generation.schema}.correction c where ($1::text is null or tenant = $1) and subject in"
        f" (select subject from {generation.schema}.correction m where m.tenant = c.tenant and is_merge)",
        tenant,
    )
    facts: dict[str, list[bytes]] = {}
    for row in rows:
        facts.setdefault(row["tenant"], []).append(row["raw"])
    now: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(
        "select tenant, subject, person from parcours.alias where $1::text is null or tenant = $1", tenant
    ):
        now.setdefault(row["tenant"], {})[row["subject"]] = row["person"]
    found = {}
    for name in facts.keys() | now.keys():
        known = [fact for fact in map(decoded, facts.get(name, ())) if fact.recorded_at <= at]
        found[name] = Persons(people(effective_merges(name, known, generation.policy)), now.get(name, {}))
    return found
