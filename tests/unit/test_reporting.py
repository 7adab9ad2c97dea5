"""The page for whoever has only a file: the same figures as the tables, and no traceback."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.command_line.main import app
from tests.builders import Said, answered, lines, registered, said, worked


def page_of(tmp_path: Path, *facts: Said) -> str:
    file, page = tmp_path / "facts.jsonl", tmp_path / "page.html"
    file.write_bytes(b"\n".join(lines(*facts)) + b"\n")
    done = CliRunner().invoke(app, ["report", str(file), "-o", str(page)])
    assert done.exit_code == 0, done.output
    return " ".join(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")).split())


@pytest.mark.parametrize(
    ("ended", "still"),
    [
        ([], 1),
        ([answered()], 0),
        ([answered(), said("claim.concluded", claim="k1")], 0),
        ([said("claim.concluded", claim="k1")], 1),  # closing a file answers nothing
        ([said("claim.withdrawn", claim="k1")], 0),
    ],
)
def test_a_claim_is_open_until_it_is_answered(tmp_path: Path, ended: list[Said], still: int) -> None:
    assert f"{still} claims open" in page_of(tmp_path, registered(), *ended)


def test_a_claim_waits_since_the_day_it_was_there_and_not_in_greenwich(tmp_path: Path) -> None:
    late = registered(jurisdiction="fr-csp").on(datetime(2026, 6, 30, 22, tzinfo=UTC))  # the 1st of July in France

    assert "1 Jul 2026" in page_of(tmp_path, late, worked("A").on(datetime(2026, 9, 1, tzinfo=UTC)))


def test_a_claim_under_a_law_nobody_knows_is_left_out(tmp_path: Path) -> None:
    assert "1 cases" in page_of(tmp_path, worked("A"), registered(jurisdiction="atlantis"))
