"""A service that fails in an instance is begun again; one that is told to end, ends. An answer that is kept is not kept too long."""

import asyncio

import pytest

from services import kept as keeping
from services.keeping import kept


async def test_a_service_that_fails_is_begun_again_until_it_is_told_to_end() -> None:
    begun = 0
    enough = asyncio.Event()

    async def service() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise KeyError("once more")
        enough.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept("test", service, pause=0.001))  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert begun == 3


async def test_an_answer_is_given_at_once_while_it_is_not_old_and_made_anew_when_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, made = 1_000.0, 0
    monkeypatch.setattr(keeping.time, "monotonic", lambda: now)

    async def make() -> int:
        nonlocal made
        made += 1
        return made

    answers = keeping.Kept(fresh=3.0)
    found = [await answers.get("morning", make)]
    for later in (
        2.0,
        4.0,
        0.0,
        3_600.0,
    ):  # fresh; late, and made anew meanwhile; that one; nobody has asked for an hour
        now += later
        found.append(await answers.get("morning", make))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert found == [1, 1, 1, 2, 3]
    await answers.close()
