"""Answers that cost a scan, kept for a while: whoever asks gets the last one at once, unless it is old; a newer one is made meanwhile."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import structlog

from services.tables import TRANSIENT

FRESH = 20.0
OLD = 3
"""An answer is not given any more once it is so many times as long overdue as it is fresh."""
MOST = 200
SHARE = 40.0
"""An answer that costs much is made more seldom: at most a fortieth of the time goes into it."""
log = structlog.get_logger("parcours.query")


class Kept:
    """At most so many answers; each is made by one task at a time."""

    def __init__(self, fresh: float = FRESH) -> None:
        self._fresh = fresh
        self._values: OrderedDict[Hashable, tuple[float, float, Any]] = OrderedDict()
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Any]], *, anew: bool = False) -> Any:
        """The answer for a key; `anew` waits for one made from now on."""
        found = self._values.get(key)
        if anew or found is None:
            return await asyncio.shield(self._task(key, make, anew=anew))
        at, cost, value = found
        late = time.monotonic() - at - max(self._fresh, SHARE * cost)
        if late > 0:
            task = self._task(key, make, anew=False)
            if late > OLD * self._fresh:  # nobody has asked for long: what was true then is no answer
                return await asyncio.shield(task)
        return value

    def forget(self, *first: Hashable) -> None:
        """What somebody has just changed is made anew for whoever asks next: keys that begin so."""
        for key in [key for key in self._values if isinstance(key, tuple) and key[: len(first)] == first]:
            del self._values[key]

    def _task(self, key: Hashable, make: Callable[[], Awaitable[Any]], *, anew: bool) -> asyncio.Task[Any]:
        running = self._tasks.get(key)
        if running is not None and not running.done() and not anew:
            return running
        task = asyncio.create_task(self._make(key, make))
        self._tasks[key] = task
        task.add_done_callback(self._done)
        return task

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        started = time.monotonic()
        value = await make()
        now = time.monotonic()
        self._values[key] = (now, now - started, value)
        self._values.move_to_end(key)
        while len(self._values) > MOST:
            self._values.popitem(last=False)
        return value

    def _done(self, task: asyncio.Task[Any]) -> None:
        for key in [key for key, one in self._tasks.items() if one is task]:
            del self._tasks[key]
        if not task.cancelled() and (wrong := task.exception()) is not None and not isinstance(wrong, TRANSIENT):
            log.error("an answer could not be made", error=type(wrong).__name__, exc_info=wrong)

    async def close(self) -> None:
        """Nobody waits any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
