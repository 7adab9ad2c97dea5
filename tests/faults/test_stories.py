"""A few stories told to real processes under fire; `make faults` tells more."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.log import Outgoing
from services.log_writing import LogWriter
from services.settings import EVENTS
from services.tables import TRANSIENT, TablesUnavailable, connected
from tests.builders import lines, worked
from tests.faults.stories import Story
from tests.faults.world import World, world

SERVICES = {"clock", "intake", "notifier", "projector-1", "projector-2"}
BEGINNING = datetime(2020, 1, 6, 9, tzinfo=UTC).timestamp()


@pytest.mark.timeout(400)
async def test_what_befalls_the_processes_does_not_show_in_the_tables_or_in_what_was_said(tmp_path: Path) -> None:
    async with world(tmp_path, BEGINNING) as one:
        for seed in (3, 4):
            story = Story(one, seed)
            assert await story.tell() == [], story.told.log
            assert story.told.acknowledged


@pytest.mark.timeout(120)
async def test_no_service_ends_when_the_database_is_killed_and_comes_back_and_all_end_when_told_to_without_one(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, BEGINNING) as one:
        await _all_beat(one)
        assert one.servers.postgres is not None
        one.servers.postgres.kill()
        await asyncio.sleep(1.0)
        await one.revive()
        await _all_beat(one)

        assert [name for name, service in one.services.items() if service.ends] == []

        await _none_is_behind(one.database)

        one.servers.postgres.kill()
        async with asyncio.timeout(30):
            ends = await asyncio.gather(*(one.leave(name) for name in list(one.services)))
        assert ends == [0] * len(SERVICES)


@pytest.mark.timeout(120)
async def test_after_a_handover_on_an_idle_log_the_projectors_say_what_differs(tmp_path: Path) -> None:
    gentle = tmp_path / "policy.json"
    gentle.write_text('{"id": "gentle", "b2_hops": 4}', encoding="utf-8")
    async with world(tmp_path, BEGINNING) as one:
        writer = LogWriter(one.servers.kafka_address)
        moves = [worked(name).of("p1", "north").on(datetime.fromtimestamp(one.now(), UTC)) for name in "ABCD"]
        await writer.write(EVENTS, [Outgoing(line, b"north|p1") for line in lines(*moves)])
        await writer.close()
        await _until_said(one.database, raised=True)

        code, words = await one.command("rebuild", "--policy", str(gentle))
        assert code == 0, words
        await _until_said(one.database, raised=False)


async def _none_is_behind(url: str) -> None:
    """Wait until both projectors say that nothing is left for them to read; what the clock sends counts too, for a moment."""
    async with asyncio.timeout(30), connected(url, "faults") as connection:
        while True:
            rows = await connection.fetch("select detail from parcours.heartbeat where service like 'projector-%'")
            if [row["detail"]["lag"] for row in rows] == [0, 0]:
                return
            await asyncio.sleep(0.2)


async def _until_said(url: str, *, raised: bool) -> None:
    """Wait until the one finding there is was said to be open, or over."""
    async with asyncio.timeout(30), connected(url, "faults") as connection:
        while await connection.fetchval("select is_raised from parcours.announced") is not raised:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _all_beat(one: World) -> None:
    """Wait until every service has said, from now on, that it lives."""
    since, silent = datetime.now(UTC), SERVICES
    try:
        async with asyncio.timeout(40):
            while silent:
                with suppress(TablesUnavailable, *TRANSIENT):
                    async with connected(one.database, "faults") as connection:
                        found = await connection.fetch(
                            "select service from parcours.heartbeat where beat_at > $1", since
                        )
                    silent = SERVICES - {row["service"] for row in found}
                await asyncio.sleep(0.2)
    except TimeoutError:
        told = {name: (one.services[name].ends, one.services[name].log.read_text()[-2_000:]) for name in sorted(silent)}
        pytest.fail(f"not a word for forty seconds from {told}")
