"""No word of the console that nobody says."""

import re
from pathlib import Path

from services.console import texts

HERE = Path(texts.__file__).parent
DERIVED = re.compile(r"_(one|hint)$|^done_")
"""Said beside the text they are named after: of one, the sentence below a title, an act that was done."""


def test_every_text_is_said_somewhere() -> None:
    said = "".join(path.read_text(encoding="utf-8") for path in [*HERE.rglob("*.html"), *HERE.rglob("*.py")])
    unsaid = [
        name for name in texts.TEXTS
        if not DERIVED.search(name) and len(re.findall(rf"""["']{name}["']""", said)) < 2
    ]  # fmt: skip
    assert unsaid == []
