"""The pure modules as machine code, where `python -m deploy.native` has made it: the same sources, compiled by mypyc.

What was made from other sources than those that stand here is not used: somebody who changes a fold runs what they wrote.
"""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(sysconfig.get_path("platlib")) / "parcours_native"
MADE_FROM = HOME / "made-from"
LIBRARY = "parcours_native"
LEFT = frozenset({"__init__.py", "policy.py"})  # pydantic reads its models' annotations at run time


def sources() -> list[Path]:
    """The modules that are compiled: how a fact is read, every fold, and what a projector does with them in memory."""
    folds = [path for path in (ROOT / "projections").glob("*.py") if path.name not in LEFT]
    facts = [
        ROOT / "events" / f"{name}.py"
        for name in ("catalogue", "envelope", "identity", "partitions", "times", "upcasts")
    ]
    work = [
        ROOT / "services" / "projector" / f"{name}.py"
        for name in ("changed_rows", "changes", "encoding", "gathered", "held", "records", "spilled", "work")
    ]
    return [*facts, *sorted(folds), *work]


@cache
def digest() -> str:
    """What tells these sources, and this Python, from others."""
    found = hashlib.sha256(str(sys.implementation.cache_tag).encode())
    for path in sources():
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


@cache
def is_used() -> bool:
    """Whether the compiled modules are those of the sources that stand here; `PARCOURS_INTERPRETED=1` leaves them aside."""
    if os.environ.get("PARCOURS_INTERPRETED") or not MADE_FROM.is_file():
        return False
    return MADE_FROM.read_text(encoding="utf-8") == digest()


def before(package: str, path: Iterable[str]) -> list[str]:
    """Where the modules of a package are looked for: their compiled twins first."""
    if not is_used():
        return list(path)
    if str(HOME) not in sys.path:
        sys.path.append(str(HOME))  # the library that the twins share
    return [str(HOME / package.replace(".", "/")), *path]
