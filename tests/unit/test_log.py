"""Topics are made on a cluster whose brokers hear of them one after another."""

from types import SimpleNamespace
from typing import Any

import pytest

from services import log_topics
from services.log import LogUnavailable
from services.log_topics import TOPIC_CONFIG, ensure_topics

UNKNOWN_TOPIC = 3


class Brokers:
    """An admin client whose first answers, `deaf` to each question, come from brokers that do not know the topic yet."""

    def __init__(self, deaf: int) -> None:
        self.deaf = {"describe_topics": deaf, "describe_configs": deaf}

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def create_topics(self, topics: Any, **_: Any) -> Any:
        return SimpleNamespace(topic_errors=[(topics[0].name, 0, None)])

    def _knows(self, question: str) -> bool:
        self.deaf[question] -= 1
        return self.deaf[question] < 0

    async def describe_topics(self, _: Any) -> Any:
        knows = self._knows("describe_topics")
        return [{"error_code": 0 if knows else UNKNOWN_TOPIC, "partitions": [{}] * 6}]

    async def describe_configs(self, _: Any) -> Any:
        code = 0 if self._knows("describe_configs") else UNKNOWN_TOPIC
        return [SimpleNamespace(resources=[(code, "", 2, "t", list(TOPIC_CONFIG.items()))])]


@pytest.mark.parametrize("deaf", [0, 1, 3])
async def test_a_topic_is_there_once_the_brokers_that_are_asked_know_it(
    deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = Brokers(deaf)
    monkeypatch.setattr(log_topics, "AIOKafkaAdminClient", lambda **_: brokers)

    await ensure_topics("k:1", ["t"], 6, replication=3)

    assert set(brokers.deaf.values()) == {-1}


async def test_a_topic_no_broker_ever_hears_of_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_topics, "AIOKafkaAdminClient", lambda **_: Brokers(deaf=1_000_000))
    monkeypatch.setattr(log_topics, "KNOWN_WITHIN", 0.2)

    with pytest.raises(LogUnavailable, match="topic t was made, but a broker has not heard of it"):
        await ensure_topics("k:1", ["t"], 6, replication=3)
