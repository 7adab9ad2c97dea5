"""The console in a real Chromium: the morning's questions, acts, both languages, no script, nothing from elsewhere, axe content."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, Page, async_playwright

from services.security import Role, Visitor, create_link
from tests.builders import MONDAY, Said, lines, said, worked
from tests.line import Line
from tests.served import Served, served

CHROMIUM = os.environ.get("PARCOURS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium (apt-get install chromium, or PARCOURS_CHROMIUM)"
)
PAGES = (
    "",
    "/cases",
    "/cases/c-p1",
    "/claims",
    "/claims/k1",
    "/departments",
    "/departments/A",
    "/topics",
    "/alerts",
    "/system",
    "/patients/p1",
)


def story() -> list[Said]:
    """Somebody sent to and fro, a claim nobody answered, a small topic that turned bad."""
    moves = [
        worked(name, "c-p1").of("p1", "default").on(MONDAY + timedelta(days=n)).named(f"m-{n}")
        for n, name in enumerate("ABABA")
    ]
    claim = (
        said("claim.registered", claim="k1", kind="complaint", case="c-p2", department="A")
        .of("p2", "default")
        .on(MONDAY)
        .named("k1")
    )
    calls = [
        said("contact.received", contact=f"r{n}", channel="phone", topic="rare", text="secret words", department=name)
        .of("p3", "default").on(MONDAY + timedelta(days=40 + n)).named(f"r-{n}")
        for n, name in enumerate("ABC")
    ]  # fmt: skip
    last = worked("A", "c-p9").of("p9", "default").on(MONDAY + timedelta(days=45)).named("last")
    return [*moves, claim, *calls, last]


@dataclass
class Seen:
    """What the browser asked for, and what it complained of."""

    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


@asynccontextmanager
async def browsing(
    api: Served, role: Role = "operator", name: str = "Mme Lambert", **options: object
) -> AsyncIterator[tuple[BrowserContext, Page, Seen]]:
    """A visitor who came in by a one-time link."""
    async with api.line.pool.acquire() as connection:
        key = await create_link(connection, Visitor(name, "default", role, None))
    seen = Seen()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(**({"locale": "fr-FR"} | options))  # type: ignore[arg-type]
        page = await context.new_page()
        page.on("request", lambda request: seen.hosts.add(request.url.split("/")[2]))
        page.on("pageerror", lambda wrong: seen.complaints.append(str(wrong)))
        page.on("console", lambda told: seen.complaints.append(told.text) if told.type == "error" else None)
        await page.goto(f"{api.url}/login?key={key}")
        yield context, page, seen
        await browser.close()


async def tell(line: Line) -> None:
    await line.publish(lines(*story()))
    await line.project()


async def test_every_page_is_accessible_in_both_languages_light_dark_and_narrow(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api, "admin", viewport={"width": 360, "height": 800}) as (_, page, seen):
        for language, scheme in (("fr", "light"), ("en", "dark")):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for path in PAGES:
                answer = await page.goto(f"{api.url}/{language}{path}")
                assert answer is not None
                assert answer.status == 200, path
                found = (await Axe().run(page)).response["violations"]
                serious = [
                    (one["id"], one["nodes"][0]["html"][:120])
                    for one in found
                    if one["impact"] in ("serious", "critical")
                ]
                assert serious == [], path
                assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
                assert "secret words" not in await page.content()
    assert seen.complaints == []
    assert seen.hosts == {api.url.split("/")[2]}


async def test_the_questions_of_a_morning_are_answered_in_two_clicks(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api) as (_, page, _):
        assert "c-p1" in await page.inner_text("ol.calls li:first-child")  # who has been sent around and still waits
        await page.click("text=Réclamations")
        assert "k1" in await page.inner_text("main")  # which answer we owe
        await page.click("text=Services")
        await page.click("main table a >> text=A")
        assert "c-p1" in await page.inner_text("main")  # what a department holds, what came back
        await page.click("text=Petits flux")
        assert "rare" in await page.inner_text("tr.late")  # which small topic turned bad
        await page.click("text=Système")
        assert "Tout avance" in await page.inner_text("main")  # is the system well


@pytest.mark.parametrize("script", [True, False])
async def test_taking_an_alert_with_and_without_script(line: Line, script: bool) -> None:  # noqa: FBT001
    await tell(line)
    async with served(line) as api, browsing(api, java_script_enabled=script) as (_, page, _):
        before = await page.locator("ol.calls > li").count()
        projecting = asyncio.create_task(_project_until(line, "alert.acknowledged"))
        async with page.expect_navigation():
            await page.click("ol.calls li:first-child >> text=Je m'en occupe", no_wait_after=True)
        await projecting
        assert page.url == f"{api.url}/fr"
        assert await page.locator("ol.calls > li").count() == before - 1
        assert "C'est noté" in await page.inner_text("p.done")
        await page.goto(f"{api.url}/fr/alerts/bounced_case:p1:c-p1:1")
        assert "Mme Lambert" in await page.inner_text("main")
        assert await page.locator("p.done").count() == 0
        assert await page.locator("text=Je m'en occupe").count() == 0


async def test_what_somebody_else_did_meanwhile_is_told_and_can_be_taken_over(line: Line) -> None:
    await tell(line)
    async with (
        served(line) as api,
        browsing(api) as (_, page, _),
        browsing(api, name="M. Leroy", java_script_enabled=False) as (_, other, _),
    ):
        await asyncio.gather(
            _project_until(line, "alert.acknowledged"), page.click("ol.calls li:first-child >> text=Je m'en occupe")
        )
        await other.click("ol.calls li:first-child >> text=Autres actions")  # of a page that was made before
        await other.fill("ol.calls li:first-child input[name=reason]", "a planned circuit")
        await other.click("ol.calls li:first-child >> button[value=dismissed]")
        assert "Mme Lambert a agi depuis (alerte prise en charge" in await other.inner_text("main")
        assert len(await line.fetch("select 1 from parcours.alert_act")) == 1
        await other.click("text=Revenir à l'alerte")
        await asyncio.gather(_project_until(line, "alert.acknowledged", 2), other.click("text=Reprendre à mon compte"))
        assert "C'est noté" in await other.inner_text("p.done")
        await other.goto(f"{api.url}/fr")
        assert "M. Leroy" in await other.inner_text("section[aria-labelledby=taken]")


async def test_who_takes_a_claim_takes_all_of_it(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api) as (_, page, _):
        stand = await line.fetch("select finding from parcours.announced where patient = 'p2' and is_raised")
        assert len(stand) > 2
        await asyncio.gather(
            _project_until(line, "alert.acknowledged", len(stand)),
            page.click("ol.calls li:has-text('k1') >> text=Je m'en occupe"),
        )
        taken = await line.fetch("select alert from parcours.alert_act where kind = 'acknowledged'")
        assert {row["alert"] for row in taken} == {row["finding"] for row in stand}
        assert await page.locator("section[aria-labelledby=taken] li").count() == 1
        assert f"et {len(stand) - 1} de plus" in await page.inner_text("section[aria-labelledby=taken]")


async def test_what_is_silenced_stands_on_the_morning_until_when_and_what_is_missing_is_said(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api) as (_, page, _):
        await page.click("ol.calls li:first-child >> text=Autres actions")
        await page.fill("ol.calls li:first-child input[name=reason]", " ")
        await page.click("ol.calls li:first-child >> button[value=dismissed]")
        assert "Dites pourquoi" in await page.inner_text("main")
        await page.goto(f"{api.url}/fr")
        await page.click("ol.calls li:first-child >> text=Autres actions")
        await page.fill("ol.calls li:first-child input[type=date]", "2199-12-04")
        await asyncio.gather(
            _project_until(line, "alert.silenced"), page.click("ol.calls li:first-child >> button[value=silenced]")
        )
        silenced = await page.inner_text("section[aria-labelledby=silenced_list]")
        assert "p1" in silenced
        assert "jusqu'au 4 déc. 2199 inclus" in silenced
        await page.goto(f"{api.url}/fr/alerts/bounced_case:p1:c-p1:1")
        assert "jusqu'au 4 déc. 2199 inclus" in await page.inner_text("main > p")
        await page.click("summary >> nth=0")
        assert "acte sur le dossier · A" in await page.inner_text("main section:first-of-type")  # evidence in words


async def test_who_is_looked_for_is_found_whatever_the_capitals_and_with_their_claims(line: Line) -> None:
    await tell(line)
    await line.publish(lines(worked("A", "D-Garance").of("Mme-G", "default").on(MONDAY).named("g")))
    await line.project()
    async with served(line) as api, browsing(api) as (_, page, _):
        for typed, found in (
            ("C-P1", "c-p1"),
            ("p2", "k1"),
            ("K1", "k1"),
            ("mme-", "D-Garance"),
            ("&department=a", "c-p1"),
        ):
            await page.goto(f"{api.url}/fr/cases?find={typed}")
            assert found in await page.inner_text("main table"), typed
        await page.goto(f"{api.url}/fr/cases?find=zz")
        await page.click("text=Effacer les filtres")
        assert page.url == f"{api.url}/fr/cases"


async def test_a_session_that_ends_before_an_act_is_told(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api) as (context, page, _):
        await context.clear_cookies()
        await page.click("ol.calls li:first-child >> text=Je m'en occupe")
        assert "votre session a pris fin" in await page.inner_text("main")
        async with line.pool.acquire() as connection:
            key = await create_link(connection, Visitor("Mme Lambert", "default", "operator", None))
        await page.goto(f"{api.url}/login?key={key}")
        assert page.url == f"{api.url}/fr"
        assert "n'a pas été noté" in await page.inner_text("p.note")
        assert await line.fetch("select 1 from parcours.alert_act") == []


async def test_a_claim_as_one_knew_it_says_so_and_shows_no_alert_of_today(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api) as (_, page, _):
        await page.goto(f"{api.url}/fr/claims/k1")
        assert "Alertes en cours" in await page.inner_text("main")
        await page.goto(f"{api.url}/fr/claims/k1?as_of=2026-03-05T00:00:00Z")
        told = await page.inner_text("main")
        assert "Telle que connue le" in told
        assert "Alertes en cours" not in told
        await page.goto(f"{api.url}/fr/claims/k1?as_of=2020-03-05T00:00:00Z")
        assert "n'était pas encore connue" in await page.inner_text("main")
        await page.click("text=Revenir à aujourd'hui")
        assert "Alertes en cours" in await page.inner_text("main")
        await page.goto(f"{api.url}/fr/claims")
        assert "de retard" in await page.inner_text("main table")


async def _project_until(line: Line, kind: str, times: int = 1) -> None:
    while len(await line.fetch("select 1 from parcours.timeline where type like $1", f"%{kind}%")) < times:
        await line.project()


async def test_what_one_knew_on_a_day(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api, java_script_enabled=False) as (_, page, _):
        await page.goto(f"{api.url}/fr/cases/c-p1")
        await page.select_option("select[name=as_of]", index=1)
        await page.click("text=Montrer")

        assert "Tel que connu" in await page.inner_text("main")
        assert await page.locator("ol.chips li").count() == 2
        assert await page.locator("tr.later").count() == 3
        assert "connu depuis" in await page.inner_text("ul.legend")
        await page.goto(f"{api.url}/fr/cases/c-p1?as_of=2190-01-01T00:00:00Z")
        assert "sans effet : as_of=2190" in await page.inner_text("p.note")
        await page.go_back()
        await page.click("text=English")
        assert "As known on" in await page.inner_text("main")


async def test_nobody_comes_in_without_a_link_and_a_link_opens_once(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api, "reader") as (context, page, _):
        assert await page.locator("text=Je m'en occupe").count() == 0
        page.set_default_timeout(3_000)
        async with line.pool.acquire() as connection:
            key = await create_link(connection, Visitor("x", "default", "reader", None))
        other = await (await context.browser.new_context()).new_page()  # type: ignore[union-attr]
        await other.goto(f"{api.url}/fr/cases/c-p1")
        assert "/login" in other.url
        await other.goto(f"{api.url}/login?key={key}")
        assert other.url == f"{api.url}/fr/cases/c-p1"
        third = await (await context.browser.new_context()).new_page()  # type: ignore[union-attr]
        answer = await third.goto(f"{api.url}/login?key={key}")
        assert answer is not None
        assert answer.status == 403
        missing = await page.goto(f"{api.url}/fr/cases/nobody")
        assert missing is not None
        assert missing.status == 404


async def test_a_form_that_is_not_ours_is_refused(line: Line) -> None:
    await tell(line)
    async with served(line) as api, browsing(api) as (context, _, _):
        answer = await context.request.post(
            f"{api.url}/fr/acts", form={"alert": "bounced_case:p1:c-p1:1", "kind": "acknowledged", "csrf": "guess"}
        )
        assert answer.status == 403
