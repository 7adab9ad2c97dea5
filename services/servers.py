"""The two servers of an instance, and whose they are: embedded here, or named in the environment."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

from deploy.embedded import kafka_server, postgres_server
from deploy.embedded.server_process import EmbeddedServerError, is_taken, pick_ports, write_whole
from services.settings import Settings

HOST = "127.0.0.1"
log = structlog.get_logger("parcours.instance")


class AlreadyRunning(RuntimeError):
    """Another `up` keeps this home."""


class PortTaken(RuntimeError):
    """Somebody else listens where the API should."""


@dataclass(slots=True)
class Servers:
    """The two servers of an instance, embedded here or named in the environment."""

    settings: Settings
    kafka: kafka_server.KafkaServer | None = None
    postgres: postgres_server.PostgresServer | None = None
    notices: tuple[str, ...] = ()

    def start(self) -> None:
        """Start what is embedded and not alive; what an earlier run left is taken over. Raises `EmbeddedServerError`."""
        one = self.settings
        one.home.mkdir(parents=True, exist_ok=True)
        if one.postgres is None and not (self.postgres and self.postgres.is_alive()):
            self.postgres = postgres_server.start(one.home / "postgres")
            self.notices = self.postgres.notices
        if one.kafka is None and not (self.kafka and self.kafka.is_alive()):
            self.kafka = kafka_server.start(one.home / "kafka", one.cache)

    @property
    def kafka_address(self) -> str:
        return self.settings.kafka or (self.kafka.bootstrap if self.kafka else "")

    @property
    def postgres_url(self) -> str:
        return self.settings.postgres or (self.postgres.url() if self.postgres else "")

    def dead(self) -> list[str]:
        """The embedded servers that have died."""
        servers = {"Kafka": self.kafka, "PostgreSQL": self.postgres}
        return [name for name, server in servers.items() if server is not None and not server.is_alive()]

    def stop(self) -> None:
        """Stop what is embedded, Kafka first: nobody writes to a log whose reader is gone."""
        if self.kafka is not None:
            self.kafka.stop()
        if self.postgres is not None:
            self.postgres.stop()

    def remove(self) -> None:
        """Stop, and delete the data of what is embedded: for tests and benchmarks."""
        self.stop()
        if self.postgres is not None:
            postgres_server.remove(self.postgres.folder)


@contextmanager
def sole_owner(one: Settings) -> Iterator[None]:
    """One `up` a home. Raises `AlreadyRunning`. The lock goes with its holder, even by kill -9."""
    one.home.mkdir(parents=True, exist_ok=True)
    with (one.home / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"Parcours is already running in {one.home}. See `parcours status`, stop it with `parcours down`."
            raise AlreadyRunning(msg) from None
        yield


def choose_port(one: Settings, wanted: int | None) -> int:
    """The port of the API: the one asked for, else the one this home had, else a free one. Raises `PortTaken`."""
    kept = one.home / "port"
    port = wanted
    if port is None and kept.exists():
        text = kept.read_text(encoding="utf-8").strip()
        port = int(text) if text.isdigit() else None
    if port is None:
        port = pick_ports(1)[0]
    if is_taken(port):
        raise PortTaken(f"Port {port} on {HOST} is taken by another program. Choose another: parcours up --port NUMBER")
    write_whole(kept, f"{port}\n")
    return port


async def revive(servers: Servers) -> NoReturn:
    """Start an embedded server again that has died; services reconnect by themselves."""
    while True:
        await asyncio.sleep(1.0)
        if dead := servers.dead():
            log.error("server died", server=dead)
            try:
                await asyncio.to_thread(servers.start)
            except EmbeddedServerError as wrong:
                log.error("server does not start", error=str(wrong))  # noqa: TRY400 - a sentence says it all
                await asyncio.sleep(5.0)
