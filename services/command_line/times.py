"""Times for people, as the clocks of the house show them; programs (`--json`) read UTC."""

from collections.abc import Mapping
from typing import Any

from services.command_line.showing import run
from services.console.pages import View, view_of
from services.tables import connected


def times_of(found: Mapping[str, Any], language: int) -> View:
    """How the house whose instance was `found` says times, in English (0) or French (1)."""

    async def read() -> View:
        async with connected(str(found["postgres"]), "times") as connection:
            return await view_of(connection, "fr" if language else "en")

    return run(read())
