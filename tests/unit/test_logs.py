"""What any command says of what goes wrong on its way: on standard error, and never with what facts hold."""

import subprocess
import sys

SCRIPT = """
import structlog
from services.command_line.main import run
try:
    run()
except SystemExit:
    pass
log = structlog.get_logger("parcours.projector")
def fold(said):
    raise ValueError("folded wrongly")
try:
    fold("what a patient said")
except ValueError as wrong:
    log.error("fold failed", exc_info=wrong)
"""


def test_a_command_logs_on_standard_error_and_without_the_values_at_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "jurisdictions", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "fold failed" in done.stderr
    assert "folded wrongly" in done.stderr
    assert "fold failed" not in done.stdout
    assert "what a patient said" not in done.stderr.replace('fold("what a patient said")', "")
