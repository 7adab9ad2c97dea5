"""Compile the pure modules to machine code with mypyc, for the Python that runs this: `python -m deploy.native`.

Where there is no compiler, that is said, and everything works as before, at half the speed of the folds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from events.native import HOME, LIBRARY, MADE_FROM, ROOT, digest, sources

SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
setup(name="parcours-native", packages=[], ext_modules=mypycify(sys.argv[3:], opt_level="2", debug_level="0", group_name={library!r}),
      script_args=["--quiet", "build_ext", "--build-lib", sys.argv[1], "--build-temp", sys.argv[2]])
"""
SETTINGS = "[mypy]\npython_version = 3.11\nignore_missing_imports = True\n"


def make() -> bool:
    """Compile, and put the result in the place of what was there; False where that cannot be done. Prints why."""
    if MADE_FROM.is_file() and MADE_FROM.read_text(encoding="utf-8") == digest():
        return True
    sys.stderr.write("Compiling the folds to machine code: half a minute, once.\n")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        for package in ("events", "projections", "services"):
            shutil.copytree(ROOT / package, Path(scratch) / package, ignore=shutil.ignore_patterns("__pycache__"))
        (Path(scratch) / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
        names = [str(path.relative_to(ROOT)) for path in sources()]
        done = subprocess.run(
            [sys.executable, "-c", SETUP.format(library=LIBRARY), str(made), str(Path(scratch) / "objects"), *names],
            cwd=scratch, capture_output=True, text=True, check=False,
            env=os.environ | {"MYPY_CONFIG_FILE": "mypy.ini", "PARCOURS_INTERPRETED": "1", "PYTHONPATH": scratch},
        )  # fmt: skip
        if done.returncode != 0:
            sys.stderr.write(f"{done.stdout[-2000:]}{done.stderr[-2000:]}\n")
            sys.stderr.write(
                "The folds could not be compiled (is gcc there?): they are interpreted, at half the speed.\n"
            )
            return False
        (made / MADE_FROM.name).write_text(digest(), encoding="utf-8")
        shutil.rmtree(HOME, ignore_errors=True)
        shutil.copytree(made, HOME)
    return True


if __name__ == "__main__":
    make()
