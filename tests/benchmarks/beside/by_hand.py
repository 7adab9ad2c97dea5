"""The common task as one writes it by hand for this alone: facts copied into a table, paths in memory and in another, offsets beside
them in one transaction. Arguments: servers, topic, how many records it holds, the database.
"""

import asyncio
import sys
import time
from typing import Any

import asyncpg
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

AT_ONCE = 16_000
MOVES = ("parcours.case.worked.v1", "parcours.contact.handled.v1")
TABLES = """
drop schema if exists by_hand cascade; create schema by_hand;
create table by_hand.fact (patient text, id text, source text, type text, occurred_at text, raw bytea);
create index on by_hand.fact (patient);
create table by_hand.path (patient text, case_id text, here text, hops int, primary key (patient, case_id));
create table by_hand.position (partition int primary key, next_offset bigint);
"""


async def main() -> None:
    servers, topic, total, database = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    connection = await asyncpg.connect(database)
    await connection.execute(TABLES)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_bytes=32 * 1024 * 1024,
        max_partition_fetch_bytes=6 * 1024 * 1024,
    )  # fmt: skip
    await consumer.start()
    await consumer._client.force_metadata_update()
    consumer.assign([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()])
    paths: dict[tuple[str, str], tuple[str, int]] = {}
    done, began = 0, time.perf_counter()
    while done < total:
        found = await consumer.getmany(timeout_ms=500, max_records=AT_ONCE)
        done += await fold(connection, found, paths)
    seconds = time.perf_counter() - began
    await consumer.stop()
    await connection.close()
    bounced = sum(hops >= 4 for _, hops in paths.values())
    sys.stdout.write(orjson.dumps({"records": done, "seconds": seconds, "bounced": bounced}).decode() + "\n")


async def fold(connection: Any, found: Any, paths: dict[tuple[str, str], tuple[str, int]]) -> int:
    """One batch, in one transaction; how many records it was."""
    facts, changed, n = [], dict[tuple[str, str], tuple[str, int]](), 0
    for records in found.values():
        n += len(records)
        for record in records:
            fact = orjson.loads(record.value)
            if fact["specversion"] != "1.0":
                continue
            data, patient = fact["data"], fact["subject"]
            facts.append((patient, fact["id"], fact["source"], fact["type"], fact["time"], record.value))
            if fact["type"] in MOVES and "department" in data:
                key, place = (patient, data["case"]), data["department"]
                here, hops = paths.get(key, ("", 0))
                paths[key] = changed[key] = (place, hops + (bool(here) and place != here))
    async with connection.transaction():
        await connection.copy_records_to_table("fact", schema_name="by_hand", records=facts)
        await connection.execute(
            "insert into by_hand.path select * from unnest($1::text[], $2::text[], $3::text[], $4::int[])"
            " on conflict (patient, case_id) do update set here = excluded.here, hops = excluded.hops",
            [key[0] for key in changed], [key[1] for key in changed], [path[0] for path in changed.values()],
            [path[1] for path in changed.values()],
        )  # fmt: skip
        await connection.executemany(
            "insert into by_hand.position values ($1, $2) on conflict (partition) do update set next_offset = excluded.next_offset",
            [(one.partition, records[-1].offset + 1) for one, records in found.items()],
        )
    return n


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
