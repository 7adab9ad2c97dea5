"""A person's file as it is, as it was known at an instant, or as it stood then: folded from the timeline. DOMAIN section 2."""

from collections.abc import AsyncIterator
from datetime import datetime

from events.catalogue import decoded
from events.contacts import ContactLinked, ContactReclassified, ContactUndelivered, ContactUnlinked
from events.envelope import Recorded
from events.patients import FactVoided, PatientErased, PatientMerged
from projections.findings import department_of, findings
from projections.patient import PatientFile
from projections.policy import Policy
from projections.rows import Row, case_row, claim_row, finding_row, stamp
from projections.saying import reason_rows
from projections.words import explanation
from services.persons import Persons, persons_at
from services.tables import Connection, Generation, active_generation

AT_ONCE = 2_000
CORRECTIONS = (
    FactVoided,
    PatientMerged,
    PatientErased,
    ContactLinked,
    ContactUnlinked,
    ContactReclassified,
    ContactUndelivered,
)


async def file_of(
    connection: Connection, tenant: str, patient: str, as_of: datetime | None, occurred_by: datetime | None = None
) -> PatientFile:
    """A patient's file folded from the timeline.

    With `as_of`, only from what had been recorded by then, also of merges; with `occurred_by`, from what had happened by then,
    corrected by all that is known today.
    """
    generation = await active_generation(connection)
    return await _file(
        connection,
        generation,
        await _merged(connection, generation, tenant, as_of),
        tenant,
        patient,
        as_of,
        occurred_by,
    )


async def files_of(
    connection: Connection, tenant: str, patient: str, as_of: datetime | None, occurred_by: datetime | None = None
) -> list[PatientFile]:
    """The file of a person of today; at an instant before records were merged, the file of each."""
    generation = await active_generation(connection)
    merged = await _merged(connection, generation, tenant, as_of)
    return [
        await _file(connection, generation, merged, tenant, name, as_of, occurred_by) for name in merged.were(patient)
    ]


async def _merged(
    connection: Connection, generation: Generation | None, tenant: str, as_of: datetime | None
) -> Persons:
    """Who was whom then; nobody was another today, when tables are asked for what they are."""
    if as_of is None or generation is None:
        return Persons()
    return (await persons_at(connection, generation, tenant, as_of)).get(tenant, Persons())


async def _file(
    connection: Connection, generation: Generation | None, merged: Persons, tenant: str, patient: str,
    as_of: datetime | None, occurred_by: datetime | None,
) -> PatientFile:  # fmt: skip
    subjects = merged.subjects(patient) if merged.now or merged.then.into else None
    names = [patient] if subjects is None else sorted({merged.today(subject) for subject in subjects})
    rows = await connection.fetch(
        "select raw from parcours.timeline where tenant = $1 and patient = any($2)"
        " and ($3::text[] is null or subject = any($3))",
        tenant, names, subjects,
    )  # fmt: skip
    watermark = await connection.fetchval(
        "select c.watermark from parcours.patient p join parcours.checkpoint c using (partition)"
        " where p.tenant = $1 and p.patient = $2",
        tenant, patient,
    )  # fmt: skip
    facts = [decoded(row["raw"]) for row in rows]
    policy = generation.policy if generation else Policy()
    return folded(policy, tenant, patient, facts, watermark, as_of, occurred_by)


def folded(
    policy: Policy, tenant: str, patient: str, facts: list[Recorded], watermark: datetime | None,
    as_of: datetime | None, occurred_by: datetime | None,
) -> PatientFile:  # fmt: skip
    """The fold of those facts that count at an instant."""
    if as_of is not None:
        facts = [fact for fact in facts if fact.recorded_at <= as_of]
        watermark = as_of
    if occurred_by is not None:
        facts = [fact for fact in facts if fact.occurred_at <= occurred_by or isinstance(fact.data, CORRECTIONS)]
        watermark = occurred_by
    file = PatientFile(tenant, patient, policy, watermark=watermark)
    file.fill(facts)
    return file


async def files_at(
    connection: Connection, tenant: str | None, as_of: datetime | None, occurred_by: datetime | None
) -> AsyncIterator[tuple[PatientFile, int]]:
    """Every person's file at an instant, streamed over the timeline, and how many facts were read for it."""
    generation = await active_generation(connection)
    policy = generation.policy if generation else Policy()
    merged: dict[str, Persons] = {}
    if as_of is not None and generation is not None:
        merged = await persons_at(connection, generation, tenant, as_of)
    moved = {(name, person) for name, persons in merged.items() for person in persons.moved}
    apart: dict[tuple[str, str], list[Recorded]] = {}
    async with connection.transaction(readonly=True):
        async for person, facts in _by_person(connection, tenant, as_of):
            if person in moved:  # some of their facts were another person's then
                for fact in facts:
                    was = (person[0], merged[person[0]].then.person(fact.subject))
                    apart.setdefault(was, []).append(fact)
            else:
                yield folded(policy, *person, facts, None, as_of, occurred_by), len(facts)
    for person, facts in apart.items():
        yield folded(policy, *person, facts, None, as_of, occurred_by), len(facts)


async def _by_person(
    connection: Connection, tenant: str | None, as_of: datetime | None
) -> AsyncIterator[tuple[tuple[str, str], list[Recorded]]]:
    person: tuple[str, str] | None = None
    facts: list[Recorded] = []
    query = (
        "select tenant, patient, raw from parcours.timeline where ($1::text is null or tenant = $1)"
        " and ($2::timestamptz is null or recorded_at <= $2) order by tenant, patient"
    )
    async for row in connection.cursor(query, tenant, as_of, prefetch=AT_ONCE):
        now = (row["tenant"], row["patient"])
        if person is not None and now != person:
            yield person, facts
            facts = []
        person = now
        facts.append(decoded(row["raw"]))
    if person is not None:
        yield person, facts


def case_told(file: PatientFile, name: str) -> Row:
    """Everything about one case: path, visits, clocks, findings, timeline."""
    one = file.cases[name]
    theirs = [claim for claim in file.claims.values() if claim.said.case == name and claim.has_begun]
    now = file.watermark
    return case_row(file, one) | {
        "visits": [
            {
                "department": v.department,
                "since": stamp(v.since),
                "planned": v.planned,
                "path": path.number,
                "fact": v.fact,
            }
            for path in one.paths
            for v in path.visits
        ],
        "claims": [claim_row(file, claim, now or claim.t0) for claim in theirs],
        "findings": [
            finding_row(file, f) | {"reasons": reason_rows(file, f)} for f in findings(file) if f.case == name
        ],
        "timeline": [timeline_row(fact) for fact in file.facts if concerns(file, fact, name)],
    }


def concerns(file: PatientFile, fact: Recorded, case: str) -> bool:
    data = fact.data
    if getattr(data, "case", None) == case:
        return True
    names = [getattr(data, "claim", None)]
    contact = file.contacts.get(getattr(data, "contact", None) or "")
    if contact is not None:
        if case in contact.cases:
            return True
        said = [contact.received, *contact.sendings, *contact.claim_facts]
        names += [*contact.listed_by, *(getattr(one.data, "claim", None) for one in said if one is not None)]
    claims = [file.claims[name] for name in names if name in file.claims]
    return any(claim.said.case == case for claim in claims)


def timeline_row(fact: Recorded) -> Row:
    """One fact of a timeline, without the patient's words."""
    here, there = where(fact)
    return {
        "occurred_at": stamp(fact.occurred_at), "recorded_at": stamp(fact.recorded_at),
        "type": fact.type, "department": here, "to_department": there, "fact": fact.name,
    }  # fmt: skip


def where(fact: Recorded) -> tuple[str | None, str | None]:
    """The department in which a fact happened, and the one it sends to."""
    said = fact.data
    here = getattr(said, "department", None) or getattr(said, "from_department", None)
    return here, getattr(said, "to_department", None)


def way(here: str | None, there: str | None) -> str:
    """Both in one, for people."""
    return " → ".join(filter(None, (here, there)))


def claim_told(file: PatientFile, name: str) -> Row:
    """A claim with the department that owes the answer, its explanation, line by line, and both elapsed figures."""
    one = file.claims[name]
    now = file.watermark or one.t0
    end = one.answered_at or now
    return claim_row(file, one, now) | {
        "department": department_of(file, one),
        "rules": {"jurisdiction": one.jurisdiction.id, "version": one.rules.version, "source": one.rules.source},
        "elapsed": {
            "calendar_days": round((end - one.t0).total_seconds() / 86400, 2),
            "working_days": one.calendar.working_days_between(one.t0, end),
        },
        "explanation": [
            {"text_en": line.en, "text_fr": line.fr, "fact": (line.evidence or (None,))[0]} for line in explanation(one)
        ],
    }
