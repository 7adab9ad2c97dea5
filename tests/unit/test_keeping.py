"""A service that fails in an instance is begun again; one that is told to end, ends."""

import asyncio

import pytest

from services.instance import kept


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
