"""Where an instance lives and what it talks to, from the environment and its home folder."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

EVENTS = "parcours.events"
ALERTS = "parcours.alerts"
GROUP = "parcours-projector"


class BadSettings(ValueError):
    """A setting that cannot be used: which, and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One instance: its home folder, its two servers (None: embedded), and its limits."""

    home: Path
    kafka: str | None = None
    postgres: str | None = None
    partitions: int = 24
    held_facts: int = 400_000
    max_records: int = 16_000
    replication: int = 1

    @property
    def run_file(self) -> Path:
        """What is running here: written by `up`, read by every other command."""
        return self.home / "run.json"

    @property
    def restoring_file(self) -> Path:
        """There while a backup is put back here, and after that was interrupted: what is in the home is not whole."""
        return self.home / "restoring"

    @property
    def cache(self) -> Path:
        """Kafka's jars and what Java learned of them: once for all instances of a user."""
        return Path(os.environ.get("PARCOURS_CACHE") or Path.home() / ".cache" / "parcours")


def settings(home: Path | None = None) -> Settings:
    """The settings of the instance in a home folder (default: `PARCOURS_HOME`, else `.parcours` here)."""
    chosen = home or Path(os.environ.get("PARCOURS_HOME") or ".parcours")
    return Settings(
        chosen.absolute(),
        os.environ.get("PARCOURS_KAFKA") or None,
        os.environ.get("PARCOURS_POSTGRES") or None,
        _number("PARCOURS_PARTITIONS", 24),
        _number("PARCOURS_HELD_FACTS", 400_000),
        _number("PARCOURS_MAX_RECORDS", 16_000),
        _number("PARCOURS_REPLICATION", 1),
    )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        msg = f"{name} must be a whole number above 0, not {text!r}"
        raise BadSettings(msg)
    return int(text)


def running(one: Settings) -> dict[str, object]:
    """What `up` wrote of the instance; empty when nothing runs here."""
    try:
        found: object = json.loads(one.run_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
