"""Draws docs/demo.svg and docs/demo.fr.svg: what `make demo` prints, from the demonstration's own facts. `python docs/picture.py`"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from events.catalogue import decoded
from projections.findings import findings
from projections.policy import Policy
from projections.rows import Log, case_row, claim_row, finding_row
from projections.saying import reason_rows
from services.command_line import reading
from services.console.pages import View
from services.console.texts import Language
from services.demo.playing import facts

POLICY, NOW = Policy(), datetime(2026, 11, 22, 18, tzinfo=UTC)
FORMAT = """<svg role="img" viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg"><title>make demo</title>
<style>.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }} {styles}</style>
<rect width="{terminal_width}" height="{terminal_height}" rx="8" fill="#14181e"/><defs>{lines}</defs>
<g transform="translate(8, 8)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def draw(lang: Language, to: Path) -> None:
    """One picture, in one language."""
    log = Log(POLICY)
    for raw in facts(NOW):
        log.add(decoded(raw))
    cases, patients, claims = [], [], []
    for file in log.files()[0]:
        for found in findings(file):
            row = finding_row(file, found) | {"reasons": reason_rows(file, found)}
            if found.kind == "bounced_case" and found.case is not None:
                cases.append(case_row(file, file.cases[found.case]) | row)
            elif found.kind == "bounced_patient":
                patients.append(row)
            elif (
                found.kind == "unanswered_claim"
                and found.claim is not None
                and found.is_open
                and log.watermark is not None
            ):
                claim = file.claims[found.claim]
                clock = claim.current["answer"]
                told = claim_row(file, claim, log.watermark) | {
                    "due_at": clock.due_at.isoformat(),
                    "department": claim.said.department,
                }
                claims.append(told | {"reasons": row["reasons"]})
    reading.out = Console(record=True, width=84, file=sys.stderr)
    cases.sort(key=lambda row: str(row["level"]), reverse=True)
    claims.sort(key=lambda row: str(row["ladder"]), reverse=True)
    reading.show_bounced(cases[:2], patients[:1], lang)
    reading.show_claims(claims[:1], View(lang, POLICY.home.calendar.tz, NOW, POLICY.zones), overdue=True)
    to.write_text(reading.out.export_svg(title="make demo", code_format=FORMAT), encoding="utf-8")


if __name__ == "__main__":
    folder = Path(__file__).parent
    draw("en", folder / "demo.svg")
    draw("fr", folder / "demo.fr.svg")
