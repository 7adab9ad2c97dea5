"""Ticks: one for a deadline that has passed, however long nobody reads it, and otherwise every quarter of an hour."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.clock.app import Clock
from services.log import Outgoing
from tests.builders import MONDAY, lines, registered
from tests.line import Line

MINUTE = timedelta(minutes=1)


class Written:
    """A log that takes everything: which partitions were ticked."""

    def __init__(self) -> None:
        self.ticked: list[int] = []

    async def write(self, _: str, outgoing: Iterable[Outgoing]) -> list[Any]:
        self.ticked += [one.partition for one in outgoing if one.partition is not None]
        return []


async def test_a_deadline_that_nobody_fires_is_ticked_once_and_a_later_one_again(line: Line) -> None:
    await line.publish(lines(registered("k1").of("p1", "default").on(MONDAY)))
    await line.project()
    home = (
        line.homes()["p1"]
        if "p1" in line.homes()
        else (await line.fetch("select partition from parcours.patient"))[0]["partition"]
    )
    (due,) = [row["next_due_at"] for row in await line.fetch("select next_due_at from parcours.patient")]
    log = Written()
    clock = Clock(log, line.pool, line.partitions)  # type: ignore[arg-type]
    clock.ticked = dict.fromkeys(range(line.partitions), due - MINUTE)

    await clock.look(due - timedelta(seconds=30))
    assert log.ticked == []
    for seconds in range(1, 120, 3):  # nobody projects
        await clock.look(due + timedelta(seconds=seconds))
    assert log.ticked == [home]

    later = due + 3 * MINUTE
    await line.fetch("update parcours.patient set next_due_at = $1", later)
    await clock.look(later + timedelta(seconds=1))
    assert log.ticked == [home, home]
    await clock.look(due + timedelta(minutes=30))
    assert sorted(set(log.ticked)) == list(range(line.partitions))


async def test_what_waits_for_no_moment_is_not_waited_for(line: Line) -> None:
    await line.publish(lines(registered("k1").of("p1", "default").on(MONDAY)))
    await line.project()
    await line.fetch("update parcours.patient set next_due_at = '-infinity'")
    log, now = Written(), datetime.now(UTC)
    clock = Clock(log, line.pool, line.partitions)  # type: ignore[arg-type]
    clock.ticked = dict.fromkeys(range(line.partitions), now)
    await clock.look(now + MINUTE)
    assert log.ticked == []
