"""The HTTP door: 202 only with Kafka's word, a problem document that names field and rule for everything else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from aiokafka.errors import MessageSizeTooLargeError

from projections.policy import Policy
from projections.policy import policy as read_policy
from services.intake.app import app
from services.intake.in_force import InForce
from services.log import MAX_RECORD, LogUnavailable, Outgoing
from services.log_topics import ensure_topics
from services.log_writing import Gathering, LogWriter
from services.security import Role, create_token
from services.servers import Servers
from services.settings import EVENTS
from services.tables import connected, create_generation, open_pool
from tests.builders import lines, registered, said, worked
from tests.line import Line

FACT = lines(worked("A"))[0]
JSON = {"content-type": "application/cloudevents+json"}


class Door:
    """The intake's app with tokens for every role."""

    def __init__(self, client: httpx2.AsyncClient, tokens: dict[str, str]) -> None:
        self.client, self.tokens = client, tokens

    async def post(self, body: bytes, role: str = "emitter", **headers: str) -> httpx2.Response:
        token = {"authorization": f"Bearer {self.tokens[role]}"} if role in self.tokens else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/v1/events", content=body, headers=JSON | token | named)


@pytest.fixture
async def door(servers: Servers, database: str) -> AsyncIterator[Door]:
    await ensure_topics(servers.kafka_address, [EVENTS], 3)
    writer, pool = LogWriter(servers.kafka_address), await open_pool(database, "tests")
    roles: tuple[Role, ...] = ("emitter", "reader", "operator", "admin")
    async with connected(database, "tests") as connection:
        tokens = {role: (await create_token(connection, "default", role, ""))[1] for role in roles}
        tokens["north"] = (await create_token(connection, "north", "emitter", ""))[1]
    transport = httpx2.ASGITransport(app(writer, pool, Policy))
    async with httpx2.AsyncClient(transport=transport, base_url="http://intake") as client:
        yield Door(client, tokens)
    await writer.close()
    await pool.close()


async def test_a_fact_is_accepted_with_its_place_in_the_log(door: Door) -> None:
    answer = await door.post(FACT)

    assert answer.status_code == 202
    assert answer.json().keys() == {"id", "partition", "offset"}


async def test_a_type_that_nobody_knows_is_taken_and_that_is_said(door: Door) -> None:
    typo = FACT.replace(b"parcours.case.worked.v1", b"parcours.case.workd.v1")

    alone, batch = await door.post(typo), await door.post(typo, content_type="application/x-ndjson")

    assert alone.status_code == 202
    assert alone.json()["warning"].startswith("type: parcours.case.workd.v1 is not known here")
    assert batch.json()["results"][0]["warning"] == alone.json()["warning"]


async def test_nobody_comes_in_without_the_right_token(door: Door) -> None:
    assert (await door.post(FACT, role="nobody")).status_code == 401
    assert (await door.post(FACT, role="nobody", authorization="Bearer parcours_wrong")).status_code == 401
    assert (await door.post(FACT, role="reader")).status_code == 403
    assert (await door.post(FACT, role="north")).status_code == 403


async def test_only_a_hash_of_a_token_is_stored(door: Door, database: str) -> None:
    async with connected(database, "tests") as connection:
        rows = await connection.fetch("select t.*::text as row from parcours.token t")

    assert not any(token in str(row) for row in rows for token in door.tokens.values())


REFUSED: dict[str, tuple[bytes, str]] = {
    "a time without an offset": (
        FACT.replace(b'"time":"2026-03-02T09:00:00Z"', b'"time":"2026-03-02T09:00:00"'),
        "time",
    ),
    "an empty department": (FACT.replace(b'"A"', b'""'), "data.department"),
    "an unknown jurisdiction": (lines(registered(jurisdiction="atlantis"))[0], "data.jurisdiction"),
    "a key that stands twice": (FACT.replace(b'"department":"A"', b'"department":"A","department":"B"'), "department"),
    "not json": (b"{", "(record)"),
    "a hundred thousand deep": (b'{"data":' + b"[" * 100_000, "(record)"),
    "a time to come": (FACT.replace(b"2026-03-02T09:00:00Z", b"2099-03-02T09:00:00Z"), "time"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_names_the_field_and_the_rule(door: Door, name: str) -> None:
    body, field = REFUSED[name]

    answer = await door.post(body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert answer.json()["rule"]


@pytest.mark.parametrize("name", ["clock.ticked", "alert.raised", "alert.revised", "alert.resolved"])
async def test_what_parcours_says_itself_is_taken_from_nobody(door: Door, name: str) -> None:
    assert (await door.post(lines(said(name))[0], role="admin")).status_code == 403


async def test_merging_erasing_and_voiding_another_s_fact_need_an_operator(door: Door) -> None:
    facts = [
        said("patient.merged", into="p9"),
        said("patient.erased"),
        said("fact.voided", fact="f", of_source="/else", reason="error"),
    ]
    for fact in facts:
        (line,) = lines(fact.of("someone-else"))
        assert (await door.post(line)).status_code == 403
        assert (await door.post(line, role="operator")).status_code == 202


async def test_a_batch_publishes_the_valid_and_names_the_others(door: Door) -> None:
    bad = FACT.replace(b'"A"', b'""')

    answer = await door.post(
        b"[" + b",".join([FACT, bad, FACT]) + b"]", content_type="application/cloudevents-batch+json"
    )

    told = answer.json()
    assert (answer.status_code, told["accepted"], told["refused"]) == (200, 2, 1)
    assert [one["status"] for one in told["results"]] == [202, 422, 202]
    assert told["results"][1]["field"] == "data.department"
    assert "offset" in told["results"][2]


async def test_what_nobody_can_read_takes_no_other_fact_of_its_batch_with_it(door: Door) -> None:
    deep, number = b"[" * 5_000 + b"]" * 5_000, FACT.replace(b'"A"', b"9" * 5_000)

    answer = await door.post(
        b"[" + b",".join([deep, FACT, number]) + b"]", content_type="application/cloudevents-batch+json"
    )

    assert [one["status"] for one in answer.json()["results"]] == [422, 202, 422]


async def test_what_a_fact_says_twice_is_refused_in_a_batch_as_it_is_alone(door: Door) -> None:
    twice = FACT.replace(b'"data":{', b'"data":{"case":"c7","case":"c8",')
    assert (await door.post(twice)).status_code == 422

    answer = await door.post(
        b" [ " + FACT + b" ,\n" + twice + b", " + FACT + b" ] ", content_type="application/cloudevents-batch+json"
    )

    assert [result["status"] for result in answer.json()["results"]] == [202, 422, 202]
    assert answer.json()["results"][1]["field"] == "case"


async def test_the_door_judges_by_the_policy_that_is_in_force_now(line: Line) -> None:
    law = {
        "id": "our-house", "name": {"en": "Our house", "fr": "Notre maison"}, "zone": "Europe/Paris", "holidays": {"country": "FR"},
        "version": [{"version": "1", "effective_from": "2020-01-01", "source": "house rules", "answer": {"days": 30}}],
    }  # fmt: skip
    policy = InForce(line.pool, line.generation)
    try:
        assert "our-house" not in policy().known
        chosen = read_policy({"jurisdictions": [law]})
        async with line.pool.acquire() as connection:
            await connection.execute("update parcours.generation set state = 'old'")
            await create_generation(connection, chosen, line.topic, line.partitions, active=True)
        async with asyncio.timeout(10):
            while "our-house" not in policy().known:  # noqa: ASYNC110 - there is nothing else to wait for
                await asyncio.sleep(0.1)
    finally:
        await policy.close()


async def test_ndjson_is_a_batch_line_by_line(door: Door) -> None:
    answer = await door.post(FACT + b"\n\n{\n" + FACT + b"\n", content_type="application/x-ndjson")

    assert [one["status"] for one in answer.json()["results"]] == [202, 422, 202]


async def test_binary_mode_of_http(door: Door) -> None:
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "b-1",
        "ce_source": "/t",
        "ce_type": "parcours.case.worked.v1",
        "ce_subject": "p1",
    }

    answer = await door.post(
        orjson.dumps({"case": "c1", "department": "A"}),
        content_type="application/json",
        ce_time="2026-03-02T09:00:00Z",
        **headers,
    )

    assert answer.status_code == 202


async def test_too_much_is_too_much(door: Door) -> None:
    long = FACT.replace(b'"A"', b'"A","note":"' + b"x" * 1_100_000 + b'"')

    assert (await door.post(long)).status_code == 413
    assert (await door.post(b"x" * (5 * 1024 * 1024 + 1))).status_code == 413
    assert (
        await door.post(b"[" + long + b"," + FACT + b"]", content_type="application/cloudevents-batch+json")
    ).json()["accepted"] == 1


async def test_what_cannot_be_read_is_415(door: Door) -> None:
    assert (await door.post(FACT, content_type="text/plain")).status_code == 415
    assert (await door.post(FACT, content_encoding="gzip")).status_code == 415


async def test_recordedtime_is_ours_and_strictly_increases(door: Door, servers: Servers) -> None:
    body = FACT.replace(b'"recordedtime":"2026-03-02T09:00:01Z"', b'"recordedtime":"1999-01-01T00:00:00Z"')
    answers: list[dict[str, Any]] = [(await door.post(body)).json() for _ in range(3)]

    from aiokafka import AIOKafkaConsumer, TopicPartition

    one = TopicPartition(EVENTS, answers[0]["partition"])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers.kafka_address, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([one])
        consumer.seek(one, answers[0]["offset"])
        values = [orjson.loads((await consumer.getone()).value) for _ in range(3)]
    finally:
        await consumer.stop()
    times = [value["recordedtime"] for value in values]
    assert times == sorted(set(times))
    assert times[0] > "2026"
    assert values[0]["partitionkey"] == "default|p1"


async def test_gathered_facts_keep_the_order_of_each_patient_and_say_where_each_is(line: Line) -> None:
    writer = Gathering(line.kafka, line.partitions, 2)
    wanted = [Outgoing(f"{n}".encode(), f"default|p{n % 5}".encode()) for n in range(200)]
    wanted[7] = Outgoing(b"7", None, 1)

    written = await writer.write(line.topic, wanted)
    await writer.close()

    kept = {(record.partition, record.offset): record.value for record in await line.records()}
    assert [kept[where.partition, where.offset] for where in written] == [one.value for one in wanted]
    for person in range(5):
        places = [(at.partition, at.offset) for n, at in enumerate(written) if n % 5 == person and n != 7]
        assert places == sorted(places)


async def test_single_facts_and_large_ones_are_gathered_in_the_order_they_came(line: Line) -> None:
    writer = Gathering(line.kafka, line.partitions, 2)
    wanted = [
        Outgoing(b"%d" % n + b"x" * (300_000 if n % 9 == 0 else 10), f"default|p{n % 3}".encode()) for n in range(60)
    ]

    written = await asyncio.gather(*(writer.write(line.topic, [one]) for one in wanted))
    with pytest.raises(MessageSizeTooLargeError):
        await writer.write(line.topic, [Outgoing(b"x" * MAX_RECORD, b"default|p1")])
    await writer.close()

    kept = {(record.partition, record.offset): record.value for record in await line.records()}
    assert [kept[where.partition, where.offset] for (where,) in written] == [one.value for one in wanted]
    for person in range(3):
        places = [at.offset for n, (at,) in enumerate(written) if n % 3 == person]
        assert places == sorted(places)


async def test_what_was_gathered_and_cannot_be_written_is_not_said_to_be_written(line: Line) -> None:
    writer = Gathering("127.0.0.1:1", line.partitions, 2)

    with pytest.raises(LogUnavailable):
        await writer.write(line.topic, [Outgoing(b"{}", b"default|p1"), Outgoing(b"{}", b"default|p2")])
    await writer.close()


async def test_nobody_waits_for_the_log_without_a_limit(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, honest, gate = Gathering(line.kafka, line.partitions, 2), LogWriter.write_batch, asyncio.Event()

    async def slow(self: LogWriter, *args: Any) -> int:
        await gate.wait()
        return await honest(self, *args)

    monkeypatch.setattr(LogWriter, "write_batch", slow)
    async with asyncio.timeout(3):
        with pytest.raises(LogUnavailable, match="not all was written in time"):
            await writer.write(line.topic, [Outgoing(b"1", b"default|p1"), Outgoing(b"2", b"default|p2")], limit=0.2)
    gate.set()
    assert await writer.write(line.topic, [Outgoing(b"3", b"default|p1")])  # behind it, once the log is quick again
    await writer.close()


async def test_kafka_away_is_503_and_nothing_is_kept_in_memory(database: str) -> None:
    writer, pool = LogWriter("127.0.0.1:1", limit=1.0), await open_pool(database, "tests")
    async with connected(database, "tests") as connection:
        _, token = await create_token(connection, "default", "emitter", "")
    transport = httpx2.ASGITransport(app(writer, pool, Policy))
    async with httpx2.AsyncClient(transport=transport, base_url="http://intake") as client:
        async with asyncio.timeout(10):
            answer = await client.post("/v1/events", content=FACT, headers=JSON | {"authorization": f"Bearer {token}"})
    await writer.close()
    await pool.close()

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
