"""Times for people, as the clocks of the house show them; programs (`--json`) read UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo
from typing import Any

from projections.policy import Policy
from services.command_line.showing import run
from services.console import texts
from services.tables import Connection, active_generation, connected

At = str | datetime | None


@dataclass(frozen=True, slots=True)
class Times:
    """How instants are said: in which language, in the zone of the house, and where the days of each jurisdiction end."""

    language: texts.Language
    zone: tzinfo
    zones: Mapping[str, tzinfo] = field(default_factory=dict)

    def moment(self, at: At) -> str:
        """A day and a time of day."""
        return texts.moment(self.language, _instant(at), self.zone)

    def deadline(self, at: At, jurisdiction: str) -> str:
        """The day of a deadline where its law holds, one at midnight being the end of the day before; its time of day where it has one."""
        due, zone = _instant(at), self.zones.get(jurisdiction, self.zone)
        if due is None or due.astimezone(zone).time() == time():
            return texts.deadline(self.language, due, zone)
        return texts.moment(self.language, due, zone)


def times_of(found: Mapping[str, Any], language: int) -> Times:
    """The times of the house whose instance was `found`, in English (0) or French (1)."""

    async def read() -> Times:
        async with connected(str(found["postgres"]), "times") as connection:
            return await house_times(connection, language)

    return run(read())


async def house_times(connection: Connection, language: int) -> Times:
    """The times of the house, as the policy in force says where it is."""
    active = await active_generation(connection)
    policy = active.policy if active else Policy()
    return Times("fr" if language else "en", policy.home.calendar.tz, policy.zones)


def _instant(at: At) -> datetime | None:
    return datetime.fromisoformat(at) if isinstance(at, str) else at
