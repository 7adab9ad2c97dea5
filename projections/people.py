"""Which records are one person: merges, their chains and circles. DOMAIN section 2, merged."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from events.envelope import Recorded
from events.patients import PatientMerged


@dataclass(slots=True)
class People:
    """The merges of one tenant, judged together in history order."""

    into: dict[str, str] = field(default_factory=dict)
    cycles: int = 0

    def person(self, subject: str) -> str:
        """The subject under which all facts of this one count."""
        while (further := self.into.get(subject)) is not None:
            subject = further
        return subject


def people(merges: Iterable[Recorded]) -> People:
    """Follow chains; a second merge of a subject moves the whole person; one that closes a circle is ignored."""
    found = People()
    for fact in sorted(merges, key=lambda merge: merge.place):
        if not isinstance(fact.data, PatientMerged):
            continue
        loser, survivor = found.person(fact.subject), found.person(fact.data.into)
        if loser == survivor:
            found.cycles += 1
        else:
            found.into[loser] = survivor
    return found
