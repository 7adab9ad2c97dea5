"""A service whose clock stands where the story wants it: `python -m tests.faults.shifted run clock`; the shift lies in a file."""

import os
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import services.clock.app
import services.intake.door
from services.command_line.main import run

SHIFT = "FAULTS_SHIFT"


class Shifted(datetime):
    """The time of day, so many seconds from the real one; it may jump either way."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=float(Path(os.environ[SHIFT]).read_text(encoding="ascii")))


if __name__ == "__main__":
    services.clock.app.datetime = Shifted  # type: ignore[misc]
    services.intake.door.datetime = Shifted  # type: ignore[misc]
    run()
