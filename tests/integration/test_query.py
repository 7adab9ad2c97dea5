"""What the API tells: cases worst first page by page, a case as it was known, who read whose file, exports other tools open."""

import asyncio
import json
from datetime import timedelta
from xml.etree import ElementTree as ET

from tests.builders import MONDAY, Said, lines, registered, said, tick, worked
from tests.line import Line
from tests.served import served


def moved(patient: str, path: str, days: int = 0, **more: str) -> list[Said]:
    begins = MONDAY + timedelta(days=days)
    return [
        worked(name, f"c-{patient}", **more)
        .of(patient, "default")
        .on(begins + timedelta(hours=n))
        .named(f"{patient}-{n}")
        for n, name in enumerate(path)
    ]


async def told(line: Line, *facts: Said) -> None:
    await line.publish(lines(*facts))
    await line.project()


async def test_the_description_of_the_api_says_that_every_route_wants_a_token(line: Line) -> None:
    async with served(line) as api, await api.client() as client:
        described = (await client.get("/v1/openapi.json")).json()

    assert described["security"] == [{"token": []}]
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert all("security" not in route for methods in described["paths"].values() for route in methods.values())
    assert "/v1/events" in described["paths"]


async def test_cases_come_worst_first_page_by_page(line: Line) -> None:
    await told(
        line,
        *moved("p1", "AB", 3),
        *moved("p2", "ABA", 2),
        *moved("p3", "ABABA", 1),
        *moved("p4", "ABA"),
        *moved("p5", "A"),
    )
    async with served(line) as api, await api.client() as client:
        seen: list[str] = []
        url: str | None = "/v1/cases?limit=2"
        while url is not None:
            answer = await client.get(url)
            seen += [row["patient"] for row in answer.json()["cases"]]
            url = answer.links["next"]["url"] if "next" in answer.links else None
        bad = await client.get("/v1/cases?next=nonsense")
        by_age = [row["patient"] for row in (await client.get("/v1/cases?sort=age")).json()["cases"]]
        leveled = [row["patient"] for row in (await client.get("/v1/cases?min_level=B3")).json()["cases"]]

    assert seen == ["p3", "p4", "p2", "p5", "p1"]
    assert by_age == ["p4", "p5", "p3", "p2", "p1"]
    assert leveled == ["p3"]
    assert bad.status_code == 422


async def test_a_case_as_it_was_known_and_two_patients_who_share_its_id(line: Line) -> None:
    shared = [worked(name, "c-p1").of("p9", "default").named(f"x-{n}") for n, name in enumerate("AB")]
    await told(line, *moved("p1", "ABA"), *shared)
    async with served(line) as api, await api.client() as client, await api.client("admin") as admin:
        both = (await client.get("/v1/cases/c-p1?why=call")).json()["cases"]
        then = (await client.get("/v1/cases/c-p1?patient=p1&as_of=2026-03-02T10:30:00Z")).json()["cases"]
        nobody = await client.get("/v1/cases/c-nobody")
        reads = (await admin.get("/v1/accesses?patient=p1")).json()["accesses"]

    assert [case["patient"] for case in both] == ["p1", "p9"]
    assert then[0]["path"] == ["A", "B"]
    assert nobody.status_code == 404
    assert [read["why"] for read in reads] == [None, "call"]


async def test_a_token_for_one_department_sees_no_other(line: Line) -> None:
    await told(line, *moved("p1", "ABA"), *moved("p2", "CDC"))
    async with served(line) as api, await api.client(departments=["C"]) as client:
        listed = (await client.get("/v1/cases")).json()["cases"]

        assert [case["patient"] for case in listed] == ["p2"]
        assert (await client.get("/v1/cases/c-p1")).status_code == 404
        assert (await client.get("/v1/patients/p1")).status_code == 404
        assert (await client.get("/v1/export")).status_code == 403
        assert {one["department"] for one in (await client.get("/v1/departments")).json()["departments"]} == {"C"}


async def test_departments_and_small_flows(line: Line) -> None:
    calls = [
        said("contact.received", contact=f"m{n}", channel="phone", topic="rare").of("p3", "default").on(MONDAY + timedelta(days=n)).named(f"m{n}")
        for n in range(3)
    ]  # fmt: skip
    await told(line, *moved("p1", "ABA"), *calls)
    async with served(line) as api, await api.client() as client:
        departments = (await client.get("/v1/departments")).json()
        (flow,) = (await client.get("/v1/flows")).json()["flows"]

    assert {one["department"]: one["came_back"] for one in departments["departments"]} == {"A": 1, "B": 0}
    assert departments["departments"][0]["held_hours"] == 1.0
    assert (flow["topic"], flow["contacts"], flow["is_small"]) == ("rare", 3, True)
    assert sum(flow["weeks"]) == 3
    assert (flow["of_weeks"], flow["a_week"]) == (1, 3.0)  # the log is no older


async def test_a_contact_of_six_days_ago_is_of_the_last_week(line: Line) -> None:
    ago = [timedelta(), timedelta(days=6, hours=23), timedelta(days=7, hours=1), timedelta(days=25 * 7 + 6)]
    calls = [
        said("contact.received", contact=f"m{n}", channel="phone", topic="rare").of("p3", "default").on(MONDAY + timedelta(weeks=30) - back).named(f"m{n}")
        for n, back in enumerate(ago)
    ]  # fmt: skip
    await told(line, *calls)
    async with served(line) as api, await api.client() as client:
        (flow,) = (await client.get("/v1/flows")).json()["flows"]

    assert (flow["weeks"][-2:], flow["weeks"][0], sum(flow["weeks"])) == ([1, 2], 1, 4)


async def test_claims_the_furthest_step_first_and_one_with_its_explanation(line: Line) -> None:
    old = said("claim.registered", claim="k1", kind="complaint").of("p1", "default").on(MONDAY).named("k1")
    new = (
        said("claim.registered", claim="k2", kind="complaint")
        .of("p2", "default")
        .on(MONDAY + timedelta(days=60))
        .named("k2")
    )
    await told(line, new, old)
    async with served(line) as api, await api.client() as client:
        await line.publish(
            lines(said("case.opened", case="c").of("p1", "default").on(MONDAY + timedelta(days=61)).named("last"))
        )
        await line.project()
        listed = (await client.get("/v1/claims")).json()["claims"]
        (one,) = (await client.get("/v1/claims/k1")).json()["claims"]

    assert (listed[0]["claim"], listed[0]["ladder"]) == ("k1", "U4")
    assert one["explanation"][0]["text_fr"].startswith("2 mars 2026")


async def test_exports_are_what_other_tools_read(line: Line) -> None:
    await told(
        line,
        *moved("p1", "ABA"),
        said("contact.received", contact="m", channel="phone", case="c-p1", text='<&"').named("m"),
    )
    async with served(line) as api, await api.client() as client:
        rows = [json.loads(row) for row in (await client.get("/v1/export")).text.splitlines()]
        log = ET.fromstring((await client.get("/v1/export?format=xes")).content)  # noqa: S314 - our own
        ocel = (await client.get("/v1/export?format=ocel")).json()

    assert {row["table"] for row in rows} == {"patients", "cases", "findings"}
    space = "{http://www.xes-standard.org/}"
    assert len(log.findall(f"{space}trace/{space}event")) == 4
    assert {kind["name"] for kind in ocel["eventTypes"]} == {"case.worked", "contact.received"}
    known = {one["id"] for one in ocel["objects"]}
    assert all(link["objectId"] in known for event in ocel["events"] for link in event["relationships"])


async def test_the_list_as_it_was_known(line: Line) -> None:
    await told(line, *moved("p1", "ABA"), *moved("p2", "ABAB", 5))
    async with served(line) as api, await api.client() as client:
        then = (await client.get("/v1/cases?as_of=2026-03-03T00:00:00Z")).json()["cases"]
        summary = (await client.get("/v1/summary?as_of=2026-03-03T00:00:00Z")).json()

    assert [case["patient"] for case in then] == ["p1"]
    assert summary["bounced_cases"] == 1


async def test_the_list_as_it_was_known_has_pages_and_an_order_too(line: Line) -> None:
    await told(line, *(fact for n in range(5) for fact in moved(f"p{n}", "ABA" if n % 2 else "AB", n)))
    async with served(line) as api, await api.client() as client:
        for sort in ("endured", "age"):
            now = (await client.get("/v1/cases", params={"sort": sort})).json()["cases"]
            then: list[dict[str, object]] = []
            more: str | None = ""
            while more is not None:
                asked = {"sort": sort, "limit": 2, "as_of": "2026-06-01T00:00:00Z"} | ({"next": more} if more else {})
                page = (await client.get("/v1/cases", params=asked)).json()
                assert len(page["cases"]) <= 2
                then, more = then + page["cases"], page["next"]
            assert then == now
        old = await client.get("/v1/cases?as_of=2026-06-01T00:00:00Z&older_than_days=89")
        assert [case["patient"] for case in old.json()["cases"]] == ["p1", "p0"]


async def test_the_claims_as_they_were_known(line: Line) -> None:
    one = registered("k1", "fr-csp", department="A").of("p1", "default").on(MONDAY).named("k1")
    other = registered("k2", "fr-csp", department="B").of("p2", "default").on(MONDAY + timedelta(days=1)).named("k2")
    answer = said("claim.answered", claim="k1").of("p1", "default").on(MONDAY + timedelta(days=40)).named("a")
    await told(line, one, other, answer, tick("2026-06-01T00:00:00Z"))
    async with served(line) as api, await api.client() as client:
        now = (await client.get("/v1/claims")).json()["claims"]
        known = {"as_of": "2026-06-01T00:00:00Z"}
        assert (await client.get("/v1/claims", params=known)).json()["claims"] == now
        then = (await client.get("/v1/claims", params={"as_of": "2026-04-10T00:00:00Z", "limit": 1})).json()
        assert [(row["claim"], row["ladder"], row["department"]) for row in then["claims"]] == [("k1", "U3", "A")]
        more = {"as_of": "2026-04-10T00:00:00Z", "next": then["next"], "overdue": True}
        assert [row["claim"] for row in (await client.get("/v1/claims", params=more)).json()["claims"]] == ["k2"]
        soon = {"as_of": "2026-03-05T00:00:00Z", "due_within_hours": 24}
        assert (await client.get("/v1/claims", params=soon)).json()["claims"] == []
        assert (await client.get("/v1/claims?as_of=demain")).status_code == 422


async def test_what_was_known_of_a_case_that_is_voided_since_is_found_by_its_patient(line: Line) -> None:
    await told(line, *moved("p1", "A"))
    (row,) = await line.fetch("select source, id from parcours.timeline")
    void = said("fact.voided", fact=row["id"], reason="error").of("p1", "default")
    await told(line, void.on(MONDAY + timedelta(days=20)).recorded_at(MONDAY + timedelta(days=20)).named("v"))
    async with served(line) as api, await api.client() as client:
        address = "/v1/cases/c-p1?as_of=2026-03-05T00:00:00Z"
        assert (await client.get(address)).status_code == 404
        assert (await client.get(f"{address}&patient=p1")).json()["cases"][0]["path"] == ["A"]


async def test_a_merge_said_since_had_not_been_said_then(line: Line) -> None:
    merged = said("patient.merged", into="p1").of("p2", "default").on(MONDAY + timedelta(days=9)).named("m")
    await told(line, *moved("p1", "AB"), *moved("p2", "CDC"), *moved("p3", "A"), merged)
    async with served(line) as api, await api.client() as client:
        now = (await client.get("/v1/cases/c-p2")).json()["cases"]
        then = (await client.get("/v1/cases/c-p2?as_of=2026-03-05T00:00:00Z")).json()["cases"]
        listed = (await client.get("/v1/cases?as_of=2026-03-05T00:00:00Z")).json()["cases"]
        later = (await client.get("/v1/cases?as_of=2026-04-05T00:00:00Z")).json()["cases"]
        file = (await client.get("/v1/patients/p2?as_of=2026-03-05T00:00:00Z")).json()

    assert [(case["patient"], case["path"]) for case in now] == [("p1", ["C", "D", "C"])]
    assert [(case["patient"], case["path"]) for case in then] == [("p2", ["C", "D", "C"])]
    assert {(case["patient"], case["case"]) for case in listed} == {("p1", "c-p1"), ("p2", "c-p2"), ("p3", "c-p3")}
    assert {(case["patient"], case["case"]) for case in later} == {("p1", "c-p1"), ("p1", "c-p2"), ("p3", "c-p3")}
    assert [case["case"] for case in file["case_list"]] == ["c-p2"]


async def test_waiting_for_what_one_wrote(line: Line) -> None:
    await told(line, *moved("p1", "A"))
    async with served(line) as api, await api.client() as client:
        row, *_ = await line.fetch("select partition, next_offset from parcours.checkpoint where next_offset > 0")
        place = f"{row['partition']}:{row['next_offset']}"
        asking = asyncio.create_task(client.get(f"/v1/cases?after={place}"))
        await asyncio.sleep(0.2)
        assert not asking.done()
        same = moved("p1", "A", 1)
        await told(line, *[fact.named("p1-late") for fact in same])

        assert (await asking).status_code == 200
