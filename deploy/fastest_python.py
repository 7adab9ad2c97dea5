"""Which Python to install with: `python3 deploy/fastest_python.py` prints its path, of those on the PATH or those named.

Builds of one version differ by a fifth in speed (profile-guided or not, its library shared or not). The first on the PATH that will do is
taken, unless another is clearly faster. Needs nothing but the standard library, and runs on an old Python as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NAMES = ("python3", "python3.11", "python3.12", "python3.13")
ROUNDS = 3
FASTER = 0.9  # a share of the time; less than a tenth is noise
NONE = "Parcours needs Python 3.11 or later, with venv (Debian: python3-venv); say which: make PYTHON=/path/to/python3.11 install"
SUITED = """
import ensurepip, os, sys, sysconfig, venv
if sys.version_info >= (3, 11):
    headers = os.path.join(sysconfig.get_path("include"), "Python.h")
    print(sys.version_info[1], int(not os.path.exists(headers)), os.path.realpath(sys.executable))
"""
TIMED = """
import time
from datetime import datetime

class Fact:
    def __init__(self, name, at, data):
        self.name, self.at, self.data = name, at, data

    def key(self):
        return (self.at, self.name)

def fold(n):
    files = {}
    for i in range(n):
        fact = Fact(f"fact-{i}", datetime.fromisoformat("2026-03-02T09:14:07+00:00"), {"case": f"case-{i % 97}"})
        files.setdefault(fact.data["case"], []).append(fact)
    return sum(len(sorted(listed, key=Fact.key)) for listed in files.values())

took = []
for _ in range(5):
    started = time.perf_counter()
    fold(20_000)
    took.append(time.perf_counter() - started)
print(min(took))
"""


def said(python: str, program: str) -> str:
    """What a program prints under a Python; nothing where it cannot run."""
    try:
        done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def on_path() -> list[str]:
    """What is called a Python on the PATH, in its order."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    return [str(folder / name) for folder in folders for name in NAMES if os.access(folder / name, os.X_OK)]


def suited(pythons: list[str]) -> list[str]:
    """Those with which an environment can be made: of the oldest version that will do, for that is the one Parcours is tested with,
    and with the headers that compiling needs, where one has them.
    """
    found: dict[str, tuple[int, int]] = {}
    for python in pythons:
        if answer := said(python, SUITED):
            minor, lacks_headers, real = answer.split(maxsplit=2)
            found.setdefault(real, (int(minor), int(lacks_headers)))
    return [real for real, what in found.items() if what == min(found.values())]


def seconds(python: str) -> float:
    """How long a Python takes for work like ours."""
    return float(said(python, TIMED) or "inf")


def fastest(pythons: list[str], timed: Callable[[str], float] = seconds) -> str:
    """The first, or the fastest where it is faster by a tenth: the shortest of several times of each, taken in turn."""
    first, *others = pythons
    if not others:
        return first
    took = dict.fromkeys(pythons, float("inf"))
    for _ in range(ROUNDS):
        for python in pythons:
            took[python] = min(took[python], timed(python))
    best = min(pythons, key=took.__getitem__)
    return best if took[best] < FASTER * took[first] else first


if __name__ == "__main__":
    sys.stdout.write(fastest(suited(sys.argv[1:] or on_path()) or sys.exit(NONE)) + "\n")
