"""Charts as SVG drawn on the server: lanes of a case, ages of cases, dots of small flows. Each says its numbers in words too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise

HEAP = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LABEL, LANE, WIDTH, RIGHT = 170, 38, 980, 46
TOP, BOTTOM = 24, 34
LONGEST_NAME = 22
MOST_DOTS = 2_000


@dataclass(frozen=True, slots=True)
class Stay:
    """A visit: where, from when to when (None: still there), and how it began."""

    department: str
    since: datetime
    until: datetime | None
    planned: bool
    is_return: bool
    later: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a contact, a cold redirect, a claim's fact, a deadline, a finding."""

    at: datetime
    department: str | None
    kind: str
    said: str
    later: bool = False


def short(name: str) -> str:
    return escape(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'


def svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    drawn = "".join(parts)
    role = "group" if "<a " in drawn else "img"
    return (
        f'<svg role="{role}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
        f' aria-label="{escape(label, quote=True)}">{drawn}</svg>'
    )


def lanes(
    stays: Sequence[Stay], marks: Sequence[Mark], now: datetime, label: str, days: Sequence[tuple[datetime, str]]
) -> str:
    """A case over time: a lane a department, a bar a visit, signs for what happened. `days` are the labels of the axis."""
    names = list(
        dict.fromkeys([stay.department for stay in stays] + [mark.department for mark in marks if mark.department])
    )
    begin = min([stay.since for stay in stays] + [mark.at for mark in marks], default=now)
    end = max([now, *(mark.at for mark in marks), begin + timedelta(hours=1)])
    span = (end - begin).total_seconds()
    height = TOP + max(1, len(names)) * LANE + BOTTOM

    def x(at: datetime) -> float:
        return LABEL + (WIDTH - LABEL - RIGHT) * max(0.0, min(1.0, (at - begin).total_seconds() / span))

    def y(name: str | None) -> float:
        return TOP + (names.index(name) if name in names else 0) * LANE + LANE / 2

    parts = []
    for n, name in enumerate(names):
        kind = "lane odd" if n % 2 else "lane"
        parts.append(f'<rect class="{kind}" x="0" y="{TOP + n * LANE}" width="{WIDTH}" height="{LANE}"/>')
        parts.append(text(LABEL - 10, y(name) + 4, f"<title>{escape(name)}</title>{short(name)}", "name", "end"))
    for at, said in days:
        parts.append(f'<line class="tick" x1="{x(at):.1f}" y1="{TOP}" x2="{x(at):.1f}" y2="{height - BOTTOM + 4}"/>')
        parts.append(text(x(at), height - BOTTOM + 18, escape(said), "axis", "middle"))
    for before, after in pairwise(stays):
        later = " later" if after.later else ""
        kind = f"move{' back' if after.is_return else ''}{' planned' if after.planned else ''}{later}"
        x1, y1, x2, y2 = x(after.since), y(before.department), x(after.since), y(after.department)
        parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    for stay in stays:
        left, right = x(stay.since), x(stay.until or now)
        kind = f"stay{' back' if stay.is_return else ''}{' planned' if stay.planned else ''}{' later' if stay.later else ''}"
        parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{y(stay.department) - 9:.1f}" width="{max(3.0, right - left):.1f}"'
            f' height="18" rx="4"><title>{escape(stay.department)}</title></rect>'
        )
    parts += [_sign(x(mark.at), y(mark.department), mark) for mark in apart(marks, x)]
    return svg(WIDTH, height, label, parts)


def legend(stays: Sequence[Stay], marks: Sequence[Mark], words: Mapping[str, str]) -> str:
    """What the signs and the bars of a case's lanes mean: those that are drawn."""
    kinds = [kind for kind in words if any(mark.kind == kind for mark in marks)]
    icons = [(kind, _sign(11, 18, Mark(EPOCH, None, kind, words[kind]))) for kind in kinds]
    then = [stay for stay in stays if not stay.later]
    bars = {
        "stay": True, "stay back": any(s.is_return for s in then), "stay planned": any(s.planned for s in then),
        "stay later": len(then) < len(stays),
    }  # fmt: skip
    icons += [
        (kind, f'<rect class="{kind}" x="1" y="9" width="20" height="18" rx="4"/>')
        for kind, is_drawn in bars.items()
        if is_drawn
    ]
    listed = [
        f'<li><svg width="22" height="32" viewBox="0 0 22 32" aria-hidden="true">{icon}</svg> {escape(words[kind])}</li>'
        for kind, icon in icons
    ]
    return f'<ul class="legend">{"".join(listed)}</ul>'


def apart(marks: Sequence[Mark], x: Callable[[datetime], float]) -> list[Mark]:
    """Signs that would lie on each other as one, with what each says; of many, how many there are."""
    heaps: dict[tuple[str, str | None, bool, int], list[Mark]] = {}
    for mark in marks:
        heaps.setdefault((mark.kind, mark.department, mark.later, int(x(mark.at) / HEAP)), []).append(mark)
    return [
        replace(
            heap[0], said=" – ".join([heap[0].said, heap[-1].said, str(len(heap))]) if len(heap) > 1 else heap[0].said
        )
        for heap in heaps.values()
    ]


def _sign(x: float, y: float, mark: Mark) -> str:
    kind = f"sign {mark.kind}{' later' if mark.later else ''}"
    said = f"<title>{escape(mark.said)}</title>"
    if mark.kind in ("due", "finding"):
        return (
            f'<g class="{kind}">{said}<path d="M {x:.1f} {y - 17:.1f} l 5 8 h -10 z"/>'
            f'<line x1="{x:.1f}" y1="{y - 10:.1f}" x2="{x:.1f}" y2="{y + 12:.1f}"/></g>'
        )
    if mark.kind == "redirect":
        return f'<g class="{kind}">{said}<path d="M {x - 5:.1f} {y - 5:.1f} l 10 5 l -10 5 z"/></g>'
    if mark.kind == "claim":
        return f'<g class="{kind}">{said}<path d="M {x:.1f} {y - 6:.1f} l 6 6 l -6 6 l -6 -6 z"/></g>'
    return f'<g class="{kind}">{said}<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/></g>'


@dataclass(frozen=True, slots=True)
class Dot:
    """An open case on the ageing chart."""

    department: str
    days: float
    level: str | None
    said: str
    link: str


def ageing(dots: Sequence[Dot], lines: Sequence[tuple[float, str]], label: str, unit: str) -> str:
    """Department across, age up; one dot an open case, above two thousand the darker the more."""
    names = sorted({dot.department for dot in dots})
    left, step = 56, max(18.0, min(120.0, 900 / max(1, len(names))))
    width, plot = left + step * max(1, len(names)) + RIGHT, 260
    height = plot + 120
    most = max([dot.days for dot in dots] + [value for value, _ in lines] + [1.0])

    def y(days: float) -> float:
        return float(TOP + plot * (1 - (days / most) ** 0.5))

    parts = []
    for share in (0.0, 0.1, 0.25, 0.5, 1.0):
        value = most * share
        parts.append(
            f'<line class="tick" x1="{left}" y1="{y(value):.1f}" x2="{width - RIGHT:.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(text(left - 6, y(value) + 4, f"{value:.0f} {escape(unit)}", "axis", "end"))
    beside, last = 0, float("inf")
    for value, said in sorted(lines):
        parts.append(
            f'<line class="percentile" x1="{left}" y1="{y(value):.1f}" x2="{width - RIGHT:.1f}" y2="{y(value):.1f}"/>'
        )
        beside = beside + 1 if last - y(value) <= 14 else 0  # each beside the ones it would cover
        last = y(value)
        parts.append(text(width - RIGHT - 40 * beside, last - 3, escape(said), "percentile", "end"))
    for n, name in enumerate(names):
        x = left + step * (n + 0.5)
        parts.append(
            f'<text class="axis" transform="translate({x:.1f},{TOP + plot + 14}) rotate(40)">'
            f"<title>{escape(name)}</title>{short(name)}</text>"
        )
    if len(dots) > MOST_DOTS:
        parts += _density(dots, names, left, step, y, most)
    else:
        for n, dot in enumerate(dots):
            x = left + step * (names.index(dot.department) + 0.5 + ((n * 7919) % 100 - 50) / 180)
            level = f" {dot.level}" if dot.level else ""
            parts.append(
                f'<a href="{escape(dot.link, quote=True)}"><circle class="dot{level}" cx="{x:.1f}" cy="{y(dot.days):.1f}" r="4">'
                f"<title>{escape(dot.said)}</title></circle></a>"
            )
    return svg(width, height, label, parts)


def _density(
    dots: Sequence[Dot], names: Sequence[str], left: float, step: float, y: Callable[[float], float], most: float
) -> list[str]:
    rows = 20
    counts: dict[tuple[int, int], int] = {}
    where = {name: n for n, name in enumerate(names)}
    for dot in dots:
        key = (where[dot.department], min(rows - 1, int(rows * (dot.days / most) ** 0.5)))
        counts[key] = counts.get(key, 0) + 1
    busiest = max(counts.values())
    parts = []
    for (column, row), n in sorted(counts.items()):
        top = y(most * ((row + 1) / rows) ** 2)
        bottom = y(most * (row / rows) ** 2)
        shade = 0.15 + 0.85 * (n / busiest) ** 0.5
        parts.append(
            f'<rect class="density" x="{left + step * column + 1:.1f}" y="{top:.1f}" width="{step - 2:.1f}"'
            f' height="{max(1.0, bottom - top - 1):.1f}" fill-opacity="{shade:.2f}"><title>{n}</title></rect>'
        )
    return parts


@dataclass(frozen=True, slots=True)
class Point:
    """One contact of a small flow."""

    at: datetime
    said: str
    bounced: bool
    unanswered: bool


def strip(points: Sequence[Point], begin: datetime, end: datetime, label: str) -> str:
    """The contacts of one small flow, each drawn: a dot, ringed if its patient is bounced, a diamond if a claim waits."""
    width, height, margin = 620, 26, 8
    span = max(1.0, (end - begin).total_seconds())
    parts = [f'<line class="tick" x1="{margin}" y1="13" x2="{width - margin}" y2="13"/>']
    for n in range(27):
        x = margin + (width - 2 * margin) * n / 26
        parts.append(
            f'<line class="tick" x1="{x:.1f}" y1="{10 if n % 4 else 7}" x2="{x:.1f}" y2="{16 if n % 4 else 19}"/>'
        )
    for point in points:
        x = margin + (width - 2 * margin) * max(0.0, min(1.0, (point.at - begin).total_seconds() / span))
        said = f"<title>{escape(point.said)}</title>"
        if point.unanswered:
            parts.append(f'<path class="contact unanswered" d="M {x:.1f} 6 l 7 7 l -7 7 l -7 -7 z">{said}</path>')
        if point.bounced:
            parts.append(f'<circle class="contact ring" cx="{x:.1f}" cy="13" r="7">{said}</circle>')
        parts.append(f'<circle class="contact" cx="{x:.1f}" cy="13" r="3.5">{said}</circle>')
    return svg(width, height, label, parts)


def axis_days(begin: datetime, end: datetime, most: int = 8) -> list[datetime]:
    """A handful of midnights between two instants."""
    first = begin.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = max(1, (end - first).days + 1)
    step = max(1, -(-days // most))
    return [first + timedelta(days=n) for n in range(0, days, step) if first + timedelta(days=n) < end]
