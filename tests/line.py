"""The line on real servers, step by step: facts to Kafka, records to the projector's transaction, tables to an export."""

from collections.abc import Iterable
from random import Random
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from events.partitions import partition_of
from projections.policy import Policy
from projections.rows import Row
from services import publishing, reading
from services.log import Outgoing, Record
from services.log_topics import ensure_topics
from services.log_writing import LogWriter
from services.projector.held import Memory
from services.projector.records import Reader
from services.projector.stretch import Stretching
from services.tables import Generation, Pool, connected, create_generation, open_pool


class Line:
    """One topic, one generation of tables, and whoever projects one into the other."""

    def __init__(self, kafka: str, database: str, topic: str, partitions: int, policy: Policy) -> None:
        self.kafka, self.database, self.topic, self.partitions, self.policy = kafka, database, topic, partitions, policy
        self.pool: Pool
        self.generation: Generation
        self.projecting: Stretching

    async def __aenter__(self) -> Self:
        await ensure_topics(self.kafka, [self.topic], self.partitions)
        async with connected(self.database, "tests") as connection:
            self.generation = await create_generation(connection, self.policy, self.topic, self.partitions, active=True)
        self.pool = await open_pool(self.database, "tests", is_plain=True)
        self.projecting = await self.projector()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pool.close()

    async def projector(self, owner: str = "test", held_facts: int = 100_000) -> Stretching:
        """A projector that owns every partition, with nothing in memory."""
        reader = Reader(self.policy, self.partitions, clock_rule=False)
        found = Stretching(self.pool, self.generation, self.topic, reader, Memory(held_facts), owner)
        await found.take(range(self.partitions))
        return found

    async def forget(self, topic: str | None = None) -> None:
        """New tables, and nothing said, as if nothing had been read; of the same topic, or of a new one."""
        self.topic = topic or self.topic
        await ensure_topics(self.kafka, [self.topic], self.partitions)
        async with self.pool.acquire() as connection:
            await connection.execute("update parcours.generation set state = 'old' where state = 'active'")
            await connection.execute("truncate parcours.announced, parcours.outbox cascade")
            self.generation = await create_generation(connection, self.policy, self.topic, self.partitions, active=True)
        self.projecting = await self.projector()

    async def publish(self, lines: Iterable[bytes]) -> publishing.Published:
        """Facts to Kafka as `parcours publish` writes them."""
        writer = LogWriter(self.kafka)
        try:
            return await publishing.publish(writer, lines, self.partitions, self.policy, lambda _: None, self.topic)
        finally:
            await writer.close()

    async def write(self, *records: Outgoing) -> None:
        """Raw records to Kafka."""
        writer = LogWriter(self.kafka)
        try:
            await writer.write(self.topic, records)
        finally:
            await writer.close()

    async def records(self) -> list[Record]:
        """Everything in the topic, partition by partition."""
        partitions = [TopicPartition(self.topic, number) for number in range(self.partitions)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Record] = []
            while any([await consumer.position(one) < ends[one] for one in partitions]):
                for some in (await consumer.getmany(timeout_ms=200)).values():
                    found += some
        finally:
            await consumer.stop()
        return found

    async def project(self, cut: Random | None = None) -> None:
        """Fold what the tables do not hold yet, in batches of random size if asked to."""
        waiting = [
            one for one in await self.records() if one.offset >= self.projecting.positions[one.partition].next_offset
        ]
        while waiting:
            size = cut.randrange(1, 60) if cut else len(waiting)
            some = self.next_records(waiting, size, cut)
            batch: dict[int, list[Record]] = {}
            for record in some:
                batch.setdefault(record.partition, []).append(record)
            await self.projecting.project(batch)
            await self.projecting.settle()

    def next_records(self, waiting: list[Record], size: int, cut: Random | None) -> list[Record]:
        """The next records: of all partitions, or of one at a time so that they run ahead of each other."""
        number = cut.choice([one.partition for one in waiting]) if cut and cut.random() < 0.5 else None
        some = [one for one in waiting if number is None or one.partition == number][:size]
        for one in some:
            waiting.remove(one)
        return some

    def homes(self, tenant: str = "default") -> dict[int, str]:
        """A patient of each partition, by its number."""
        found: dict[int, str] = {}
        for number in range(50 * self.partitions):
            found.setdefault(partition_of(f"{tenant}|p{number}".encode(), self.partitions), f"p{number}")
        return found

    async def export(self, tenant: str | None = None) -> Row:
        """What the tables say."""
        async with self.pool.acquire() as connection:
            return await reading.export(connection, tenant)

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """Rows of any query."""
        async with self.pool.acquire() as connection:
            return [dict(row) for row in await connection.fetch(query, *values)]
