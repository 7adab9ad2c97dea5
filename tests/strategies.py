"""Random histories of one or two patients, dense enough that rules meet. Built from the seeded words of the builders."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from events.catalogue import decoded
from events.envelope import Recorded
from tests.builders import HOUR, MONDAY, SECOND, Said, lines, said

DEPARTMENTS, CASES, CLAIMS, CONTACTS, TOPICS = (
    "ABC",
    ("c1", "c2"),
    ("k1", "k2"),
    tuple(f"m{n}" for n in range(6)),
    ("bill", "ward"),
)
JURISDICTIONS = ("eng-nhs", "fr-csp", "qc-lsssss", "us-cms")


def _maybe(random: Random, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in more.items() if random.random() < 0.5}


def one(random: Random) -> Said:
    """Any fact of the catalogue, about few things so that they meet."""
    case, claim, contact = random.choice(CASES), random.choice(CLAIMS), random.choice(CONTACTS)
    here, there, topic = random.choice(DEPARTMENTS), random.choice(DEPARTMENTS), random.choice(TOPICS)
    pick = random.choice
    facts: list[Said] = [
        said("case.worked", case=case, department=here, **_maybe(random, substantive=pick((True, False)))),
        said("case.opened", case=case, department=here, contacts=[contact]),
        said("case.taken", case=case, department=here),
        said("case.transferred", case=case, to_department=here, planned=pick((True, False))),
        said("case.consulted", case=case, department=here),
        said("case.closed", case=case, reason=pick(("answered", "withdrawn", "other"))),
        said("case.closed", case=case, reason="duplicate", other_case=pick(CASES)),
        said("case.reopened", case=case),
        said("contact.received", contact=contact, channel="phone", topic=topic, **_maybe(random, case=case, claim=claim, department=here)),
        said("contact.received", contact=contact, channel="mail", courtesy=pick((True, False)), planned=pick((True, False))),
        said("contact.handled", contact=contact, department=here, outcome=pick(("answered", "partial", "none")), **_maybe(random, case=case)),
        said("contact.redirected", contact=contact, from_department=here, to_department=there, topic=topic, **_maybe(random, case=case)),
        said("contact.sent", contact=contact, to="patient", channel="mail", kind=pick(("answer", "holding", "information")),
             in_reply_to=[pick(CONTACTS)] if random.random() < 0.3 else [], **_maybe(random, claim=claim, case=case)),
        said("contact.undelivered", contact=contact),
        said("contact.linked", contact=contact, case=case),
        said("contact.unlinked", contact=contact, case=case),
        said("contact.reclassified", contact=contact, **_maybe(random, courtesy=True, topic=topic)),
        said("claim.registered", claim=claim, kind="complaint", jurisdiction=pick(JURISDICTIONS), **_maybe(random, case=case, contacts=[contact], issues=["a", "b"])),
        said("claim.acknowledged", claim=claim, reference="R", contact_name="N", expected_at="2026-04-20", **_maybe(random, contact=contact)),
        said("claim.held", claim=claim, promised_at="2026-04-10", **_maybe(random, contact=contact)),
        said("claim.answered", claim=claim, issues=pick(([], ["a"], ["b"])), **_maybe(random, contact=contact)),
        said("claim.paused", claim=claim, reason=pick(("waiting_claimant", "other", "legal_hold"))),
        said("claim.resumed", claim=claim),
        said("claim.withdrawn", claim=claim),
        said("claim.reopened", claim=claim),
        said("claim.transferred_out", claim=claim, body="ombudsman"),
        said("claim.contribution_requested", claim=claim, department=here),
        said("claim.contribution_provided", claim=claim, department=here),
        said("claim.mediation_requested", claim=claim),
        said("claim.mediator_met", claim=claim),
        said("claim.concluded", claim=claim),
        said("fact.voided", fact=f"f-{random.randrange(1, 30):04d}", reason="error"),
    ]  # fmt: skip
    return random.choice(facts)


def history(seed: int, size: int) -> list[Recorded]:
    """Facts of one patient over some twelve weeks, some of them late, some at the same instant."""
    random = Random(seed)
    told, at = [], MONDAY
    for _ in range(size):
        at += random.choice((timedelta(), SECOND, HOUR, 15 * HOUR, timedelta(days=2), timedelta(days=6)))
        late = random.choice((timedelta(seconds=1),) * 6 + (timedelta(days=3), timedelta(days=20)))
        fact = one(random).on(at).recorded_at(at + late)
        if random.random() < 0.05:
            fact.named("same")
        if random.random() < 0.01:
            fact = said("patient.erased").on(at).recorded_at(at + late)
        told.append(fact)
    return [decoded(line) for line in lines(*told)]


histories = st.builds(history, st.integers(0, 2**32), st.integers(1, 45))
marks = st.sampled_from((1, 2, 5, 256))
orders = st.randoms(use_true_random=False)


def last(facts: list[Recorded]) -> datetime:
    return max(fact.recorded_at for fact in facts)
