"""The stream of alerts: as they are said, each with its number, for as long as somebody listens who may."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import orjson
from sse_starlette import ServerSentEvent

from projections.announcing import SEVERITIES
from services import tables_alerts as tables
from services.bells import Bells
from services.sight import may_see
from services.tables import TRANSIENT, Pool

AT_ONCE = 500


class Wanted:
    """What a stream lets through."""

    def __init__(
        self, departments: set[str], rules: set[str], severity: int, lang: str | None, only: Sequence[str] | None
    ) -> None:
        self._departments, self._rules, self._severity, self._lang = departments, rules, severity, lang
        self._only = only

    def of(self, raw: bytes) -> bytes | None:
        """The alert as it is sent, or None for one that is not wanted."""
        envelope = orjson.loads(raw)
        data = envelope["data"]
        if self._departments and data.get("department") not in self._departments:
            return None
        if not may_see(self._only, [data.get("department")]):
            return None
        if (self._rules and data["rule"] not in self._rules) or SEVERITIES.index(data["severity"]) < self._severity:
            return None
        if self._lang is None:
            return raw
        data["title"] = data[f"title_{self._lang}"]
        other = "en" if self._lang == "fr" else "fr"
        data.pop(f"title_{other}")
        for reason in data["reasons"]:
            reason.pop(f"text_{other}")
        return orjson.dumps(envelope)


async def follow(
    pool: Pool, bells: Bells, tenant: str, last: int | None, wanted: Wanted, is_welcome: Callable[[], Awaitable[bool]]
) -> AsyncIterator[ServerSentEvent]:
    """What is said to a tenant, from a number on (None: from now on), for as long as somebody listens who may."""
    async with bells.bell() as bell:
        if last is None:
            async with pool.acquire() as connection:
                last = await tables.last_number(connection, tenant)
            yield ServerSentEvent(comment="listening", id=str(last))
        while await is_welcome():
            bell.clear()
            try:
                async with pool.acquire() as connection:
                    rows = await tables.said_after(connection, tenant, last, AT_ONCE)
            except TRANSIENT:
                return  # the client comes back with the last number it has seen
            for number, raw in rows:
                last = number
                if (body := wanted.of(raw)) is not None:
                    kind = orjson.loads(body)["type"]
                    yield ServerSentEvent(body.decode(), event=kind, id=str(number))
            if len(rows) < AT_ONCE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await bell.wait()
