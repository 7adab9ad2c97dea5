"""Kafka's topics: made as we would have them, and looked at. DESIGN section 4."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from services.log import MAX_RECORD, LogUnavailable
from services.log_access import access

T = TypeVar("T")
KNOWN_WITHIN: Final = 10.0
TOPIC_CONFIG: Final[Mapping[str, str]] = {
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MAX_RECORD),
}
ONE_NODE: Final[Mapping[str, str]] = {"flush.messages": "1"}
SEVERAL_NODES: Final[Mapping[str, str]] = {"min.insync.replicas": "2"}


class TopicDiffers(RuntimeError):
    """The topic exists with other settings or another number of partitions."""


async def ensure_topics(servers: str, topics: Sequence[str], partitions: int, replication: int = 1) -> None:
    """Create the topics; those that are there must be as we would have made them. Raises `TopicDiffers`, `LogUnavailable`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=10_000, **access())
    try:
        await admin.start()
        for topic in topics:
            await _ensure(admin, topic, partitions, replication)
    except (KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {servers}: {error!r}") from error
    finally:
        await admin.close()


async def _ensure(admin: AIOKafkaAdminClient, topic: str, partitions: int, replication: int) -> None:
    config = dict(TOPIC_CONFIG) | dict(ONE_NODE if replication == 1 else SEVERAL_NODES)
    answer: Any = await admin.create_topics(
        [NewTopic(topic, partitions, replication, topic_configs=config)], timeout_ms=5_000
    )
    for _, code, message in answer.topic_errors:  # create_topics never raises: the error is a field of the answer
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)(message)
    found = await _once_known(topic, lambda: _partition_count(admin, topic))
    have = await _once_known(topic, lambda: _topic_config(admin, topic))
    if found != partitions:
        raise TopicDiffers(
            f"{topic} has {found} partitions, {partitions} wanted: the number is fixed when a topic is created"
        )
    if odd := {name: have.get(name) for name, value in TOPIC_CONFIG.items() if have.get(name) != value}:
        raise TopicDiffers(f"{topic} has {odd}, wanted {dict(TOPIC_CONFIG)}")


@asynccontextmanager
async def keeps_times(servers: str, topics: Sequence[str], replication: int = 1) -> AsyncIterator[None]:
    """While the block lasts, topics keep the time a record is given as when it was appended: for a log that is put back."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=10_000, **access())
    await admin.start()
    try:
        await _set_times(admin, topics, "CreateTime", replication)
        try:
            yield
        finally:
            await _set_times(admin, topics, TOPIC_CONFIG["message.timestamp.type"], replication)
    finally:
        await admin.close()


async def _set_times(admin: AIOKafkaAdminClient, topics: Sequence[str], kind: str, replication: int) -> None:
    config = (
        dict(TOPIC_CONFIG) | dict(ONE_NODE if replication == 1 else SEVERAL_NODES) | {"message.timestamp.type": kind}
    )
    answers: Any = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, config) for topic in topics]
    )
    for answer in answers:
        for code, message, *_ in answer.resources:
            if code:
                raise for_code(code)(message)


async def _once_known(topic: str, ask: Callable[[], Awaitable[T | None]]) -> T:
    """What a broker says of a topic; the one that is asked may not have heard of it yet, and Kafka tells nobody when it has."""
    try:
        async with asyncio.timeout(KNOWN_WITHIN):
            while (answer := await ask()) is None:  # noqa: ASYNC110 - there is nothing else to wait for
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(
            f"topic {topic} was made, but a broker has not heard of it after {KNOWN_WITHIN:.0f} seconds"
        ) from None
    return answer


async def _partition_count(admin: AIOKafkaAdminClient, topic: str) -> int | None:
    (described,) = await admin.describe_topics([topic])
    return None if described["error_code"] else len(described["partitions"])


async def _topic_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str | None] | None:
    answer: Any
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, message, _type, _name, entries),) = answer.resources
    if code and for_code(code) is UnknownTopicOrPartitionError:
        return None
    if code:
        raise for_code(code)(message)
    return {entry[0]: entry[1] for entry in entries}
