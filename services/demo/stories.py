"""Stories one can find again by name, told as facts. Every name and word is invented here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

HOSPITAL = "hopital-demo"
SOURCES = {
    "standard": "/standard",
    "portail": "/portail",
    "dossier": "/dossier-patient",
    "reclamations": "/relations-usagers",
}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Told:
    """One fact of a story: when, about whom, from which system, what."""

    at: datetime
    patient: str
    source: str
    name: str
    data: dict[str, Any]


@dataclass(slots=True)
class Story:
    """One patient's story, told from a first day on."""

    patient: str
    begins: datetime
    told: list[Told] = field(default_factory=list)

    def say(self, after: timedelta, source: str, name: str, **data: Any) -> "Story":
        """One fact, so long after the beginning."""
        self.told.append(Told(self.begins + after, self.patient, SOURCES[source], name, data))
        return self


def bounced_with_a_case(story: Story, departments: tuple[str, ...], case: str, topic: str, *, answered: bool) -> Story:
    """A case sent from department to department, each doing nothing much with it."""
    story.say(timedelta(), "standard", "contact.received", contact=f"{case}-1", channel="phone", topic=topic, case=case)
    story.say(HOUR / 4, "dossier", "case.opened", case=case, topic=topic, department=departments[0])
    for n, department in enumerate(departments[1:], 1):
        story.say(
            n * 2 * DAY, "standard", "contact.redirected",
            contact=f"{case}-r{n}", from_department=departments[n - 1], to_department=department, case=case, warm=n % 2 == 0,
        )  # fmt: skip
        story.say(
            n * 2 * DAY + HOUR,
            "dossier",
            "case.worked",
            case=case,
            department=department,
            activity="étude du dossier",
            substantive=False,
        )
    if answered:
        last = len(departments) * 2 * DAY
        contact = f"{case}-fin"
        story.say(
            last,
            "standard",
            "contact.handled",
            contact=contact,
            department=departments[-1],
            case=case,
            outcome="answered",
            substantive=True,
        )
    return story


def bounced_without_a_case(story: Story, topic: str, departments: tuple[str, ...]) -> Story:
    """Told on the telephone to call another department, again and again; nobody opened a case."""
    for n, department in enumerate(departments):
        contact = f"{story.patient}-{topic}-{n}"
        at = n * 3 * DAY
        story.say(
            at, "standard", "contact.received", contact=contact, channel="phone", topic=topic, department=department
        )
        if n + 1 < len(departments):
            there = departments[n + 1]
            story.say(
                at + HOUR / 6,
                "standard",
                "contact.redirected",
                contact=contact,
                from_department=department,
                to_department=there,
                topic=topic,
            )
    return story


def claim(
    story: Story, name: str, department: str, *, acknowledged: bool = True, chases: int = 0, held: bool = False,
    answered_after: timedelta | None = None, kind: str = "complaint",
) -> Story:  # fmt: skip
    """A claim under French law, and what becomes of it."""
    story.say(
        timedelta(),
        "portail",
        "contact.received",
        contact=f"{name}-m",
        channel="mail",
        topic="réclamation",
        dissatisfied=True,
    )
    story.say(
        5 * HOUR, "reclamations", "claim.registered",
        claim=name, kind=kind, jurisdiction="fr-csp", contacts=[f"{name}-m"], department=department,
    )  # fmt: skip
    if acknowledged:
        story.say(
            8 * HOUR, "reclamations", "claim.acknowledged",
            claim=name, reference=f"REF-{name}", contact_name="Mme Lambert", expected_at=(story.begins + 25 * DAY).date().isoformat(),
        )  # fmt: skip
    if held:
        promised = (story.begins + 20 * DAY).date().isoformat()
        story.say(12 * DAY, "reclamations", "claim.held", claim=name, promised_at=promised)
    for n in range(chases):
        story.say(
            (16 + 6 * n) * DAY,
            "standard",
            "contact.received",
            contact=f"{name}-relance{n}",
            channel="phone",
            claim=name,
        )
    if answered_after is not None:
        story.say(answered_after, "reclamations", "claim.answered", claim=name, outcome="partially_upheld")
    return story


def named(start: datetime) -> Iterator[Story]:
    """The stories told in the README, each under the name one can look for."""

    def of(patient: str, day: int, hour: int = 9) -> Story:
        return Story(patient, start + day * DAY + hour * HOUR)

    yield bounced_with_a_case(
        of("mme-garance", 30),
        ("admissions", "facturation", "admissions", "facturation", "admissions"),
        "D-garance",
        "facture",
        answered=False,
    )
    yield bounced_with_a_case(
        of("m-okafor", 35),
        ("cardiologie", "imagerie", "consultations", "cardiologie"),
        "D-okafor",
        "résultats d'imagerie",
        answered=False,
    )
    yield bounced_with_a_case(
        of("mme-levasseur", 20),
        ("admissions", "sociale", "facturation", "admissions"),
        "D-levasseur",
        "prise en charge",
        answered=True,
    )
    yield bounced_without_a_case(
        of("m-brume", 44), "ordonnance numérique", ("pharmacie", "informatique", "consultations", "pharmacie")
    )
    yield bounced_without_a_case(of("mme-sol", 40), "copie du dossier", ("archives", "secrétariat médical", "archives"))
    yield claim(of("m-delorme", 2), "R-delorme", "urgences", acknowledged=False, chases=3)
    yield claim(of("mme-ferrand", 12), "R-ferrand", "chirurgie", chases=2, held=True)
    yield claim(of("m-quentin", 22), "R-quentin", "maternité", chases=1)
    yield claim(of("mme-ninon", 15), "R-ninon", "facturation", answered_after=14 * DAY)
    yield claim(of("m-abel", 8), "R-abel", "imagerie", answered_after=40 * DAY, chases=1)


TOPICS_BIG = ("rendez-vous", "résultats", "admission", "facture", "visites")
TOPICS_SMALL = (
    "ordonnance numérique",
    "copie du dossier",
    "objet perdu",
    "interprète",
    "taxi conventionné",
    "parking",
    "don d'organes",
)
DEPARTMENTS = (
    "admissions", "facturation", "consultations", "cardiologie", "imagerie", "urgences", "chirurgie", "maternité", "pharmacie",
)  # fmt: skip


def ordinary(random: Random, start: datetime, days: int, patients: int) -> Iterator[Story]:
    """The others: a mass flow answered at once, micro-flows of three or four a week, planned care paths."""
    for n in range(patients):
        day = random.randrange(days - 3)
        story = Story(f"p-{n:04d}", start + day * DAY + random.randrange(8, 17) * HOUR)
        kind = random.random()
        if kind < 0.12:
            _care_path(random, story, n)
        elif kind < 0.22:
            _small(random, story, n)
        else:
            _calls(random, story, n)
        yield story


def _calls(random: Random, story: Story, n: int) -> None:
    for k in range(random.choice((1, 1, 1, 2, 3))):
        topic, department = random.choice(TOPICS_BIG), random.choice(DEPARTMENTS[:3])
        contact, at = f"c-{n}-{k}", k * DAY + random.randrange(50) * HOUR / 10
        story.say(at, "standard", "contact.received", contact=contact, channel="phone", topic=topic)
        outcome = "answered" if random.random() < 0.93 else "callback"
        story.say(
            at + HOUR / 10,
            "standard",
            "contact.handled",
            contact=contact,
            department=department,
            outcome=outcome,
            topic=topic,
        )


def _small(random: Random, story: Story, n: int) -> None:
    topic, department = random.choice(TOPICS_SMALL), random.choice(DEPARTMENTS)
    story.say(
        timedelta(),
        "standard",
        "contact.received",
        contact=f"s-{n}",
        channel="phone",
        topic=topic,
        department=department,
    )
    if random.random() < 0.6:
        contact = f"s-{n}"
        story.say(
            HOUR / 5,
            "standard",
            "contact.handled",
            contact=contact,
            department=department,
            outcome="answered",
            topic=topic,
        )


def _care_path(random: Random, story: Story, n: int) -> None:
    case, path = f"D-{n:04d}", random.sample(DEPARTMENTS, random.choice((2, 3)))
    story.say(timedelta(), "dossier", "case.opened", case=case, topic="parcours de soins", department=path[0])
    for k, department in enumerate(path[1:], 1):
        story.say(
            k * DAY,
            "dossier",
            "case.transferred",
            case=case,
            from_department=path[k - 1],
            to_department=department,
            planned=True,
        )
        story.say(
            k * DAY + HOUR,
            "dossier",
            "case.worked",
            case=case,
            department=department,
            activity="consultation",
            substantive=True,
        )
    story.say(len(path) * DAY, "dossier", "case.closed", case=case, reason="answered")
