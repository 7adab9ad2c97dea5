"""Moves between departments as a drawing: from a row to a column, the darker the more often."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

MOST = 16
CELL, LABEL, HEAD = 34, 190, 150
LONGEST_NAME = 26
DARK, LIGHT = 0.64, 0.79
"""Up to where a digit in ink, and from where one in white, can be read on the shade: between them neither can (4.5:1)."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """How often cases went from one department to another, and how often that was a return."""

    departments: tuple[str, ...]
    moves: Counter[tuple[str, str]]
    returns: Counter[tuple[str, str]]
    left_out: int


def matrix(paths: Iterable[Sequence[str]]) -> Matrix:
    """Count the moves of all paths; the departments with most moves are drawn."""
    moves: Counter[tuple[str, str]] = Counter()
    returns: Counter[tuple[str, str]] = Counter()
    busy: Counter[str] = Counter()
    for path in paths:
        seen: set[str] = set()
        for here, there in pairwise(path):
            seen.add(here)
            moves[here, there] += 1
            returns[here, there] += there in seen
            busy[here] += 1
            busy[there] += 1
    names = tuple(sorted(name for name, _ in busy.most_common(MOST)))
    return Matrix(names, moves, returns, max(0, len(busy) - MOST))


def matrix_of(flow: Iterable[Mapping[str, Any]]) -> Matrix:
    """The matrix of moves that were counted already: rows with here, there, moves, returns."""
    moves: Counter[tuple[str, str]] = Counter()
    returns: Counter[tuple[str, str]] = Counter()
    busy: Counter[str] = Counter()
    for one in flow:
        moves[one["here"], one["there"]] += one["moves"]
        returns[one["here"], one["there"]] += one["returns"]
        busy[one["here"]] += one["moves"]
        busy[one["there"]] += one["moves"]
    names = tuple(sorted(name for name, _ in busy.most_common(MOST)))
    return Matrix(names, moves, returns, max(0, len(busy) - MOST))


def drawing(found: Matrix, title: str, returned: str) -> str:
    """The matrix as SVG: every cell says its numbers to whoever cannot see it."""
    n = len(found.departments)
    width, height = LABEL + n * CELL + HEAD // 2 + 20, HEAD + n * CELL + 10  # the slanting heads lean out to the right
    most = max(found.moves.values(), default=1)
    parts = [f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" aria-label="{escape(title)}">']
    for i, name in enumerate(found.departments):
        y, x = HEAD + i * CELL + CELL / 2, LABEL + i * CELL + CELL / 2
        short = escape(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")
        parts.append(f'<text class="name" x="{LABEL - 8}" y="{y + 4}" text-anchor="end">{short}</text>')
        parts.append(f'<text class="name" transform="translate({x + 4},{HEAD - 8}) rotate(-55)">{short}</text>')
    for i, here in enumerate(found.departments):
        for j, there in enumerate(found.departments):
            parts.append(_cell(found, i, j, here, there, most, returned))
    return "".join([*parts, "</svg>"])


def _cell(found: Matrix, i: int, j: int, here: str, there: str, most: int, returned: str) -> str:
    x, y, count = LABEL + j * CELL, HEAD + i * CELL, found.moves[here, there]
    box = f'x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="3"'
    if not count:
        return f'<rect class="none" {box}/>'
    back = found.returns[here, there]
    shade = 0.12 + 0.88 * (count / most) ** 0.5
    shade = max(shade, LIGHT) if shade > (DARK + LIGHT) / 2 else min(shade, DARK)
    said = escape(f"{here} → {there}: {count}" + (f" ({back} {returned})" if back else ""))
    ink = "light" if shade >= LIGHT else "dark"
    ring = f'<rect class="back" {box}/>' if back * 2 > count else ""
    kind = f"count {ink} long" if count > 999 else f"count {ink}"
    text = f'<text class="{kind}" x="{x + CELL / 2}" y="{y + CELL / 2 + 4}" text-anchor="middle">{count}</text>'
    return f'<g><title>{said}</title><rect class="move" {box} fill-opacity="{shade:.2f}"/>{ring}{text}</g>'
