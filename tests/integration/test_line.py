"""The line on real servers: the tables are the fold, whatever the batches, the restarts, the partitions."""

from itertools import permutations
from random import Random

import asyncpg
import pytest

from events.catalogue import decoded
from events.identity import alert_id, bared
from events.partitions import partition_of
from projections.patient import PatientFile
from projections.policy import policy
from services import tables_alerts, tables_writing
from services.log import Outgoing
from services.projector import retrying, sharing
from services.projector.changes import Changes
from services.servers import Servers
from services.tables import Connection
from services.tables_projector import FenceLost
from tests.builders import (
    DAY,
    HOUR,
    MONDAY,
    SECOND,
    Said,
    answered,
    fold_lines,
    lines,
    paused,
    received,
    refusing,
    registered,
    said,
    tick,
    unfoldable,
    worked,
)
from tests.conftest import opened_line
from tests.line import Line
from tests.strategies import history


async def same_as_fold(line: Line, log: list[bytes]) -> None:
    expected, found = fold_lines(log, line.policy), await line.export()
    for name in ("cases", "patients", "claims", "findings", "errors"):
        assert found[name] == expected[name], name


def bounced(patient: str = "p1") -> list[Said]:
    return [worked(d).of(patient) for d in "ABA"]


async def test_facts_in_and_a_bounced_patient_out(line: Line) -> None:
    log = lines(*bounced(), registered(), tick("2026-05-01T00:00:00Z"))

    await line.publish(log)
    await line.project()

    await same_as_fold(line, log)


@pytest.mark.parametrize("seed", range(4))
async def test_random_histories_in_random_batches_are_their_fold(line: Line, seed: int) -> None:
    random = Random(seed)
    log = [fact.raw for fact in history(seed, 60)] + [
        raw.replace(b'"p1"', b'"p2"') for raw in (f.raw for f in history(seed + 100, 60))
    ]
    log += lines(tick("2026-09-01T00:00:00Z"))

    await line.publish(log)
    await line.project(random)

    await same_as_fold(line, log)


async def test_publishing_twice_changes_nothing(line: Line) -> None:
    log = [fact.raw for fact in history(7, 80)] + lines(tick("2026-09-01T00:00:00Z"))

    await line.publish(log)
    await line.publish(log)
    await line.project(Random(1))

    await same_as_fold(line, log)


async def test_a_projector_with_an_empty_memory_goes_on_where_another_stopped(line: Line) -> None:
    log = [fact.raw for fact in history(11, 120)] + lines(tick("2026-09-01T00:00:00Z"))

    await line.publish(log[:60])
    await line.project(Random(2))
    line.projecting = await line.projector("another", held_facts=1)
    await line.publish(log[60:])
    await line.project(Random(3))

    await same_as_fold(line, log)


async def test_a_second_owner_of_a_partition_writes_nothing(line: Line) -> None:
    await line.publish(lines(*bounced()))
    second = await line.projector("second")
    records = await line.records()
    batch = {number: [one for one in records if one.partition == number] for number in range(3)}
    batch = {number: some for number, some in batch.items() if some}

    await line.projecting.project(batch)
    before = await line.export()
    with pytest.raises(FenceLost):
        await second.project(batch)

    assert await line.export() == before


async def test_one_bad_record_is_parked_alone(line: Line) -> None:
    good = lines(*bounced())
    bad = [
        b"\xff\xfe",
        b"{",
        b"[]",
        b'{"specversion":"1.0"}',
        good[0].replace(b'"A"', b'"\\u0000"'),
        good[0].replace(b"f-0001", b"f-bad").replace(b"Z", b""),
    ]

    await line.publish([bad[0], good[0], bad[1], bad[2], good[1], bad[3], bad[4], good[2], bad[5]])
    await line.write(Outgoing(b"", b"default|p1"))
    await line.project()

    found = await line.export()
    assert found["cases"][0]["path"] == ["A", "B", "A"]
    assert found["errors"]["parked"] == 7


async def test_a_record_in_another_partition_is_parked(line: Line) -> None:
    fact = lines(worked("A"))[0]

    for number in range(3):
        await line.write(Outgoing(fact, b"default|p1", number))
    await line.project()

    codes = [row["code"] for row in await line.fetch("select code from parcours.parked")]
    assert codes == ["wrong_partition", "wrong_partition"]
    assert len((await line.export())["cases"]) == 1


async def test_an_absent_answer_is_noticed_although_nothing_arrives(line: Line) -> None:
    await line.publish(lines(registered()))
    await line.project()
    assert not (await line.export())["findings"]

    await line.publish(lines(tick("2026-04-01T00:00:00Z")))
    await line.project()

    kinds = {finding["kind"] for finding in (await line.export())["findings"]}
    assert kinds == {"missed_clock", "unanswered_claim"}


async def alerts(line: Line) -> list[tuple[str, int]]:
    rows = await line.fetch("select convert_from(value, 'UTF8')::jsonb as value from parcours.outbox order by id")
    return [(row["value"]["type"], row["value"]["data"]["n"]) for row in rows]


async def test_an_alert_is_raised_revised_and_resolved_once(line: Line) -> None:
    log = lines(
        *bounced(), worked("B"), said("contact.handled", contact="m1", department="B", case="c1", outcome="answered")
    )

    await line.publish(log)
    await line.project()
    await line.publish(log)
    await line.project()

    raised = "parcours.alert.raised.v1", 1
    assert await alerts(line) == [raised, ("parcours.alert.revised.v1", 2), ("parcours.alert.resolved.v1", 3)]
    row = (await line.fetch("select convert_from(value, 'UTF8')::jsonb as value from parcours.outbox order by id"))[0][
        "value"
    ]
    assert row["id"] == alert_id("default", "bounced_case:p1:c1:1", 1)
    assert row["causationid"] == "f-0003"


async def test_a_claim_settles_for_an_hour_before_anybody_is_told(line: Line) -> None:
    await line.publish(lines(registered(), tick("2026-03-30T23:00:00Z")))
    await line.project()
    kinds = [row["id"] for row in await line.fetch("select id from parcours.finding where kind = 'unanswered_claim'")]
    said_so_far = await line.fetch("select finding from parcours.announced where finding like 'unanswered%'")
    assert (len(kinds), said_so_far) == (1, [])

    await line.publish(lines(tick("2026-03-31T00:00:00Z")))
    await line.project()

    assert await line.fetch("select finding from parcours.announced where finding like 'unanswered%'")


async def test_old_history_alarms_nobody(line: Line) -> None:
    old = [one.on(MONDAY - 90 * DAY).recorded_at(MONDAY) for one in bounced()]

    await line.publish(lines(*old))
    await line.project()

    assert (await line.export())["findings"][0]["open"]
    assert await alerts(line) == []


async def test_a_correction_withdraws_the_finding_and_resolves_its_alert(line: Line) -> None:
    await line.publish(lines(*bounced()))
    await line.project()
    await line.publish(lines(said("fact.voided", fact="f-0002", reason="error").named("void")))
    await line.project()

    assert not (await line.export())["findings"]
    row = (
        await line.fetch(
            "select convert_from(value, 'UTF8')::jsonb as value from parcours.outbox order by id desc limit 1"
        )
    )[0]["value"]
    assert (row["type"], row["data"]["reason"]) == ("parcours.alert.resolved.v1", "corrected")


@pytest.mark.parametrize("seed", range(6))
async def test_people_merged_across_partitions_are_one_and_apart_again(
    servers: Servers, database: str, seed: int
) -> None:
    random = Random(seed)
    names = [f"p{n}" for n in range(6)]
    facts: list[Said] = []
    for number in range(60):
        patient = random.choice(names)
        one = worked(random.choice("ABC")).of(patient).named(f"w-{number}")
        if number % 7 == 3:
            one = said("patient.merged", into=random.choice(names)).of(patient).named(f"m-{number}")
        if number % 11 == 5:
            one = (
                said("fact.voided", fact=f"m-{random.choice(range(3, 60, 7))}", reason="two people")
                .of(patient)
                .named(f"v-{number}")
            )
        facts.append(one)
    log = lines(*facts, tick("2026-04-01T00:00:00Z"))

    async with opened_line(servers, database, policy({}), partitions=4) as line:
        await line.publish(log)
        await line.project(random)

        await same_as_fold(line, log)


async def test_an_erased_patient_is_gone_and_stays_gone(line: Line) -> None:
    erased = said("patient.erased").on(MONDAY + DAY)
    log = lines(
        *bounced(), registered(), worked("Z", text="secret"), erased, worked("A").of("p2"), tick("2026-04-01T00:00:00Z")
    )

    await line.publish(log)
    await line.project()
    line.projecting = await line.projector()
    await line.publish(log)
    await line.project()

    await same_as_fold(line, log)
    assert not await line.fetch(
        "select 1 from parcours.timeline where subject = 'p1' and type <> 'parcours.patient.erased.v1'"
    )
    assert not await line.fetch("select 1 from parcours.outbox where patient = 'p1'")


async def test_that_something_was_said_of_somebody_erased_is_shown_to_nobody(line: Line) -> None:
    async def shown() -> list[str]:
        async with line.pool.acquire() as connection:
            return [row["alert"] for row in await tables_alerts.alerts(connection, None)]

    await line.publish(lines(*bounced(), *bounced("p2")))
    await line.project()
    both = await shown()
    await line.publish(lines(said("patient.erased").named("erased").on(MONDAY + DAY)))
    await line.project()
    after = await shown()
    back = [one.named(f"back-{n}").on(MONDAY + 2 * DAY + n * HOUR) for n, one in enumerate(bounced())]
    await line.publish(lines(*back))
    await line.project()

    assert {name.split(":")[1] for name in both} == {"p1", "p2"}
    assert {name.split(":")[1] for name in after} == {"p2"}
    assert sorted(await shown()) == sorted(both)


async def test_a_fold_that_raises_on_one_patient_stops_nobody_else(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    unfoldable(monkeypatch, case="sick")
    await line.publish(lines(*(worked(d, case="sick").of("sick") for d in "ABA"), *bounced("well")))
    await line.project()

    sick = await line.fetch("select is_quarantined from parcours.patient where patient = 'sick'")
    assert sick == [{"is_quarantined": True}]
    assert [case["patient"] for case in (await line.export())["cases"]] == ["well"]
    assert len(await line.fetch("select 1 from parcours.timeline where patient = 'sick'")) == 3


async def test_a_claim_and_its_contacts_are_told_with_reasons_in_both_languages(line: Line) -> None:
    await line.publish(
        lines(registered(jurisdiction="fr-csp"), received("m1", claim="k1"), tick("2026-05-20T00:00:00Z"), answered())
    )
    await line.project()

    rows = await line.fetch("select reasons from parcours.finding where kind = 'unanswered_claim'")
    texts = [(reason["text_en"], reason["text_fr"]) for reason in rows[0]["reasons"]]
    assert ("chased once", "relancée 1 fois par le patient") in texts


async def test_a_late_copy_of_an_erased_fact_stays_out_after_its_person_was_merged(line: Line) -> None:
    steps = [
        [
            worked("A").of("p1").named("f1"),
            worked("B").of("p2").named("f2"),
            said("patient.erased").of("p1").named("e1"),
        ],
        [said("patient.merged", into="p2").of("p1").named("m1").on(MONDAY + 8 * DAY)],
        [worked("C").of("p1").named("f1").on(MONDAY + 9 * DAY), worked("D").of("p2").named("f3").on(MONDAY + 9 * DAY)],
    ]
    await line.publish(lines(*steps[0]))
    await line.project()
    line.projecting = await line.projector("with nothing in memory")
    for some in steps[1:]:
        await line.publish(lines(*some))
    for record in await line.records():  # the merge and the late copy reach the survivor's inbox together
        if record.offset >= line.projecting.positions[record.partition].next_offset:
            await line.projecting.project({record.partition: [record]})
    await line.projecting.settle()

    expected, found = fold_lines([row for some in steps for row in lines(*some)], line.policy), await line.export()
    assert expected["errors"]["conflicting_ids"] == 1
    assert found["errors"]["conflicting_ids"] == 1
    assert found["cases"] == expected["cases"]


@pytest.mark.parametrize("rounds", ["1111", "22", "13", "31", "4", "112", "121", "211"])
async def test_of_copies_before_and_after_an_erasure_the_one_recorded_first_counts(line: Line, rounds: str) -> None:
    """Three contents that occurred before the erasure or after it, in every order of arrival and of recording."""
    hours = ((1, 2, 48), (1, 48, 50))
    orders = [
        (when, come, rank) for when in hours for come in permutations(range(4)) for rank in permutations(range(3))
    ]
    told: list[list[bytes]] = [[] for _ in rounds]
    for n, (when, come, rank) in enumerate(orders):
        copies = [
            said("patient.erased").named("e1").on(MONDAY + DAY),
            *(
                worked(department, case=f"c{n}")
                .named("f1")
                .on(MONDAY + at * HOUR)
                .recorded_at(MONDAY + (9 + place) * DAY)
                for department, at, place in zip("ABC", when, rank, strict=True)
            ),
        ]
        ordered = [copies[one].of(f"p{n}") for one in come]
        for part, size in zip(told, rounds, strict=True):
            part.extend(lines(*ordered[: int(size)]))
            del ordered[: int(size)]
    for n, part in enumerate(told):
        await line.publish(part)
        await line.project()
        if n % 2 == 0:
            line.projecting = await line.projector("with nothing in memory")

    log = [row for part in told for row in part]
    await same_as_fold(line, log)
    files: dict[str, PatientFile] = {}
    for fact in map(decoded, log):
        files.setdefault(fact.subject, PatientFile(fact.tenant, fact.subject, line.policy)).note([fact])
    facts = [(file, one) for file in files.values() for one in file.known.values() if not file.is_erased(one)]
    kept = {bared(one.raw) if file.is_bared(one) else one.raw for file, one in facts}
    assert {bytes(row["raw"]) for row in await line.fetch("select raw from parcours.timeline")} == kept


async def test_a_late_fact_of_somebody_whose_own_partition_is_empty_is_folded_in(line: Line) -> None:
    one, other = list(line.homes().values())[:2]
    log = lines(
        worked("A").of(one).on(MONDAY),
        worked("A").of(one).on(MONDAY + 2 * DAY),
        worked("B").of(one).on(MONDAY + DAY).recorded_at(MONDAY + 3 * DAY),
        said("patient.merged", into=other).of(one).on(MONDAY + 4 * DAY),
    )
    await line.publish(log)
    await line.project()

    await same_as_fold(line, log)


async def test_a_row_that_is_refused_beside_a_correction_is_parked_and_the_rest_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "bad")
    await line.publish(
        lines(
            *bounced("p1"),
            worked("Z").of("p2").named("bad"),
            said("patient.merged", into="p1").of("p3"),
            worked("D").of("p3"),
        )
    )
    await line.project()

    (case,) = (await line.export())["cases"]
    assert case["path"] == ["A", "B", "A", "D"]
    assert [row["code"] for row in await line.fetch("select code from parcours.parked")] == ["table"]


async def test_an_erasure_that_contradicts_an_earlier_fact_of_its_name_erases_nothing_and_stops_nobody(
    line: Line,
) -> None:
    steps = [
        [worked("A").of("p1").named("f1")],
        [said("patient.erased").of("p1").named("f1").on(MONDAY + DAY), worked("B").of("p2")],
    ]
    for some in steps:
        await line.publish(lines(*some))
        await line.project()

    found = await line.export()
    assert {case["patient"] for case in found["cases"]} == {"p1", "p2"}
    assert found["errors"]["conflicting_ids"] == 1


async def test_a_fact_that_is_still_under_way_when_its_merge_is_undone_finds_its_own_person(line: Line) -> None:
    """The owners of three partitions, each at its own pace: a fact waits for the second person while the first leaves the third."""
    homes = line.homes("north")
    (one, first), (two, second), (three, third) = list(homes.items())[:3]
    owners = {number: await line.projector(f"owner-{number}") for number in (one, two, three)}
    for number, owner in owners.items():
        await owner.take([number])
    log: list[bytes] = []

    async def hears(number: int, fact: Said) -> None:
        log.extend(new := lines(fact.of(homes[number], "north").on(MONDAY + len(log) * DAY)))
        await line.publish(new)
        at = owners[number].positions[number].next_offset
        some = [found for found in await line.records() if found.partition == number and found.offset >= at]
        await owners[number].project({number: some})

    await hears(one, said("patient.merged", into=second).named("m1"))
    await owners[one].settle()
    await hears(one, worked("A").named("under-way"))
    await hears(two, said("patient.merged", into=third).named("m2"))
    await hears(one, said("fact.voided", fact="m1", reason="two people").named("v1"))
    await owners[three].settle()  # the third person has nothing of the first yet
    await owners[two].settle()  # hands on what was waiting for the second
    await owners[three].settle()
    for _ in range(2):
        for owner in owners.values():
            await owner.settle()

    found, expected = await line.export(), fold_lines(log, line.policy)
    assert [(row["patient"], row["path"]) for row in found["cases"]] == [(first, ["A"])]
    assert found["patients"] == expected["patients"]


@pytest.mark.parametrize("letters", ["\x21\x7e", "\xc0\u017f", "\u4e00\u9fff", "\U0001f300\U0001f5ff"])
async def test_the_longest_names_there_may_be_are_kept(line: Line, letters: str) -> None:
    random = Random(1)

    def text(length: int) -> str:
        return "".join(chr(random.randrange(ord(letters[0]), ord(letters[1]))) for _ in range(length))

    source = text(1024 // len(letters[0].encode()))
    patient, case, claim = text(128), text(128), text(128)
    facts = [
        *(worked(department, case=case) for department in "ABAB"),
        said("claim.registered", claim=claim, kind="complaint", jurisdiction="fr-csp", case=case),
        said("claim.paused", claim=claim, reason="other"),
        said("claim.contribution_requested", claim=claim, department=text(128)),
    ]
    log = lines(*(fact.of(patient).named(text(128), source) for fact in facts), tick("2026-09-01T00:00:00Z"))

    await line.publish(log)
    await line.project()

    await same_as_fold(line, log)
    assert len(await line.fetch("select 1 from parcours.finding where kind = 'late_contribution'")) == 1


async def test_a_record_whose_rows_postgres_refuses_is_parked_and_costs_nobody_else_anything(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "bad")
    facts = [worked(d).of(p).named(f"{p}{n}") for p in ("p1", "p2", "p3") for n, d in enumerate("ABAC")]
    facts.insert(7, worked("X").of("p2").named("bad"))
    log = lines(*facts, tick("2026-09-01T00:00:00Z"))
    await line.publish(log)
    await line.project()

    found, expected = await line.export(), fold_lines([one for one in log if b'"bad"' not in one], line.policy)
    assert found["cases"] == expected["cases"]
    parked = await line.fetch("select code, field, subject from parcours.parked")
    assert [tuple(row.values()) for row in parked] == [("table", "(record)", "p2")]
    async with line.pool.acquire() as connection:
        assert (await retrying.retry(connection, clock_rule=False))["tried"] == 0


async def test_what_postgres_refuses_of_a_fact_that_another_partition_left_is_parked_and_the_rest_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "bad")
    one, other = list(line.homes().values())[:2]
    merge = lines(*bounced(other), said("patient.merged", into=other).of(one).named("m1"))
    later = lines(*(worked(d).of(one).named(n) for d, n in (("D", "f9"), ("X", "bad"), ("E", "f10"))))
    for some in (merge, later):
        await line.publish(some)
        await line.project()

    found, expected = await line.export(), fold_lines([*merge, later[0], later[2]], line.policy)
    assert found["cases"] == expected["cases"]
    (parked,) = await line.fetch('select partition, "offset", code, subject, value, appended_at from parcours.parked')
    assert (parked["code"], parked["subject"], parked["value"]) == ("table", one, later[1])
    assert parked["partition"] == partition_of(f"default|{other}".encode(), line.partitions)
    assert (parked["offset"], parked["appended_at"]) > (sharing.BEYOND, decoded(later[1]).recorded_at - SECOND)
    assert await line.fetch("select 1 from parcours.inbox") == []


async def test_somebody_whose_rows_are_refused_when_time_passes_is_set_aside_and_the_others_fall_due(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, sick = tables_writing.write, True

    async def write(connection: Connection, schema: str, changes: Changes, **how: bool) -> None:
        if sick and any(row[1] == "p2" for row in [*changes.claims.new, *changes.claims.known]):
            raise asyncpg.DataError("no such row")
        await honest(connection, schema, changes, **how)

    log = lines(*(registered().of(f"p{n}").named(f"c{n}") for n in range(5)))
    await line.publish(log)
    await line.project()
    monkeypatch.setattr(tables_writing, "write", write)
    log += (passed := lines(tick("2027-09-01T00:00:00Z")))
    await line.publish(passed)
    await line.project()

    aside = await line.fetch("select patient from parcours.patient where is_quarantined")
    assert [row["patient"] for row in aside] == ["p2"]
    unanswered = await line.fetch("select patient from parcours.claim where unanswered order by patient")
    assert [row["patient"] for row in unanswered] == ["p0", "p1", "p3", "p4"]

    sick = False
    async with line.pool.acquire() as connection:
        assert (await retrying.retry(connection, clock_rule=False))["patients"] == 1
    await line.projecting.settle()
    await same_as_fold(line, log)


async def test_a_finding_that_settles_is_said_although_its_person_was_read_back_meanwhile(line: Line) -> None:
    await line.publish(
        lines(registered().on("2026-03-02T09:00:00Z"), paused("other").on("2026-03-02T10:00:00Z").named("f-0002"))
    )
    await line.project()
    assert await line.fetch("select 1 from parcours.outbox") == []

    line.projecting = await line.projector()
    await line.publish(lines(received("m1").on("2026-03-02T10:20:00Z").named("f-0003")))
    await line.project()
    await line.publish(lines(tick("2026-03-02T12:00:00Z")))
    await line.project()

    said_of = await line.fetch("select finding, act from parcours.outbox")
    assert [(row["finding"], row["act"]) for row in said_of] == [("illegitimate_pause:p1:k1:/test#f-0002", "raised")]
