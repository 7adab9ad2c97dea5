"""A few seeds of what `make faults` does at length."""

from random import Random

import pytest

from projections.policy import Policy
from services.instance import Servers
from tests.builders import fold_lines
from tests.conftest import opened_line
from tests.faults.plan import Tally, endure, log_of


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
