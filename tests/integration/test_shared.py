"""The scenarios and logs beside the checkout (../shared): skipped where they are absent."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from projections.policy import Policy, policy
from services.command_line.import_plans import plan
from services.importer.mapping import Map, read_map
from services.reading import summary
from services.servers import Servers
from tests.builders import fold_lines
from tests.conftest import SHARED, opened_line

SCENARIOS = sorted((SHARED / "scenarios").glob("*.expected.json"))
pytestmark = pytest.mark.skipif(not SCENARIOS, reason="../shared is not beside this checkout")


def compare(expected: Any, found: Any) -> list[str]:
    """The comparison that comes with the scenarios."""
    spec = importlib.util.spec_from_file_location("compare", SHARED / "scenarios" / "compare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.compare(expected, found))


def scenario(expected: Path) -> tuple[dict[str, Any], list[bytes], Policy]:
    name = expected.name.removesuffix(".expected.json")
    facts = (expected.parent / f"{name}.events.jsonl").read_bytes().splitlines()
    document = expected.parent / f"{name}.policy.json"
    chosen = policy(json.loads(document.read_bytes())) if document.exists() else Policy()
    return json.loads(expected.read_bytes()), facts, chosen


@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda path: path.name.split(".")[0])
def test_a_scenario_through_the_fold(expected: Path) -> None:
    wanted, facts, chosen = scenario(expected)

    assert compare(wanted, fold_lines(facts, chosen)) == []


@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda path: path.name.split(".")[0])
async def test_a_scenario_through_the_real_line(servers: Servers, database: str, expected: Path) -> None:
    wanted, facts, chosen = scenario(expected)

    async with opened_line(servers, database, chosen, partitions=2) as line:
        await line.publish(facts)
        await line.project()
        found = await line.export()

    assert compare(wanted, found) == []


NAMES = (
    "cases", "events", "handoffs", "returns", "direct_returns", "cases_with_returns", "cases_with_2_returns", "cases_with_3_returns",
    "cases_with_aba", "cases_with_abab", "cases_with_3_hops", "bounced_cases", "max_hops",
)  # fmt: skip
FIGURES = {
    "receipt.xes.gz": (1434, 11340, 3853, 537, 165, 360, 83, 46, 103, 23, 958, 971, 15),
    "helpdesk.xes.gz": (4580, 21348, 8648, 332, 306, 291, 40, 1, 269, 35, 853, 860, 6),
    "hospital_2011.csv.gz": (1143, 150291, 29569, 24320, 10751, 863, 772, 728, 842, 608, 811, 867, 352),
}


@pytest.mark.parametrize("file", FIGURES)
async def test_the_figures_of_a_real_log_come_out(servers: Servers, database: str, file: str) -> None:
    chosen = {"receipt.xes.gz": read_map(Path("receipt.toml")), "helpdesk.xes.gz": Map(department="org:resource")}.get(
        file, Map()
    )
    importing = plan(SHARED / "data" / file, None, chosen, None, as_lived=file.startswith("receipt"))

    async with opened_line(servers, database, Policy()) as line:
        await line.publish(list(importing.lines()))
        await line.project()
        async with line.pool.acquire() as connection:
            told = await summary(connection, None)

    assert tuple(told[name] for name in NAMES) == FIGURES[file]
    if file.startswith("receipt"):
        assert told["claims"] == {
            "open": 107,
            "overdue": 40,
            "answered_in_time": 950,
            "answered_late": 377,
            "withdrawn": 0,
        }
        assert told["cases_without_department"] == 86
        assert told["watermark"] == "2012-01-23T14:42:54.644000Z"
        assert "the answer lies before the claim: it is none" in importing.report.warnings
