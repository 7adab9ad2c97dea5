"""Whoever is limited to departments sees those and no other; what cannot be shown is said on a page, in one's own language."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import httpx2
import orjson
from fastapi import Request

from services import acting
from services.console.visits import looking, open_session
from services.security import Role, Visitor, create_link
from tests.builders import DAY, MONDAY, closed, lines, received, registered, said, tick, worked
from tests.integration.test_query import moved, told
from tests.line import Line
from tests.served import Served, served

BOTH = [
    *moved("p1", "ABA"), *moved("p2", "CDC"),
    worked("C", "c-x").of("p1", "default").on(MONDAY + DAY).named("x1"),
    received("r1", topic="rare", department="A", case="c-p1").of("p1", "default").on(MONDAY + DAY).named("r1"),
    received("r2", topic="scarce", department="C", case="c-p2").of("p2", "default").on(MONDAY + DAY).named("r2"),
    registered("k1", case="c-p1", department="A").of("p1", "default").on(MONDAY).named("k1"),
    tick("2026-06-01T00:00:00Z"),
]  # fmt: skip


@asynccontextmanager
async def visiting(
    api: Served, role: Role = "operator", departments: Sequence[str] | None = None, tenant: str | None = "default"
) -> AsyncIterator[httpx2.AsyncClient]:
    """A person's session in the console."""
    async with api.line.pool.acquire() as connection:
        who = Visitor("Mme Lambert", tenant, role, tuple(departments) if departments else None)
        key = await create_link(connection, who)
    async with httpx2.AsyncClient(base_url=api.url, trust_env=False, follow_redirects=True) as client:
        await client.get(f"/login?key={key}")
        yield client


async def test_a_limited_token_reads_its_own_departments_only(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api, await api.client("admin", departments=["C"]) as client:
        file = (await client.get("/v1/patients/p1")).json()
        topics = [flow["topic"] for flow in (await client.get("/v1/flows")).json()["flows"]]
        rules = (await client.get("/v1/alerts/quality")).json()["quality"]
        whole = [
            (await client.get(path)).status_code
            for path in ("/v1/summary", "/v1/alerts/deliveries", "/v1/export", "/v1/accesses")
        ]

    assert [case["case"] for case in file["case_list"]] == ["c-x"]
    assert file["claim_list"] == []
    assert (file["cases"], file["claims"], file["bounced"]) == (1, 0, False)
    assert {row["department"] for row in file["timeline"]} == {"C"}
    assert "A" not in {finding["department"] for finding in file["findings"]}
    assert topics == ["scarce"]
    assert {row["department"] for row in rules} == {"C"}
    assert whole == [403, 403, 403, 403]


async def test_a_limited_stream_says_nothing_of_other_departments(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api, await api.client(departments=["C"]) as client:
        seen = ""
        async with client.stream("GET", "/v1/alerts/stream", headers={"last-event-id": "0"}) as answer:
            async for text in answer.aiter_text():
                seen += text
                if "bounced_case:p2" in seen:
                    break

    assert "p1" not in seen


async def test_a_limited_visitor_sees_no_more_on_the_pages(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api, visiting(api, departments=["C"]) as client, await api.client("admin") as admin:
        topics = (await client.get("/fr/topics")).text
        alerts = (await client.get("/fr/alerts?everything=1")).text
        file = (await client.get("/fr/patients/p1")).text
        hidden = [
            (await client.get(path)).status_code for path in ("/fr/cases/c-p1", "/fr/claims/k1", "/fr/departments/A")
        ]
        reads = (await admin.get("/v1/accesses?patient=p1")).json()["accesses"]

    assert "scarce" in topics
    assert "rare" not in topics
    assert "p1" not in alerts
    assert "c-x" in file
    assert "c-p1" not in file
    assert hidden == [404, 404, 404]
    assert [read["what"] for read in reads] == ["patient"]


def test_whoever_sees_every_establishment_stays_at_theirs_when_another_comes() -> None:
    request = Request({"type": "http", "session": {}})
    open_session(request, Visitor("Mme Lambert", None, "operator", None))

    assert looking(request, ("hospital",)).tenant == "hospital"
    assert looking(request, ("default", "hospital")).tenant == "hospital"
    assert looking(request, ("default",)).tenant == "default"  # theirs is no more


async def test_more_visitors_of_every_establishment_than_there_are_connections_wait_for_one_another(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api:
        async with line.pool.acquire() as connection:
            keys = [await create_link(connection, Visitor(f"n{n}", None, "admin", None)) for n in range(12)]
        clients = [httpx2.AsyncClient(base_url=api.url, trust_env=False) for _ in keys]
        async with asyncio.timeout(20):
            for client, key in zip(clients, keys, strict=True):
                await client.get(f"/login?key={key}")
            pages = await asyncio.gather(*(client.get("/en/claims") for client in clients))
            await asyncio.gather(*(client.aclose() for client in clients))

    assert {page.status_code for page in pages} == {200}


async def test_what_is_parked_elsewhere_is_told_to_whoever_may_go_there(line: Line) -> None:
    bad = said("claim.registered", claim="k1", kind="nonsense").of("p9", "north")
    await told(line, worked("A").of("p1", "default"), worked("A").of("p2", "north"), bad)
    async with served(line) as api:
        async with visiting(api, "admin", tenant=None) as client:
            everywhere = (await client.get("/en/system")).text
        async with visiting(api, "admin") as client:
            here = (await client.get("/en/system")).text

    assert "Set aside elsewhere: north (1)." in everywhere
    assert "Everything moves." not in everywhere
    assert "north" not in here
    assert "Everything moves." in here


async def test_a_small_flow_names_whom_it_is_losing(line: Line) -> None:
    content = received("r3", topic="scarce", department="C").of("p3", "default").on(MONDAY + DAY).named("r3")
    await told(line, *BOTH, content)
    async with served(line) as api, visiting(api) as everybody, visiting(api, departments=["C"]) as limited:
        pages = [(await client.get("/en/topics")).text for client in (everybody, limited)]

    named = [[f"/en/patients/{name}" in page for name in ("p1", "p2", "p3")] for page in pages]
    assert named == [[True, True, False], [False, True, False]]


async def test_what_cannot_be_shown_is_a_page_in_the_language_last_read(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api, visiting(api) as client:
        await client.get("/en/cases")
        unknown = await client.get("/nowhere/at/all")
        cursor = await client.get("/en/cases?after=nonsense")
        start = await client.get("/")
        line.pool.terminate()
        away = await client.get("/en/claims")
        program = await client.get("/v1/nothing")

    assert (unknown.status_code, cursor.status_code, away.status_code) == (404, 422, 503)
    assert [page.text.count('href="/en/claims"') for page in (unknown, cursor)] == [1, 1]  # one goes on from there
    assert "This address cannot be read" in cursor.text
    for page in (unknown, cursor, away):
        assert page.headers["content-type"].startswith("text/html")
        assert 'lang="en"' in page.text
    assert "Nothing is lost" in away.text
    assert str(start.url).endswith("/en")
    assert program.headers["content-type"] == "application/problem+json"


async def test_the_morning_names_what_is_found_and_said_to_nobody(line: Line) -> None:
    brought = datetime(2026, 9, 1, tzinfo=UTC)
    old = [
        worked(d).of("p1", "default").on(MONDAY + timedelta(days=n)).recorded_at(brought).named(f"m{n}") for n, d in enumerate("ABA")
    ]  # fmt: skip
    claim = registered("k1", "fr-csp").of("p2", "default").on(MONDAY).recorded_at(brought).named("k1")
    await line.publish(lines(*old, claim, tick(brought + timedelta(days=2))))
    await line.project()
    async with served(line) as api, visiting(api) as client:
        page = " ".join((await client.get("/fr")).text.split())
        assert "1 cas de ballottage" in page
        assert "1 réclamation sans réponse" in page
        assert "1 bounced case or patient" in " ".join((await client.get("/en")).text.split())


async def test_what_somebody_did_with_an_alert_can_be_changed(line: Line) -> None:
    await told(line, *moved("p1", "ABA"))
    at = datetime.now(UTC)
    dismissed = acting.fact(
        "default", "p1", "bounced_case:p1:c-p1:1", acting.Wish("dismissed", "a slip", "wrong line"), at
    )
    await line.publish([orjson.dumps(dismissed)])
    await line.project()
    async with served(line) as api, visiting(api) as client:
        for path in ("/fr/alerts", "/fr/alerts/bounced_case%3Ap1%3Ac-p1%3A1"):
            page = (await client.get(path)).text
            assert "a slip" in page
            assert 'name="kind" value="acknowledged"' in page


async def test_the_way_in_speaks_the_language_of_the_page_that_was_asked_for_and_leads_there(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api:
        async with line.pool.acquire() as connection:
            key = await create_link(connection, Visitor("Mme Lambert", "default", "reader", None))
        english = {"accept-language": "en-GB,en;q=0.9"}
        async with httpx2.AsyncClient(
            base_url=api.url, trust_env=False, follow_redirects=True, headers=english
        ) as client:
            outside = await client.get("/login")
            asked = await client.get("/fr/cases?department=C")
            inside = await client.get(f"/login?key={key}")
            left = await client.post("/logout")

    assert '<html lang="en"' in outside.text
    assert '<html lang="fr"' in asked.text
    assert (inside.url.path, inside.url.query) == ("/fr/cases", b"department=C")
    assert '<html lang="fr"' in left.text
    assert left.url.path == "/login"


async def test_an_address_that_is_no_page_of_ours_says_nothing_of_a_language(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api:
        async with httpx2.AsyncClient(base_url=api.url, trust_env=False, headers={"accept-language": "fr"}) as client:
            answers = [
                await client.get(f"/login?next={wanted}") for wanted in ("//en", "/entry", "https://x/en", "/en")
            ]

    assert ['<html lang="en"' in answer.text for answer in answers] == [False, False, False, True]


async def test_a_patient_a_case_or_a_claim_is_found_by_how_it_begins_closed_or_not(line: Line) -> None:
    over = closed("answered", case="c-p9").of("p9", "default").on(MONDAY + DAY).named("p9-end")
    odd = worked("A", "100%_x").of("q_7", "default").on(MONDAY).named("q-1")
    await told(line, *BOTH, *moved("p9", "AB"), over, odd)
    async with served(line) as api, visiting(api) as client, visiting(api, departments=["C"]) as limited:

        async def found(who: httpx2.AsyncClient, text: str) -> str:
            answer = await who.get("/en/cases", params={"find": text, "state": "open"})
            assert answer.status_code == 200
            return answer.text

        by_patient, by_case, by_claim, one_closed, literal, nobody = [
            await found(client, text) for text in ("p", "c-p1", "k", "p9", "100%", "1%")
        ]
        elsewhere = await found(limited, "k")
        unseen = await found(limited, "p9")

    assert all(f"/en/patients/{name}" in by_patient for name in ("p1", "p2"))
    assert "/en/patients/p9" not in by_patient
    assert "/en/cases/c-p1" in by_case
    assert "/en/cases/c-p2" not in by_case
    assert "Claims of that name" in by_claim
    assert "k1" in by_claim
    assert "No open case matches; these are closed." in one_closed
    assert "/en/patients/p9" in one_closed
    assert "/en/patients/q_7" in literal
    assert "No case matches." in nobody
    assert "Claims of that name" not in elsewhere
    assert "/en/patients/p9" not in unseen


async def test_a_filter_offers_what_there_is_and_to_whom_is_limited_their_own_departments(line: Line) -> None:
    over = closed("answered", case="c-p9").of("p9", "default").on(MONDAY + DAY).named("p9-end")
    elsewhere = worked("Z", "c-z").of("p1", "other").on(MONDAY).named("z1")
    begun = said("case.opened", case="c-p9", topic="rare", department="F").of("p9", "default").on(MONDAY).named("p9-1")
    await told(line, *BOTH, begun, over, elsewhere)
    async with served(line) as api, visiting(api) as client, visiting(api, departments=["C", "D"]) as limited:

        async def offered(who: httpx2.AsyncClient, page: str) -> list[str]:
            return re.findall(r'<option value="([^"]*)"></option>', (await who.get(page)).text)

        everything, claims = await offered(client, "/en/cases"), await offered(client, "/fr/claims")
        few = await offered(limited, "/en/cases")

    assert everything == ["A", "C", "rare"]  # who holds an open case, and any topic; nothing of another tenant
    assert claims == ["A"]  # who owes an answer
    assert few == ["C", "D"]


async def test_what_a_filter_does_not_understand_is_said(line: Line) -> None:
    await told(line, *BOTH)
    async with served(line) as api, visiting(api) as client:
        pages = [
            (await client.get(path)).text
            for path in (
                "/en/cases?min_level=B9&older=abc", "/fr/claims?ladder=U9", "/en/cases/c-p1?as_of=hier", "/en/cases?state=&min_level=B2",
            )
        ]  # fmt: skip

    assert "without effect: min_level=B9, older=abc." in pages[0]
    assert "sans effet : ladder=U9." in pages[1]
    assert "without effect: as_of=hier." in pages[2]
    assert "without effect" not in pages[3]


async def test_alerts_stand_in_the_order_of_who_is_to_be_called_and_beside_what_they_are_about(line: Line) -> None:
    chased = (
        received("r9", topic="other", claim="k1", intent="follow_up")
        .of("p1", "default")
        .on(MONDAY + 9 * DAY)
        .named("r9")
    )
    older = registered("k0", department="A").of("p4", "default").on(MONDAY - DAY).named("k0")  # but nobody had to chase
    await told(line, older, *BOTH, *moved("p3", "ABCA"), chased)
    async with served(line) as api, visiting(api) as client, visiting(api, "reader") as reader:
        morning, listed, case, claim = [
            (await client.get(path)).text for path in ("/en", "/en/alerts", "/en/cases/c-p1", "/en/claims/k1")
        ]
        only_read = (await reader.get("/en/cases/c-p1")).text

    called = list(dict.fromkeys(re.findall(r'name="alert" value="([^"]*)"', morning)))
    alerts = dict.fromkeys(re.findall(r'href="/en/alerts/([^"]*)"', listed))
    assert len(called) > 3
    assert [alert for alert in map(unquote, alerts) if alert in called] == called
    assert called.index("unanswered_claim:p1:k1") < called.index("unanswered_claim:p4:k0")
    assert "bounced_case:p1:c-p1:1" in case
    assert "k1" in claim.split("Alerts that stand")[1]
    assert "unanswered_claim:p1:k1" in claim
    assert 'value="acknowledged"' in case
    assert 'value="acknowledged"' not in only_read


async def test_of_a_department_from_where_patients_come_back_is_told_by_who_sent_them_back(line: Line) -> None:
    await told(line, *moved("p1", "ABCA"))  # sent to B, and back from C
    async with served(line) as api, visiting(api) as client:
        page = (await client.get("/en/departments/A")).text

    rows = re.findall(r'<th scope="row"><a href="/en/departments/(\w)">.*?</tr>', page)
    figures = [
        re.findall(r'<td class="number">([^<]*)</td>', row) for row in page.split("<tbody>")[-1].split("</tr>")[:-1]
    ]
    assert dict(zip(rows, figures, strict=True)) == {"B": ["1", "0", "0"], "C": ["0", "0", "1"]}


async def test_a_deadline_that_lies_far_ahead_does_not_squeeze_what_happened_into_the_edge(line: Line) -> None:
    claim = registered("k1", case="c-p1", department="A").of("p1", "default").on(MONDAY).named("k1")
    await told(line, *moved("p1", "ABA"), claim, tick((MONDAY + 10 * DAY).isoformat()))
    async with served(line) as api, visiting(api) as client:
        page = (await client.get("/en/cases/c-p1?patient=p1")).text

    drawn = page[page.index("<svg") : page.index("</svg>")]
    assert "legal limit" in page
    assert "· answer" in drawn
    assert "legal limit" not in drawn


async def test_somebody_without_a_case_is_found_and_their_page_says_what_happened(line: Line) -> None:
    met = [
        received(f"w{n}", topic="rare", department=d).of("w-1", "default").on(MONDAY + n * DAY)
        for n, d in enumerate("AB")
    ]
    sent = said("contact.redirected", contact="w1", from_department="B", to_department="C", topic="rare")
    await told(line, *BOTH, *met, sent.of("w-1", "default").on(MONDAY + 2 * DAY).named("w-sent"))
    async with served(line) as api, visiting(api) as client, visiting(api, departments=["D"]) as limited:
        listed = (await client.get("/en/cases", params={"find": "w-"})).text
        unseen = (await limited.get("/en/cases", params={"find": "w-"})).text
        page = (await client.get("/en/patients/w-1")).text

    assert "Patients of that name, without a case" in listed
    assert "/en/patients/w-1" in listed
    assert "w-1" not in unseen.replace('value="w-"', "")
    assert page.count("the patient gets in touch") == 2
    assert "B → C" in page


async def test_a_department_that_holds_no_case_shows_the_claims_it_owes_an_answer_to(line: Line) -> None:
    await told(line, *BOTH, registered("k8", department="Z").of("p8", "default").on(MONDAY).named("k8"))
    async with served(line) as api, visiting(api) as client:
        page = (await client.get("/en/departments/Z")).text

    assert "The claims it owes an answer to" in page
    assert "/en/claims/k8" in page


async def test_whom_somebody_has_taken_on_is_still_there_in_the_morning_with_their_name(line: Line) -> None:
    await told(line, *moved("p1", "ABA"), *moved("p2", "CDC"))
    wish = acting.Wish("acknowledged", "Mme Lambert")
    await line.publish([orjson.dumps(acting.fact("default", "p1", "bounced_case:p1:c-p1:1", wish, datetime.now(UTC)))])
    await line.project()
    async with served(line) as api, visiting(api) as client, visiting(api, departments=["D"]) as limited:
        page, theirs = [" ".join((await one.get("/en")).text.split()) for one in (client, limited)]

    calls, _, taken = page.partition("Taken on, not resolved yet")
    assert "/en/patients/p2" in calls
    assert "/en/patients/p1" not in calls
    assert "/en/patients/p1" in taken
    assert "Mme Lambert" in taken
    assert "Taken on" not in theirs


async def test_a_letter_that_came_back_stands_in_the_case_of_the_claim_it_was_about(line: Line) -> None:
    letter = said("contact.sent", contact="o1", to="patient", channel="post", kind="holding", claim="k1")
    back = said("contact.undelivered", contact="o1")
    await told(
        line, *BOTH, letter.of("p1", "default").on(MONDAY + DAY).named("o1"), back.of("p1", "default").on(MONDAY + 3 * DAY).named("o2"),
    )  # fmt: skip
    async with served(line) as api, visiting(api) as client:
        page = (await client.get("/en/cases/c-p1")).text

    assert "never arrived" in page
