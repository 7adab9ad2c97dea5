"""Rebuild, hand over, verify, what-if: the tables made anew while others read them, and nothing said twice."""

import asyncio
from random import Random

import asyncpg
import orjson
import pytest

from events.catalogue import TICK
from events.envelope import Recorded, partition_key
from events.partitions import partition_of
from projections.policy import policy
from services import tables_generations as saved
from services import tables_people, tables_projector, tables_writing
from services.log import Outgoing, Record, end_offsets
from services.projector import comparing, filling, stretch
from services.projector import rebuild as making
from services.projector.batch import Projecting
from services.projector.changes import Changes, Person
from services.tables import Connection, Generation, NoGeneration, active_generation, connected
from services.tables_projector import FenceLost
from tests.benchmarks.logs import log
from tests.builders import DAY, HOUR, MONDAY, Said, lines, refusing, registered, said, tick, worked
from tests.faults.plan import log_of
from tests.line import Line
from tests.strategies import history


def rebuilding(line: Line) -> making.Rebuilding:
    return making.Rebuilding(line.kafka, line.pool, line.topic, clock_rule=False, step=lambda _done, _total: None)


async def verdict(line: Line) -> comparing.Verdict:
    async with connected(line.database, "tests") as connection:
        return await comparing.verify(rebuilding(line), connection)


def busy() -> list[bytes]:
    bounced: list[Said] = [worked(d).of(f"p{n}") for n in range(6) for d in "ABCA"[: n % 4 + 1]]
    merged = [said("patient.merged", into="p1").of("p2"), said("patient.erased").of("p3")]
    return lines(*bounced, registered().of("p4"), *merged, tick("2026-04-15T00:00:00Z"))


async def taken_over(line: Line, made: Generation) -> None:
    """A projector of the new generation begins, as one does when it sees that another is active."""
    line.generation, line.policy = made, made.policy
    line.projecting = await line.projector()
    await line.projecting.settle()


async def announced(line: Line) -> list[dict[str, object]]:
    return await line.fetch("select finding, n, level, is_raised from parcours.announced order by finding")


async def test_a_rebuild_is_the_same_and_says_nothing_twice(line: Line) -> None:
    await line.publish(busy() + [fact.raw for fact in history(5, 60)])
    await line.project(Random(5))
    before, told, sent = await line.export(), await announced(line), await line.fetch("select id from parcours.outbox")

    made = await making.rebuild(rebuilding(line), line.policy)
    await taken_over(line, made)

    assert (await line.export()) == before
    assert await announced(line) == told
    assert await line.fetch("select id from parcours.outbox") == sent
    async with connected(line.database, "tests") as connection:
        active = await active_generation(connection)
    assert active is not None
    assert active.id == made.id


@pytest.mark.parametrize("segment", [1, 7, 1_000])
async def test_a_rebuild_in_pieces_is_the_same(line: Line, monkeypatch: pytest.MonkeyPatch, segment: int) -> None:
    monkeypatch.setattr(filling, "SEGMENT", segment)
    monkeypatch.setattr(making, "AT_ONCE", 5)
    await line.publish(busy() + log_of(Random(segment), 80))
    await line.project(Random(5))

    assert (await verdict(line)).is_same


@pytest.mark.parametrize(("segment", "part"), [(1_000, 1), (1_000, 10), (9, 3), (50, 2)])
async def test_a_rebuild_finds_whose_a_record_is_whatever_its_key_says(
    line: Line, monkeypatch: pytest.MonkeyPatch, segment: int, part: int
) -> None:
    random = Random(part)
    for raw in busy() + log_of(random, 120):
        await line.write(*(of_any_key(random, raw, line.partitions)))
    await line.project(random)
    monkeypatch.setattr(filling, "SEGMENT", segment)
    monkeypatch.setattr(stretch, "PART", part)
    monkeypatch.setattr(stretch, "ASKED", max(1, part // 2))
    monkeypatch.setattr(stretch, "AT_HAND", max(1, part // 4))
    monkeypatch.setattr(making, "AT_ONCE", 5)

    assert (await verdict(line)).is_same
    marks = "select partition, watermark from parcours.checkpoint order by partition"
    before = await line.fetch(marks)
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    assert await line.fetch(marks) == before


def of_any_key(random: Random, raw: bytes, partitions: int) -> list[Outgoing]:
    """Records where they belong, with their own key, none, another's, or one that names nobody; some in binary mode."""
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return [Outgoing(raw, random.choice((None, b"default|p1", b"x")), random.randrange(partitions))]
    if content["type"] == TICK:
        return [Outgoing(raw, random.choice((None, b"default|p1")), number) for number in range(partitions)]
    key = partition_key(content.get("tenant", "default"), content["subject"]).encode()
    odd = (None, b"default|p1", b"nobody", b"default|\xff", "default|\ufffd".encode(), b"default|\x00")
    said = random.choice((key, key, *odd))
    if random.random() < 0.2:
        data = orjson.dumps(content.pop("data", {}))
        content.pop("datacontenttype", None)
        headers = tuple((f"ce_{name}", str(value).encode()) for name, value in content.items())
        return [Outgoing(data, said, partition_of(key, partitions), (("content-type", b"application/json"), *headers))]
    return [Outgoing(raw, said, partition_of(key, partitions))]


async def test_a_copy_that_counts_after_an_erasure_is_left_alone_by_a_fold_that_has_not_come_so_far(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = MONDAY + 9 * DAY, MONDAY + 8 * DAY
    await line.publish(
        lines(
            worked("A").named("f").on(MONDAY).recorded_at(early),
            said("patient.erased").named("e").on(MONDAY + DAY),
            worked("B").named("f").on(MONDAY + 2 * DAY).recorded_at(late),
        )
    )
    await line.project()
    before = await line.fetch("select raw from parcours.timeline order by id")
    monkeypatch.setattr(filling, "SEGMENT", 2)
    monkeypatch.setattr(making, "AT_ONCE", 2)

    assert [(await verdict(line)).is_same for _ in range(2)] == [True, True]
    assert await line.fetch("select raw from parcours.timeline order by id") == before
    assert (await line.export())["errors"]["conflicting_ids"] == 1


async def test_an_erasure_that_reaches_a_generation_behind_has_it_look_at_the_person_again(line: Line) -> None:
    log = lines(
        worked("B", case="c1").named("f1").on(MONDAY + 2 * DAY).recorded_at(MONDAY + 12 * DAY),
        said("patient.erased").named("e").on(MONDAY + DAY),
        worked("C", case="c2").named("f2").on(MONDAY + 1.5 * DAY),
        worked("D", case="c3").named("f1").on(MONDAY + HOUR).recorded_at(MONDAY + 9 * DAY),
    )
    await line.publish(log[:3])
    await line.project()
    async with line.pool.acquire() as connection:
        behind = await making.begin(rebuilding(line), line.policy, resume=False)
        await making.fill(rebuilding(line), behind, await saved.reached(connection))
        await line.publish(log[3:])
        await line.project()
        await making.fill(rebuilding(line), behind, await saved.reached(connection))

        assert [case["case"] for case in (await line.export())["cases"]] == ["c2"]
        assert await saved.digests(connection, behind.schema) == await saved.digests(connection, line.generation.schema)


async def test_what_was_parked_of_somebody_erased_is_gone_after_a_rebuild_too(line: Line) -> None:
    (bad,) = lines(worked("secret").of("p1"))
    bad = bad.replace(b'"1.0"', b'"9"')
    home = partition_of(b"default|p1", line.partitions)
    await line.write(
        *(Outgoing(bad.replace(b"secret", b"secret%d" % n), key, home) for n, key in enumerate((None, b"x|y")))
    )
    await line.publish(lines(worked("A"), said("patient.erased").on(MONDAY + DAY)))
    await line.project()
    assert await line.fetch("select 1 from parcours.parked") == []

    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    assert await line.fetch("select 1 from parcours.parked") == []


async def test_erasing_reaches_what_was_parked_in_every_generation_and_under_every_name(line: Line) -> None:
    merge = said("patient.merged", into="p1").of("p0")
    for subject in ("p1", "p0", "p2"):
        (bad,) = lines(worked("secret").of(subject).named(f"bad-{subject}"))
        key = f"default|{subject}".encode()
        await line.write(Outgoing(bad.replace(b'"1.0"', b'"9"'), key, partition_of(key, line.partitions)))
    await line.publish(lines(worked("A").of("p1"), worked("A").of("p0"), merge))
    await line.project()
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    await line.publish(lines(said("patient.erased").of("p1").named("e1").on(MONDAY + DAY)))
    await line.project()

    for generation in await line.fetch("select id from parcours.generation"):
        left = await line.fetch(f"select subject from g{generation['id']}.parked")
        assert [row["subject"] for row in left] == ["p2"]


async def test_of_a_void_no_word_outlives_an_erasure(line: Line) -> None:
    wrong = worked("A", text="secret").named("f1")
    void = said("fact.voided", fact="f1", reason="she told me her secret").named("v").on(MONDAY + DAY)
    late = (
        said("fact.voided", fact="f9", reason="the secret again")
        .named("late")
        .on(MONDAY + HOUR)
        .recorded_at(MONDAY + 3 * DAY)
    )
    (again,) = lines(void)
    erased = said("patient.erased", text="a secret reason").named("e").on(MONDAY + 2 * DAY)
    await line.publish(lines(wrong, void))
    await line.project()
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    await line.publish(lines(erased, late))
    await line.project()
    line.projecting = await line.projector()  # with nothing in memory
    await line.publish([again])
    await line.project()

    for generation in await line.fetch("select id from parcours.generation"):
        for table in ("correction", "timeline"):
            rows = await line.fetch(f"select raw from g{generation['id']}.{table}")
            assert rows
            assert not [row for row in rows if b"secret" in row["raw"]], (generation, table)
    assert (await line.export())["errors"]["conflicting_ids"] == 0
    assert (await verdict(line)).is_same


async def test_a_void_that_contradicts_one_of_somebody_erased_is_still_told(line: Line) -> None:
    void = said("fact.voided", fact="f1", reason="her secret").named("v").on(MONDAY + DAY)
    other = said("fact.voided", fact="f1", reason="another secret").named("v").on(MONDAY + DAY)
    await line.publish(lines(worked("A").named("f1"), void, said("patient.erased").on(MONDAY + 2 * DAY)))
    await line.project()
    line.projecting = await line.projector()
    await line.publish(lines(other.recorded_at(MONDAY + 3 * DAY)))
    await line.project()

    assert (await line.export())["errors"]["conflicting_ids"] == 1
    assert (await verdict(line)).is_same


async def test_who_has_come_by_a_merge_is_no_stranger_to_the_first_record_of_their_own_partition(line: Line) -> None:
    one, other = list(line.homes().values())[:2]
    await line.publish(lines(*(worked(d).of(one) for d in "ABA"), said("patient.merged", into=other).of(one)))
    await line.project()
    async with line.pool.acquire() as connection:
        made = await making.begin(rebuilding(line), line.policy, resume=False)
        await making.fill(rebuilding(line), made, await saved.reached(connection))
        await line.publish(lines(worked("C").of(other).named("own").on(MONDAY + DAY)))
        await line.project()
        await making.fill(rebuilding(line), made, await saved.reached(connection))

        assert (await line.export())["cases"][0]["path"] == ["A", "B", "A", "C"]
        assert await saved.digests(connection, made.schema) == await saved.digests(connection, line.generation.schema)


async def test_new_tables_take_over_although_facts_never_stop_coming(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, reached, n, stood_still = making.end_offsets, saved.reached, 0, 0

    async def reached_by_all(connection: Connection, schema: str = "parcours") -> dict[int, int]:
        nonlocal stood_still
        if schema == line.generation.schema:  # the old tables, just before the switch: nobody moves them on
            async with line.pool.acquire() as other:
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await other.execute(f"select 1 from {schema}.checkpoint for update nowait")
            stood_still += 1
        return await reached(connection, schema)

    async def end_offsets(servers: str, topic: str) -> dict[int, int]:
        nonlocal n
        ends, n = await honest(servers, topic), n + 1
        await line.publish(lines(worked("Z").of("late").named(f"late{n}").on(MONDAY + n * HOUR)))
        await line.project()  # the old tables are ahead of whatever the new ones are told to read
        return ends

    await line.publish(busy())
    await line.project()
    monkeypatch.setattr(making, "end_offsets", end_offsets)
    monkeypatch.setattr(saved, "reached", reached_by_all)
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))

    (late,) = await line.fetch("select facts from parcours.patient where patient = 'late'")
    assert (late["facts"], n, stood_still) == (3, 3, 1)


async def test_who_takes_over_waits_for_a_long_stretch_of_the_old_tables(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, begun, tries = saved.stand_still, asyncio.Event(), 0

    async def stand_still(connection: Connection, old: Generation) -> None:
        nonlocal tries
        tries += 1
        begun.set()
        await honest(connection, old)

    async def in_the_middle_of_a_stretch() -> None:
        async with line.pool.acquire() as connection, connection.transaction():
            await connection.execute(f"select 1 from {line.generation.schema}.checkpoint for update")
            await begun.wait()
            await asyncio.sleep(2.5)

    await line.publish(busy())
    await line.project()
    monkeypatch.setattr(saved, "stand_still", stand_still)
    _, made = await asyncio.gather(in_the_middle_of_a_stretch(), making.rebuild(rebuilding(line), line.policy))
    await taken_over(line, made)

    assert tries == 1


async def test_what_is_set_aside_for_an_upsert_is_gone_before_the_next_part_of_a_transaction(line: Line) -> None:
    schema, n = line.generation.schema, tables_writing.FEW + 1
    async with line.pool.acquire() as connection, connection.transaction():
        for part in ("a", "b", "c"):
            changes = Changes()
            for number in range(n):
                row = ("default", f"{part}{number}", 0, False, 1, 0, 1, None, MONDAY, False)
                changes.patients.add(row, is_new=False)
            await tables_writing.write(connection, schema, changes)

        assert await connection.fetchval(f"select count(*) from pg_temp.aside_{schema}_patient") == n
        assert await connection.fetchval(f"select count(*) from {schema}.patient") == 3 * n


@pytest.mark.parametrize("segment", [1_000, 4])
async def test_a_row_that_postgres_refuses_is_parked_by_a_rebuild_and_all_others_are_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch, segment: int
) -> None:
    steps = [(p, d) for d in "ABC" for p in ("p1", "p2")]
    told = [worked(d).of(p).named(f"{p}{d}").on(MONDAY + n * HOUR) for n, (p, d) in enumerate(steps)]
    told[2:2], told[6:6] = [worked("D").named("bad1").of("p1")], [worked("D").named("bad2").of("p2")]
    await line.publish(lines(*told))
    refusing(monkeypatch, "bad1", "bad2")
    monkeypatch.setattr(making, "AT_ONCE", 3)
    monkeypatch.setattr(filling, "SEGMENT", segment)
    made = await making.rebuild(rebuilding(line), line.policy)
    await taken_over(line, made)

    assert [case["path"] for case in (await line.export())["cases"]] == [["A", "B", "C"]] * 2
    assert [row["code"] for row in await line.fetch("select code from parcours.parked")] == ["table"] * 2


async def test_verify_is_content_with_what_is_true_and_names_who_was_changed_by_hand(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    assert (await verdict(line)).is_same

    await line.fetch("update parcours.case_path set hops = 99 where patient = 'p5'")
    found = await verdict(line)

    assert found.differences == {"case_path": [("default", "p5")]}


async def test_another_policy_is_looked_at_first_then_put_in_force_and_only_the_difference_is_said(line: Line) -> None:
    await line.publish(lines(*[worked(d).of(f"p{n}") for n, path in enumerate(("ABCD", "ABA", "ABCD")) for d in path]))
    await line.project()
    gentle = policy({"id": "gentle", "b2_hops": 4})

    expected = await comparing.what_if(rebuilding(line), gentle)
    before = await announced(line)
    await taken_over(line, await making.rebuild(rebuilding(line), gentle))

    assert [(row["patient"], row["what"]) for row in expected] == [("p0", "vanishes"), ("p2", "vanishes")]
    assert [row["patient"] for row in (await line.export())["findings"]] == ["p1"]
    now = await announced(line)
    assert len(before) == len(now) == 3
    assert [row["is_raised"] for row in now] == [False, True, False]
    assert (await verdict(line)).is_same


async def test_back_to_the_generation_before_with_what_has_come_since(line: Line) -> None:
    await line.publish(lines(*[worked(d) for d in "ABCD"]))
    await line.project()
    await making.rebuild(rebuilding(line), policy({"b2_hops": 4}))
    await line.publish(lines(*[worked(d, case="c2").of("p2").named(f"x{d}{n}") for n, d in enumerate("ABCD")]))

    await comparing.rollback(rebuilding(line))

    assert [finding["patient"] for finding in (await line.export())["findings"]] == ["p1", "p2"]


async def test_an_owner_who_missed_what_another_fired_says_nothing_again(line: Line) -> None:
    await line.publish(lines(registered(), tick("2026-03-20T00:00:00Z")))
    await line.project()
    frozen = line.projecting
    await line.publish(lines(tick("2026-06-20T00:00:00Z")))
    await _read(line, frozen)
    other = line.projecting = await line.projector("other")
    await other.settle()
    said = await line.fetch("select id from parcours.outbox order by id")

    await line.publish(lines(worked("A")))
    with pytest.raises(FenceLost):
        await _read(line, frozen)

    assert said
    assert await line.fetch("select id from parcours.outbox order by id") == said


async def _read(line: Line, owner: Projecting) -> None:
    """One batch of what an owner has not read, and nothing after it."""
    batch: dict[int, list[Record]] = {}
    for record in await line.records():
        if record.offset >= owner.positions[record.partition].next_offset:
            batch.setdefault(record.partition, []).append(record)
    await owner.project(batch)


async def test_an_interrupted_rebuild_goes_on(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    one = rebuilding(line)
    made = await making.begin(one, line.policy, resume=False)
    await making.fill(one, made, dict.fromkeys(range(3), 2))

    assert (await making.rebuild(one, line.policy, resume=True)).id == made.id
    assert (await verdict(line)).is_same


async def not_vacuumed(line: Line, schema: str) -> set[str]:
    """The tables of a generation that autovacuum leaves alone."""
    rows = await line.fetch(
        "select relname from pg_class where relnamespace = $1::regnamespace and 'autovacuum_enabled=false' = any(reloptions)",
        schema,
    )
    return {str(row["relname"]) for row in rows}


async def test_nobody_vacuums_tables_while_they_are_filled_and_everybody_afterwards(line: Line) -> None:
    await line.publish(busy())
    made = await making.begin(rebuilding(line), line.policy, resume=False)
    filled = {"patient", "case_path", "contact", "claim", "finding"}
    assert await not_vacuumed(line, made.schema) == filled

    await making.rebuild(rebuilding(line), None, resume=True)
    assert await not_vacuumed(line, made.schema) == set()


@pytest.mark.parametrize(
    "key", ["patient_key", "case_key", "contact_key", "claim_key", "finding_by_case", "timeline_by_patient"]
)
async def test_a_rebuild_that_was_killed_among_its_keys_makes_those_that_are_missing(line: Line, key: str) -> None:
    await line.publish(busy())
    made = await making.rebuild(rebuilding(line), line.policy)
    async with line.pool.acquire() as connection:
        await connection.execute(f"drop index {made.schema}.{key}")
        assert not await saved.has_keys(connection, made)
        await saved.build_keys(line.pool, made)
        assert await saved.has_keys(connection, made)

    assert await line.fetch("select 1 from pg_indexes where schemaname = $1 and indexname = $2", made.schema, key)


async def timelines(line: Line, schema: str) -> dict[str, int]:
    """The tables of a generation's timeline that hold something, and how many of their pages every transaction sees."""
    rows = await line.fetch(
        "select c.relname, c.relallvisible as pages from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = to_regclass($1) and pg_relation_size(c.oid) > 0",
        f"{schema}.timeline",
    )
    return {str(row["relname"]): int(str(row["pages"])) for row in rows}


async def test_facts_are_frozen_in_the_table_of_their_partition_by_the_transaction_that_makes_it(line: Line) -> None:
    await line.publish(busy() + log_of(Random(3), 80))
    made = await making.rebuild(rebuilding(line), line.policy)

    found = await timelines(line, made.schema)
    assert set(found) == {"timeline_0", "timeline_1", "timeline_2"}
    assert all(found.values())
    others = await line.fetch(
        f"select 1 from {made.schema}.timeline t join {made.schema}.patient p using (tenant, patient) where t.partition <> p.partition"
    )
    assert others == []


async def test_facts_are_written_once_not_to_the_wal_as_well(line: Line) -> None:
    await line.publish(log(20_000))  # less than 2 MB a table Postgres would rather log than flush
    made = await making.begin(rebuilding(line), line.policy, resume=False)
    before = await line.fetch("select pg_current_wal_insert_lsn()::text as at")
    async with line.pool.acquire() as connection:
        await making.fill(rebuilding(line), made, await end_offsets(line.kafka, line.topic), is_part=True)
        written = await connection.fetchval(
            "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)", before[0]["at"]
        )
        rows = await connection.fetchval(
            f"select sum(pg_relation_size(inhrelid)) from pg_inherits where inhparent = '{made.schema}.timeline'::regclass"
        )
    assert written < rows


async def test_whoever_ends_a_partition_waits_for_those_before_however_long(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.publish(busy())
    monkeypatch.setattr(stretch, "PATIENCE", 0.1)
    made = await making.begin(rebuilding(line), line.policy, resume=False)
    async with line.pool.acquire() as other:
        held = other.transaction()
        await held.start()
        await other.execute(
            f"lock table {made.schema}.timeline in share update exclusive mode"
        )  # as somebody has who attaches
        filling_in = asyncio.create_task(making.fill(rebuilding(line), made, await end_offsets(line.kafka, line.topic)))
        await asyncio.sleep(1)
        assert not filling_in.done()
        await held.rollback()
        await filling_in
    assert await timelines(line, made.schema)


async def test_a_person_is_read_back_from_the_table_of_their_partition(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    person = ("default", "p5")
    home = partition_of(partition_key(*person).encode(), line.partitions)
    async with line.pool.acquire() as connection:
        for number in range(line.partitions):
            found = await tables_projector.timelines(connection, line.generation.schema, {person: number})
            assert bool(found) == (number == home)


async def test_a_partition_of_which_nothing_was_read_has_its_table_too(line: Line) -> None:
    await line.publish(lines(worked("A").of("p1").named("first")))
    made = await making.rebuild(rebuilding(line), line.policy)
    assert len(await timelines(line, made.schema)) == 1

    await taken_over(line, made)
    await line.publish(busy() + log_of(Random(3), 80))
    await line.project()
    assert len(await timelines(line, made.schema)) == 3
    assert (await verdict(line)).is_same


async def test_a_rebuild_that_stopped_between_two_partitions_goes_on(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.publish(busy() + log_of(Random(4), 80))
    honest = saved.attach_timeline

    async def killed(connection: Connection, made: Generation, number: int) -> None:
        await honest(connection, made, number)
        if len(await timelines(line, made.schema)) == 1:  # one has landed
            raise RuntimeError("killed")

    monkeypatch.setattr(filling, "attach_timeline", killed)
    with pytest.raises(RuntimeError):
        await making.rebuild(rebuilding(line), line.policy)
    monkeypatch.setattr(filling, "attach_timeline", honest)

    made = await making.rebuild(rebuilding(line), None, resume=True)
    assert len(await timelines(line, made.schema)) == 3
    await taken_over(line, made)
    assert (await verdict(line)).is_same


async def test_back_to_a_generation_whose_timeline_is_one_table_as_it_was_once(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    before = line.generation
    async with line.pool.acquire() as connection:
        await connection.execute(
            f"create table {before.schema}.as_it_was (like {before.schema}.timeline including defaults);"
            f" insert into {before.schema}.as_it_was select * from {before.schema}.timeline;"
            f" drop table {before.schema}.timeline cascade; alter table {before.schema}.as_it_was rename to timeline;"
            f" create view parcours.timeline as select * from {before.schema}.timeline"
        )
    await making.rebuild(rebuilding(line), line.policy)
    await line.publish(lines(worked("Z").of("p9").named("z"), said("patient.erased").of("p5").named("e")))

    back = await comparing.rollback(rebuilding(line))
    assert back.id == before.id
    await taken_over(line, back)
    assert await line.fetch(f"select 1 from {before.schema}.timeline where patient = 'p9'")
    assert (await verdict(line)).is_same


async def test_the_embedded_server_writes_no_index_into_its_wal_and_keeps_no_more_of_it_than_it_may(line: Line) -> None:
    settings = await line.fetch("select current_setting('wal_level') as level, current_setting('max_wal_size') as most")
    assert settings == [{"level": "minimal", "most": "2GB"}]


async def test_a_rebuild_goes_on_only_with_what_was_to_be_a_rebuild_of_its_own_policy_and_version(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    one, strict = rebuilding(line), policy({"b2_hops": 4})
    await making.begin(one, strict, resume=False, aside=True)  # what a what-if leaves that was killed
    with pytest.raises(NoGeneration, match="no unfinished"):
        await making.begin(one, None, resume=True)

    made = await making.begin(one, strict, resume=False)
    with pytest.raises(NoGeneration, match="another policy"):
        await making.begin(one, line.policy, resume=True)
    assert (await making.begin(one, None, resume=True)).id == made.id
    await line.fetch("update parcours.generation set fold_version = 'older' where id = $1", made.id)
    with pytest.raises(NoGeneration, match="another version"):
        await making.begin(one, None, resume=True)


async def test_nobody_goes_back_to_a_generation_that_no_projector_of_this_version_would_go_on_with(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    before = line.generation
    made = await making.rebuild(rebuilding(line), line.policy)
    await line.fetch("update parcours.generation set fold_version = 'older' where id = $1", before.id)
    with pytest.raises(NoGeneration, match=f"generation {before.id} was made by another version"):
        await comparing.rollback(rebuilding(line))
    async with line.pool.acquire() as connection:
        active = await active_generation(connection)
    assert active is not None
    assert active.id == made.id


async def test_a_rebuild_whose_process_ends_says_so_in_a_sentence(line: Line) -> None:
    await line.publish(busy())
    one = making.Rebuilding(
        line.kafka,
        line.pool,
        line.topic,
        clock_rule=False,
        step=lambda _a, _b: None,
        postgres="postgresql://127.0.0.1:1/nowhere",
    )
    with pytest.raises(NoGeneration, match="a process of the rebuild ended with 1: parcours rebuild --resume"):
        await making.rebuild(one, line.policy, processes=2)


async def test_the_old_generation_is_written_by_nobody_any_more(line: Line) -> None:
    await line.publish(busy())
    await line.project()
    await making.rebuild(rebuilding(line), line.policy)
    await line.publish(lines(worked("Z").of("p9")))

    records = [
        one for one in await line.records() if one.offset >= line.projecting.positions[one.partition].next_offset
    ]
    batch = {number: [one for one in records if one.partition == number] for number in range(3)}
    with pytest.raises(FenceLost):
        await line.projecting.project({number: some for number, some in batch.items() if some})

    await comparing.drop(line.pool, line.generation.id)


async def test_an_erasure_reaches_the_generation_that_is_kept(line: Line) -> None:
    await line.publish(lines(*[worked(d) for d in "ABA"]))
    await line.project()
    await making.rebuild(rebuilding(line), line.policy)
    await line.publish(lines(said("patient.erased").on(MONDAY + DAY).named("erased")))

    await comparing.rollback(rebuilding(line))

    for schema in [f"g{row['id']}" for row in await line.fetch("select id from parcours.generation")]:
        facts = await line.fetch(f"select type from {schema}.timeline where type = 'parcours.case.worked.v1'")
        assert facts == [], schema
        assert await line.fetch(f"select 1 from {schema}.case_path") == [], schema


async def test_the_generation_before_counts_what_was_erased_meanwhile(line: Line) -> None:
    twice = [worked("A").named("same"), worked("B").named("same"), said("new.kind", what="unknown").named("u1")]
    await line.publish(lines(*twice, worked("C").of("p2")))
    await line.project()
    before = (await line.export())["errors"]
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    await line.publish(lines(said("patient.erased").on(MONDAY + DAY).named("erased")))
    await line.project()

    await comparing.rollback(rebuilding(line))

    assert before["conflicting_ids"] == 1
    assert (await line.export())["errors"] == before
    assert (await verdict(line)).is_same


async def test_an_erasure_reaches_facts_that_a_generation_behind_has_filed_under_somebody_else(line: Line) -> None:
    merge = said("patient.merged", into="p1").of("p2").named("merge")
    await line.publish(lines(worked("A", case="c1").of("p1"), worked("B", case="c2").of("p2"), merge))
    await line.project()
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    apart = said("fact.voided", fact="merge", reason="two people").of("p2").on(MONDAY + HOUR)
    await line.publish(lines(apart, said("patient.erased").of("p2").named("erased").on(MONDAY + DAY)))
    await line.project()

    for schema in [f"g{row['id']}" for row in await line.fetch("select id from parcours.generation")]:
        left = await line.fetch(f"select subject from {schema}.timeline where type = 'parcours.case.worked.v1'")
        assert [row["subject"] for row in left] == ["p1"], schema


async def test_what_an_older_generation_made_of_those_who_became_the_erased_is_gone_there_too(line: Line) -> None:
    await line.publish(lines(*(worked(d, case="c1").of("p1") for d in "ABA"), *(worked(d).of("p2") for d in "ABA")))
    await line.project()
    before = line.generation.schema
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    await line.publish(lines(said("patient.merged", into="p1").of("p2").named("merge")))
    await line.project()
    await line.publish(lines(said("patient.erased").of("p1").named("erased").on(MONDAY + DAY)))
    await line.project()

    for table in ("timeline", "case_path", "finding"):
        where = " where type = 'parcours.case.worked.v1'" if table == "timeline" else ""
        assert await line.fetch(f"select patient from {before}.{table}{where}") == [], table


@pytest.mark.parametrize(
    "waiting",
    [
        "insert into {schema}.inbox (partition, tenant, person) values (0, 'default', 'p2')",
        "update {schema}.patient set is_quarantined = true where patient = 'p2'",
    ],
)
async def test_an_older_generation_forgets_what_still_stands_under_another_name_there(line: Line, waiting: str) -> None:
    await line.publish(lines(*(worked(d).of("p1") for d in "ABA"), worked("A").of("p2")))
    await line.project()
    before = line.generation.schema
    await taken_over(line, await making.rebuild(rebuilding(line), line.policy))
    await line.fetch(
        f"update {before}.timeline set patient = 'p2' where patient = 'p1'"
    )  # merged once, and not parted yet
    await line.fetch(waiting.format(schema=before))
    await line.publish(lines(said("patient.erased").of("p1").named("erased").on(MONDAY + DAY)))
    await line.project()

    assert [
        row["subject"] for row in await line.fetch(f"select subject from {before}.timeline where type like '%worked%'")
    ] == ["p2"]


async def test_a_fact_that_a_stray_copy_of_its_erasure_gives_back_is_written_after_all(line: Line) -> None:
    home = partition_of(b"default|p1", line.partitions)
    erased = said("patient.erased").of("p1").named("e").on(MONDAY + 10 * DAY).recorded_at(MONDAY + 10 * DAY)
    earlier = said("patient.erased").of("p1").named("e").on(MONDAY - 5 * DAY).recorded_at(MONDAY + 9 * DAY)
    (fact,), (copy,) = lines(worked("A").of("p1").named("f"), erased)[:1], lines(earlier)
    await line.publish(lines(worked("A").of("p1").named("f"), erased))
    await line.write(Outgoing(copy, b"default|somebody else", home))
    made = await making.rebuild(rebuilding(line), line.policy)

    assert [row["raw"] for row in await line.fetch(f"select raw from {made.schema}.timeline where id = 'f'")] == [fact]
    assert [row["facts"] for row in await line.fetch(f"select facts from {made.schema}.patient")] == [1]


async def test_what_came_and_was_erased_is_not_looked_for_in_tables_that_have_no_index(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    persons = [f"p{n}" for n in range(20)]
    came = [worked(d).of(p) for p in persons for d in "ABA"]
    later = [worked("C").of("p0").named("later").on(MONDAY + 9 * DAY)]
    await line.publish(lines(*came, *(said("patient.erased").of(p).on(MONDAY + 5 * DAY) for p in persons), *later))
    await line.project()
    leave, looked_for = tables_people.leave, list[object]()

    async def watched(connection: Connection, schema: str, person: Person, facts: list[Recorded]) -> None:
        looked_for.extend(facts)
        await leave(connection, schema, person, facts)

    monkeypatch.setattr(tables_people, "leave", watched)
    before = await line.export()
    made = await making.rebuild(rebuilding(line), line.policy)

    assert looked_for == []
    facts = await line.fetch(f"select patient, id from {made.schema}.timeline where type = 'parcours.case.worked.v1'")
    assert facts == [{"patient": "p0", "id": "later"}]
    assert len(await line.fetch(f"select 1 from {made.schema}.erased_fact")) >= len(came)
    await taken_over(line, made)
    assert await line.export() == before


async def test_a_rebuild_waits_for_whoever_else_erases(line: Line) -> None:
    await line.publish(lines(worked("A"), said("patient.erased").on(MONDAY + DAY)))
    await line.project()
    async with line.pool.acquire() as connection:
        longer_than_others_wait = 2.5
        async with connection.transaction():
            await tables_people.one_at_a_time(connection)
            made = asyncio.create_task(making.rebuild(rebuilding(line), line.policy))
            done, _ = await asyncio.wait({made}, timeout=longer_than_others_wait)
            assert not done
    assert (await made).state == "active"


async def test_proving_the_tables_takes_nothing_from_a_person_erased_who_came_back(line: Line) -> None:
    back = [worked(d).named(f"b{n}").on(MONDAY + 2 * DAY) for n, d in enumerate("ABCA")]
    await line.publish(lines(worked("A"), said("patient.erased").on(MONDAY + DAY).named("erased"), *back))
    await line.project()
    waiting = await line.fetch("select id from parcours.outbox")

    assert (await verdict(line)).is_same
    await making.begin(rebuilding(line), line.policy, resume=False)

    assert waiting
    assert await line.fetch("select id from parcours.outbox") == waiting
    assert [case["path"] for case in (await line.export())["cases"]] == [["A", "B", "C", "A"]]
    assert (await verdict(line)).is_same


async def test_partitions_rebuilt_in_processes_give_the_same_tables(line: Line) -> None:
    await line.publish(busy() + [fact.raw for fact in history(9, 80)])
    await line.project(Random(3))
    before = await line.export()
    told: list[int] = []
    one = making.Rebuilding(
        line.kafka,
        line.pool,
        line.topic,
        clock_rule=False,
        step=lambda done, _: told.append(done),
        postgres=line.database,
    )

    made = await making.rebuild(one, line.policy, processes=2)

    assert told[-1] > 0
    assert await line.export() == before
    indexes = await line.fetch(
        "select indexname from pg_indexes where schemaname = $1 and indexname = 'case_open'", made.schema
    )
    assert len(indexes) == 1


async def test_proving_the_tables_waits_for_what_is_on_its_way_between_partitions(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.publish(lines(worked("A")))
    await line.project()
    async with line.pool.acquire() as connection:
        await tables_projector.look_again(connection, line.generation.schema, [(0, "default", "p1")])

    async def arrive() -> None:
        await asyncio.sleep(0.5)
        await line.projecting.settle()

    arriving = asyncio.create_task(arrive())
    assert (await verdict(line)).is_same
    await arriving
    async with line.pool.acquire() as connection:
        await tables_projector.look_again(connection, line.generation.schema, [(0, "default", "p1")])
    monkeypatch.setattr(comparing, "ARRIVING", 0.2)
    with pytest.raises(NoGeneration, match="1 facts are on their way"):
        await verdict(line)
