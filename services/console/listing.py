"""The pages that list: the morning, cases, claims, departments, small flows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from projections.rows import Row
from services import tables_alerts as alerts
from services import tables_figures as counted
from services import tables_query as tables
from services.console import pages
from services.console.frame import PAGE, Console, ignored, number_of, one_of, text_of
from services.console.visits import Looking
from services.cursors import cursor_of, key_of
from services.matrix import drawing, matrix_of
from services.sight import departments_seen
from services.tables import Connection
from services.tables_query import Key

MOST_UNSAID = 10_000
FOUND = 20
Walk = Callable[[Connection, tables.Asked, int, Key | None], Awaitable[tuple[list[Row], Key | None]]]
OFFERED = 300


def add(routes: APIRouter, console: Console) -> None:
    """The routes of these pages."""
    _morning(routes, console)
    _cases(routes, console)
    _claims(routes, console)
    _departments(routes, console)
    _topics(routes, console)


def _morning(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}")
    async def morning(request: Request, lang: str) -> Response:
        async with console.opened(request, lang) as (connection, who, view):
            brake = await alerts.setting(connection, "brake")

        async def make() -> Any:
            async with console.pool.acquire() as again:
                return await pages.morning(again, who.tenant, who.departments, view)

        async def count() -> tuple[int, int]:
            async with console.counting.acquire() as again:
                return await tables.unsaid(again, who.tenant, who.departments, MOST_UNSAID)

        found = await console.lately.get(("morning", who.tenant, who.departments), make)
        unsaid = await console.kept.get(("unsaid", who.tenant, who.departments), count)
        return console.page(request, who, view, "morning", brake=brake, unsaid=unsaid, **found)


def _cases(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/cases")
    async def cases(
        request: Request, lang: str, state: str = "open", min_level: str = "", department: str = "", topic: str = "",
        sort: str = "endured", find: str = "", older: str = "", after: str = "",
    ) -> Response:  # fmt: skip
        offered = await _offered(console, await console.who(request))
        async with console.opened(request, lang) as (connection, who, view):
            days, level = number_of(older), one_of(min_level, ("B1", "B2", "B3", "B4"))
            asked = tables.Asked(
                who.tenant, one_of(state, ("open", "closed")), level, _offered_as(department, offered["department"]),
                _offered_as(topic, offered["topic"]), None, text_of(find),
                None if days is None else view.now - timedelta(days=days), who.departments,
            )  # fmt: skip
            strange = ignored(
                state=(state, one_of(state, ("open", "closed", "all"))), min_level=(min_level, level), older=(older, days),
                sort=(sort, one_of(sort, ("endured", "age"))),
            )  # fmt: skip
            by_age = sort == "age"
            key = key_of(after or None, 3 if by_age else 4, [0 if by_age else 1])
            found = await _found(
                connection, asked, tables.cases_by_age if by_age else tables.cases_by_level, key, after
            )

        async def make() -> str:
            async with console.counting.acquire() as again:
                return await pages.ageing(again, who.tenant, who.departments, view)

        chart = await console.kept.get(("ageing", who.tenant, who.departments, view.language), make)
        asked_for = {
            "state": "all" if found.only_closed else state, "min_level": min_level, "department": department, "topic": topic, "sort": sort,
            "find": found.text or find, "older": older,
        }  # fmt: skip
        return console.page(
            request, who, view, "cases", rows=found.rows, more=cursor_of(found.more), asked=asked_for, chart=chart, after=after,
            called=found.called, patients=found.patients, only_closed=found.only_closed, offered=offered, ignored=strange,
        )  # fmt: skip


def _claims(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/claims")
    async def claims(
        request: Request, lang: str, ladder: str = "", department: str = "", due: str = "", after: str = ""
    ) -> Response:
        offered = await _offered(console, await console.who(request))
        async with console.opened(request, lang) as (connection, who, view):
            hours, step = number_of(due), one_of(ladder, tables.LADDER)
            rows, more = await tables.claims(
                connection, who.tenant, PAGE, key_of(after or None, 4, [1]),
                ladder=step, department=_offered_as(department, offered["owing"]),
                departments=who.departments, due_before=None if hours is None else view.now + timedelta(hours=hours),
            )  # fmt: skip
        asked = {"ladder": ladder, "department": department, "due": due}
        return console.page(
            request, who, view, "claims", rows=rows, more=cursor_of(more), asked=asked, after=after, offered=offered,
            ignored=ignored(ladder=(ladder, step), due=(due, hours)),
        )  # fmt: skip


def _departments(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/departments")
    async def departments(request: Request, lang: str) -> Response:
        async with console.opened(request, lang) as (_, who, view):
            pass
        found = await departments_of(console, who)
        chart = drawing(matrix_of(found["moves"]), view.t("matrix"), view.t("returns")) if found["moves"] else ""
        return console.page(request, who, view, "departments", rows=found["departments"], chart=chart)


def _topics(routes: APIRouter, console: Console) -> None:
    @routes.get("/{lang}/topics")
    async def topics(request: Request, lang: str) -> Response:
        async with console.opened(request, lang) as (_, who, view):
            pass

        async def make() -> Any:
            async with console.counting.acquire() as again:
                return await pages.small_flows(again, who.tenant, who.departments, view)

        small, mass, n = await console.kept.get(("topics", who.tenant, who.departments, view.language), make)
        begin = pages.drawn_since([*small, *mass], view)
        return console.page(request, who, view, "topics", small=small, mass=mass, n=n, begin=begin)


@dataclass(slots=True)
class Found:
    """A page of cases; where somebody was looked for, also claims, patients without a case, and by which spelling they were found."""

    rows: list[Row]
    more: Key | None
    text: str | None = None
    only_closed: bool = False
    called: list[Row] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)


async def _found(connection: Connection, asked: tables.Asked, walk: Walk, key: Key | None, after: str) -> Found:
    """What a search finds, by the first spelling that finds anything; whoever looks for a patient finds them, whatever became of it."""
    for text in _spellings(asked.text):
        found = Found(*await walk(connection, replace(asked, text=text), PAGE, key), text)
        if text is None or after:
            return found
        found.called = await tables.claims_called(connection, asked.tenant, text, FOUND, asked.departments)
        found.patients = await tables.patients_called(connection, asked.tenant, text, FOUND, asked.departments)
        if not found.rows and asked.state == "open":
            found.rows, found.more = await walk(connection, replace(asked, text=text, state=None), PAGE, key)
            found.only_closed = bool(found.rows)
        if found.rows or found.called or found.patients:
            return found
    return Found([], None)


def _spellings(text: str | None) -> list[str | None]:
    """A text as it was typed, then as ids are often written: an index tells capitals apart, people do not."""
    return [None] if text is None else list(dict.fromkeys((text, text.capitalize(), text.upper(), text.lower())))


def _offered_as(typed: str, names: Sequence[str]) -> str | None:
    """A name as it is offered, whatever the capitals it was typed with."""
    text = text_of(typed.strip())
    if text is None or text in names:
        return text
    return next((name for name in names if name.casefold() == text.casefold()), text)


async def _offered(console: Console, who: Looking) -> dict[str, list[str]]:
    """What the filters offer: who is limited to departments is offered these, and no topic."""

    async def make() -> dict[str, list[str]]:
        async with console.counting.acquire() as connection:
            return {
                "department": await tables.names(connection, who.tenant, "department", OFFERED),
                "topic": await tables.names(connection, who.tenant, "topic", OFFERED),
                "owing": await tables.owing(connection, who.tenant, OFFERED),
            }

    if who.departments is not None:
        mine = sorted(who.departments)
        return {"department": mine, "topic": [], "owing": mine}
    found: dict[str, list[str]] = await console.kept.get(("offered", who.tenant), make)
    return found


async def departments_of(console: Console, who: Looking) -> Any:
    """What departments hold and send, as far as this person may see."""

    async def make() -> Any:
        async with console.counting.acquire() as connection:
            return await counted.departments(connection, who.tenant)

    return departments_seen(await console.kept.get(("departments", who.tenant), make), who.departments)
