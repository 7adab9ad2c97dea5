"""How a long file stood after some of its facts: a late one is folded in from there, not from the beginning. DOMAIN section 2."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from projections.acts import Act
from projections.claim import Claim
from projections.clocks import Clock
from projections.owed import Contribution, Missed
from projections.path import Case, Path
from projections.pauses import Pause, PauseBook
from projections.standing import Ending, Standing
from projections.topic import Topic

BLANK: Final[dict[type, Callable[[Any], Any]]] = {
    Case: lambda of: Case(of.id),
    Path: lambda of: Path(of.number),
    Topic: lambda of: Topic(of.id),
    Claim: lambda of: Claim(of.id, of.fact, of.said, of.t0, of.jurisdiction, of.policy, of.rules),
    Clock: lambda of: Clock(of.name, of.instance, of.started_at, of.due_at),
    PauseBook: lambda _: PauseBook(),
    Pause: lambda of: Pause(of.fact, of.reason, of.start, of.end),
    Contribution: lambda of: Contribution(of.fact, of.department, of.asked_at, of.due_at),
    Missed: lambda of: Missed(of.opened_at),
}
"""Whatever a fold changes in its place, and how to begin a copy of it; all fields follow."""
NAMES: Final[dict[type, tuple[str, ...]]] = {kind: tuple(one.name for one in fields(kind)) for kind in BLANK}
EVERY: Final = 256
SHARE: Final = 32


@dataclass(slots=True)
class Mark:
    """The state after the first `count` facts of a history, no deadline fired beyond them. Nobody changes it."""

    count: int
    cases: dict[str, Case]
    claims: dict[str, Claim]
    topics: dict[str, Topic]
    endings: list[Ending]
    acts: list[Act]
    fired_at: Any


def marked(file: Standing, count: int) -> Mark:
    """How a file stands now, `count` facts folded."""
    seen: dict[int, Any] = {}
    return Mark(
        count, copied(file.cases, seen), copied(file.claims, seen), copied(file.topics, seen), list(file.endings),
        list(file.acts), file.fired_at,
    )  # fmt: skip


def restore(file: Standing, mark: Mark) -> None:
    """Put a file back to where it stood. What its contacts say, and which claims there will be, it knows already."""
    seen: dict[int, Any] = {}
    file.cases, file.topics = copied(mark.cases, seen), copied(mark.topics, seen)
    file.endings, file.acts, file.fired_at = list(mark.endings), list(mark.acts), mark.fired_at
    for name, claim in list(file.claims.items()):
        before = mark.claims.get(name)
        if before is None:
            law, policy = claim.jurisdiction, claim.policy
            file.claims[name] = Claim(claim.id, claim.fact, claim.said, claim.t0, law, policy, law.rules_at(claim.t0))
        else:
            file.claims[name] = copied(before, seen)
    for case, claims in file.claims_of.items():
        file.claims_of[case] = [file.claims[claim.id] for claim in claims]


def thinned(marks: Sequence[Mark]) -> list[Mark]:
    """Marks, the newest last, fewer the further back they lie: each about twice as far as the one after it."""
    kept = list(marks)
    newest, n = kept[-1].count, 1
    while n < len(kept) - 1:
        if newest - kept[n - 1].count <= 2 * (newest - kept[n + 1].count):
            del kept[n]
        else:
            n += 1
    return kept


def copied(one: Any, seen: dict[int, Any]) -> Any:
    """A copy of what a fold may still change; what nobody changes is shared. `seen`: what was copied already, by identity."""
    kind: Any = type(one)
    if kind is list or kind is tuple:
        if not one or type(one[0]) not in NAMES:
            return one[:]
        parts = [copied(part, seen) for part in one]
        return parts if kind is list else tuple(parts)
    if kind is dict:
        return {name: copied(part, seen) for name, part in one.items()}
    if kind is set:
        return set(one)
    names = NAMES.get(kind)
    if names is None:
        return one
    found = seen.get(id(one))
    if found is None:
        found = seen[id(one)] = BLANK[kind](one)
        for name in names:
            setattr(found, name, copied(getattr(one, name), seen))
    return found
