"""Which Python an installation takes: one that will do, the first unless another is clearly faster."""

import os
import sys
from pathlib import Path

import pytest

from deploy.fastest_python import fastest, on_path, suited


def test_another_is_taken_only_where_it_is_faster_by_a_tenth() -> None:
    took = {"first": 1.0, "second": 0.95, "third": 0.8}
    assert fastest(["first", "second"], took.__getitem__) == "first"
    assert fastest(["first", "second", "third"], took.__getitem__) == "third"
    assert fastest(["only"], took.__getitem__) == "only"


def test_the_shortest_of_several_times_counts() -> None:
    times = {"first": iter([9.0, 1.0, 9.0]), "second": iter([1.0, 1.0, 1.0])}
    assert fastest(["first", "second"], lambda python: next(times[python])) == "first"


def test_what_is_no_python_or_too_old_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, answer in (("old", "true"), ("broken", "false"), ("good", f'exec {sys.executable} "$@"')):
        (tmp_path / folder).mkdir()
        program = tmp_path / folder / "python3"
        program.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("old", "broken", "good", "none")))
    assert on_path() == [str(tmp_path / name / "python3") for name in ("old", "broken", "good")]
    assert suited(on_path()) == [os.path.realpath(sys.executable)]


def test_with_headers_before_without_and_the_oldest_version_that_will_do(tmp_path: Path) -> None:
    said = {"a": "13 0 /a", "b": "11 1 /b", "c": "11 0 /c", "d": "11 0 /c"}
    for name, answer in said.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {answer}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    assert suited([str(tmp_path / name) for name in said]) == ["/c"]
    assert suited([str(tmp_path / "b")]) == ["/b"]
