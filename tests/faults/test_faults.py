"""A few seeds of what `make faults` does at length."""

from random import Random

import pytest

from projections.policy import Policy
from services.servers import Servers
from tests.builders import fold_lines
from tests.conftest import opened_line
from tests.faults.plan import Tally, at_their_own_pace, endure, log_of, merges_of


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_goes_wrong_the_tables_are_the_fold(servers: Servers, database: str, seed: int) -> None:
    random = Random(seed)
    log = log_of(random, 150)

    async with opened_line(servers, database, Policy(), partitions=4) as line:
        await line.publish(log)
        await endure(line, random, log, Tally())
        found = await line.export()

    expected = fold_lines(log, Policy())
    for name in ("cases", "patients", "claims", "findings", "errors"):
        assert found[name] == expected[name], name


@pytest.mark.parametrize("seed", range(300, 308))
async def test_owners_at_their_own_pace_make_the_same_tables(servers: Servers, database: str, seed: int) -> None:
    random = Random(seed)
    log = merges_of(random, 80) if seed % 2 else log_of(random, 200)

    async with opened_line(servers, database, Policy(), partitions=5) as line:
        await line.publish(log)
        await at_their_own_pace(line, random)
        found = await line.export()

    expected = fold_lines(log, Policy())
    for name in ("cases", "patients", "claims", "findings", "errors"):
        assert found[name] == expected[name], name
