"""The real Kafka and the real PostgreSQL, one pair for all tests; a database and a topic for each test."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from projections.policy import Policy
from services.servers import Servers
from services.settings import Settings
from services.tables import connected, ensure_base
from services.telemetry import configure_logs
from tests.line import Line

configure_logs(as_json=True)
os.environ["PARCOURS_LANG"] = "en"  # whatever the session speaks
SHARED = Path(__file__).parents[2] / "shared"
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, started once."""
    found = Servers(
        Settings(
            tmp_path_factory.mktemp("servers"), os.environ.get("PARCOURS_KAFKA"), os.environ.get("PARCOURS_POSTGRES")
        )
    )
    found.start()
    yield found
    found.remove()


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """A database with the base tables, to be cloned."""
    name = f"template_{os.getpid()}"

    async def make() -> None:
        async with connected(servers.postgres_url, "tests") as connection:
            await connection.execute(f"create database {name}")
        async with connected(_url(servers, name), "tests") as connection:
            await ensure_base(connection)

    asyncio.run(make())
    return name


@pytest.fixture
async def database(servers: Servers, template: str) -> AsyncIterator[str]:
    """The address of a database of this test's own."""
    name = f"test_{os.getpid()}_{next(numbers)}"
    async with connected(servers.postgres_url, "tests") as connection:
        await connection.execute(f"create database {name} template {template}")
    yield _url(servers, name)
    async with connected(servers.postgres_url, "tests") as connection:
        await connection.execute(f"drop database {name} with (force)")


@pytest.fixture
async def line(servers: Servers, database: str) -> AsyncIterator[Line]:
    """The real line with a topic of three partitions, under the default policy."""
    async with opened_line(servers, database, Policy()) as found:
        yield found


def opened_line(servers: Servers, database: str, policy: Policy, partitions: int = 3) -> Line:
    """A line under a policy; enter it to open it."""
    return Line(servers.kafka_address, database, f"t-{os.getpid()}-{next(numbers)}", partitions, policy)


def _url(servers: Servers, name: str) -> str:
    return servers.postgres_url.rpartition("/")[0] + f"/{name}"
