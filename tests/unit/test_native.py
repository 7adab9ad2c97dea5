"""The folds compiled to machine code say the same as the sources they were made from, and are not used for any others."""

import os
import subprocess
import sys

import pytest

from events import native

TELL = """
import hashlib, projections.patient
from datetime import timedelta
from projections.policy import Policy
from projections.rows import Log, result
from projections.words import reasons
from projections.findings import findings
from tests.strategies import history
seen = hashlib.sha256()
for seed in range(80):
    log = Log(Policy())
    for fact in history(seed, 60):
        log.add(fact)
    seen.update(repr(result(log)).encode())
    for file in log.files()[0]:
        for found in findings(file):
            seen.update(repr([(said.code, said.fr, said.en, said.evidence) for said in reasons(file, found)]).encode())
print(projections.patient.__file__.rpartition(".")[2], seen.hexdigest())
"""


def told(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", TELL],
        env=os.environ | {"PYTHONPATH": str(native.ROOT), "PYTHONHASHSEED": "0"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(not native.is_used(), reason="nothing is compiled here")
def test_the_compiled_folds_say_what_the_sources_say() -> None:
    compiled, interpreted = told(), told(PARCOURS_INTERPRETED="1")

    assert (compiled[0], interpreted[0]) == ("so", "py")
    assert compiled[1] == interpreted[1]


@pytest.mark.skipif(not native.is_used(), reason="nothing is compiled here")
def test_what_was_compiled_from_other_sources_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "digest", lambda: "of other sources")
    native.is_used.cache_clear()
    try:
        assert native.before("projections", ["here"]) == ["here"]
    finally:
        native.is_used.cache_clear()
