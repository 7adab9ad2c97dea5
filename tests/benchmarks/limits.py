"""What cannot be saved: the rows that a run left in the tables, copied once more into empty ones of the same shape."""

import time
from io import BytesIO

from projections.policy import Policy
from services import tables_generations as saved
from services.tables import Connection, Generation, create_generation, make_partitions
from tests.line import Line

TABLES = ("patient", "case_path", "claim", "finding", "contact")
SAID = ("announced", "outbox")


async def same_rows(line: Line, made: Generation, people: int, *, live: bool) -> float:
    """Facts a second by binary COPY of every row of some people: `live`, into tables with all their indexes, and what was said of
    them with it; else the indexes come last, as in a rebuild.
    """
    async with line.pool.acquire() as connection:
        await connection.execute("drop table if exists people")
        await connection.execute(
            f"create temp table people as select tenant, patient, facts from {made.schema}.patient order by md5(patient) limit {people:d}"
        )
        facts = await connection.fetchval("select sum(facts) from people")
        aside = await create_generation(connection, Policy(), line.topic, line.partitions, active=False)
        rows = {f"{aside.schema}.{name}": await _rows(connection, f"{made.schema}.{name}") for name in TABLES}
        frozen = {} if live else await _by_partition(connection, made, line.partitions)
        if live:
            rows |= {f"{aside.schema}.timeline": await _rows(connection, f"{made.schema}.timeline")}
            await make_partitions(connection, aside.schema, range(line.partitions))
            for name in SAID:
                await connection.execute(f"create table {aside.schema}.{name} (like parcours.{name} including all)")
                rows[f"{aside.schema}.{name}"] = await _rows(connection, f"parcours.{name}")
            await _index(line, aside)
        started = time.perf_counter()
        for number, source in frozen.items():
            async with connection.transaction():
                into = await saved.new_timeline(connection, aside, number)
                await connection.copy_to_table(
                    into, schema_name=aside.schema, source=source, format="binary", freeze=True
                )
                await saved.attach_timeline(connection, aside, number)
        for into, source in rows.items():
            schema, _, name = into.partition(".")
            await connection.copy_to_table(name, schema_name=schema, source=source, format="binary")
        if not live:
            await _index(line, aside)
        seconds = time.perf_counter() - started
        await saved.remove(connection, aside.id)
        return float(facts / seconds)


async def _by_partition(connection: Connection, made: Generation, partitions: int) -> dict[int, BytesIO]:
    """The facts as a rebuild writes them."""
    return {
        number: await _rows(connection, f"{made.schema}.timeline", f"where t.partition = {number:d}")
        for number in range(partitions)
    }


async def _rows(connection: Connection, table: str, where: str = "") -> BytesIO:
    found = BytesIO()
    await connection.copy_from_query(
        f"select t.* from {table} t join people using (tenant, patient) {where}", output=found, format="binary"
    )
    found.seek(0)
    return found


async def _index(line: Line, aside: Generation) -> None:
    await saved.build_keys(line.pool, aside)
    await saved.build_indexes(line.pool, aside)
