"""Postgres: connecting, the tables that are not facts, and generations of the read tables. DESIGN sections 4 and 5."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import psutil

from projections.policy import Policy, policy

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[Any] | PoolConnectionProxy[Any]
    Pool = asyncpg.Pool[Any]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
BEHIND = 19
BEYOND = 10**15
"""From here on offsets are no places in the log: of facts of the inbox that were parked."""
AWAY = (
    OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.TooManyConnectionsError,
)  # fmt: skip
DATABASE_ERRORS = (asyncpg.PostgresError,)
REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""A row that Postgres will never keep."""
NOT_KEPT = (*REFUSED, asyncpg.UniqueViolationError)
"""A batch that is not kept as it was written: a row of it is refused, or was believed to be new and is not."""
TRANSIENT = (*AWAY, asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)


class TablesUnavailable(RuntimeError):
    """Postgres is away, or refuses us."""


class NoGeneration(RuntimeError):
    """There are no read tables yet, or they were made by another version of the folds, the policy or the holidays."""


class OtherVersion(NoGeneration):
    """The read tables were made by another version of the folds or the holidays: they have to be made anew."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One set of read tables, and what it was made by."""

    id: int
    fold_version: str
    policy: Policy
    state: str

    @property
    def schema(self) -> str:
        return f"g{self.id}"


def sql(name: str, schema: str | None = None, partition: int | None = None) -> str:
    """A script of deploy/sql, for a schema of ours (g and a number, never a user's word), and for one partition."""
    text = (resources.files("deploy") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    text = text if schema is None else text.replace("{schema}", schema)
    return text if partition is None else text.replace("{partition}", f"{partition:d}")


def still_wanted() -> None:
    """For loops that outlive a database: a connection that dies while its task is cancelled raises in the place of that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@cache
def code_version() -> str:
    """A hash of everything that decides what the tables hold: the folds, the facts, the holidays, the columns."""
    digest = hashlib.sha256(metadata.version("holidays").encode())
    for package in ("events", "projections"):
        root = Path(str(resources.files(package)))
        for path in sorted([*root.rglob("*.py"), *root.rglob("*.toml")]):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    for name in ("generation", "generation_partition", "generation_keys", "generation_indexes"):
        digest.update(sql(name).encode())
    return digest.hexdigest()[:16]


def fold_version(chosen: Policy) -> str:
    """The version of the tables a policy gives with this code."""
    said = json.dumps(chosen.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(f"{code_version()}|{said}".encode()).hexdigest()[:16]


async def open_pool(url: str, name: str, size: int = 4, *, gives_way: bool = False, is_plain: bool = False) -> Pool:
    """A pool of connections with our application name and limits; with `gives_way`, work on this machine goes before theirs.
    `is_plain`: nobody listens on them, nor sets or locks anything beyond a transaction, so nothing is reset between two uses.

    Raises `TablesUnavailable`.
    """
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size,
            timeout=10,
            init=_prepare_to_give_way if gives_way else _prepare,
            reset=_leave if is_plain else None,
            server_settings={
                "application_name": f"parcours-{name}",
                "lock_timeout": "2s",
                "idle_in_transaction_session_timeout": "30s",
            },
        )
    except (*AWAY, asyncpg.PostgresError) as error:
        raise TablesUnavailable(f"Postgres: {error}") from error


async def _leave(_: Connection) -> None:
    """An open transaction asyncpg rolls back itself."""


async def _prepare(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb", encoder=_to_jsonb, decoder=_from_jsonb, schema="pg_catalog", format="binary"
    )


async def _prepare_to_give_way(connection: Connection) -> None:
    """Where the server is on this machine and ours to tell, its process for this connection runs behind the others."""
    await _prepare(connection)
    row = await connection.fetchrow("select pg_backend_pid() as pid, inet_server_addr() <<= '127.0.0.0/8' as here")
    if row is not None and row["here"]:
        with suppress(psutil.Error):
            process = psutil.Process(row["pid"])
            if process.name().startswith("postgres"):
                process.nice(BEHIND)


def _to_jsonb(value: Any) -> bytes:
    """A JSON value as Postgres takes it in its binary format, which COPY needs: a version byte, then the text."""
    return b"\x01" + orjson.dumps(value)


def _from_jsonb(value: bytes) -> Any:
    return orjson.loads(value[1:])


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[Connection]:
    """One connection, closed at the end. Raises `TablesUnavailable` when it cannot be had."""
    try:
        connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": f"parcours-{name}"})
    except (*AWAY, asyncpg.PostgresError) as error:
        raise TablesUnavailable(f"Postgres: {error}") from error
    try:
        await _prepare(connection)
        yield connection
    finally:
        await connection.close(timeout=5)


async def ensure_base(connection: Connection) -> None:
    """Create the tables that are not facts, if they are not there."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(7201)")
        await connection.execute(sql("parcours"))


async def active_generation(connection: Connection) -> Generation | None:
    """The generation readers see."""
    row = await connection.fetchrow(
        "select id, fold_version, policy, state from parcours.generation where state = 'active'"
    )
    return None if row is None else Generation(row["id"], row["fold_version"], policy(row["policy"]), row["state"])


async def generations(connection: Connection) -> list[Generation]:
    """Every generation there is, oldest first."""
    rows = await connection.fetch("select id, fold_version, policy, state from parcours.generation order by id")
    return [Generation(row["id"], row["fold_version"], policy(row["policy"]), row["state"]) for row in rows]


async def create_generation(
    connection: Connection, chosen: Policy, topic: str, partitions: int, *, active: bool, aside: bool = False
) -> Generation:
    """A new, empty generation; with its indexes and the views on it when it is to be active at once. `aside`: only to be compared."""
    async with connection.transaction():
        number = await connection.fetchval("select coalesce(max(id), 0) + 1 from parcours.generation")
        made = Generation(number, fold_version(chosen), chosen, "active" if active else "building")
        await connection.execute(sql("generation", made.schema))
        await connection.execute(
            "insert into parcours.generation (id, fold_version, policy, state, is_aside) values ($1, $2, $3, $4, $5)",
            made.id, made.fold_version, chosen.model_dump(mode="json", exclude_defaults=True), made.state, aside,
        )  # fmt: skip
        await connection.executemany(
            f"insert into {made.schema}.checkpoint (topic, partition, next_offset) values ($1, $2, 0)",
            [(topic, number) for number in range(partitions)],
        )
        if active:
            await make_partitions(connection, made.schema, range(partitions))
            await connection.execute(sql("generation_keys", made.schema))
            await connection.execute(sql("generation_indexes", made.schema))
            await connection.execute(sql("views", made.schema))
        else:
            await connection.execute(sql("generation_filling", made.schema))
    return made


async def make_partitions(connection: Connection, schema: str, numbers: Iterable[int]) -> None:
    """The timeline's tables of these partitions, which have none yet."""
    scripts = ("generation_partition", "generation_partition_attached")
    if made := "".join([sql(script, schema, number) for number in numbers for script in scripts]):
        await connection.execute(made)


async def ensure_generation(connection: Connection, chosen: Policy | None, topic: str, partitions: int) -> Generation:
    """The active generation, made if there is none. Raises `NoGeneration` if it is of another version."""
    found = await active_generation(connection)
    if found is None:
        return await create_generation(connection, chosen or Policy(), topic, partitions, active=True)
    if chosen is not None and fold_version(chosen) != fold_version(found.policy):
        raise NoGeneration(
            "The tables here were made with another policy. See what would change with `parcours what-if --policy`, "
            "then put it in force with `parcours rebuild --policy`."
        )
    if found.fold_version != fold_version(found.policy):
        raise OtherVersion("The tables here were made by another version of Parcours. Make them anew: parcours rebuild")
    return found
