"""Alerts by HTTP: whose they are, what people do with them, and a stream that loses and doubles nothing."""

import asyncio
from datetime import UTC, datetime

import httpx2
import pytest

from services import guests
from tests.builders import lines, worked
from tests.line import Line
from tests.served import Served, served

ALERT = "bounced_case:p1:c-p1:1"


async def bounce(line: Line, *patients: str, tenant: str = "default") -> None:
    facts = [
        worked(name, f"c-{patient}").of(patient, tenant).named(f"{patient}-{n}") for patient in patients for n, name in enumerate("ABA")
    ]  # fmt: skip
    await line.publish(lines(*facts))
    await line.project()


async def test_the_list_one_alert_and_another_tenants(line: Line) -> None:
    await bounce(line, "p1")
    await bounce(line, "p9", tenant="south")
    async with served(line) as api, await api.client() as mine, await api.client(tenant="south") as theirs:
        (one,) = (await mine.get("/v1/alerts")).json()["alerts"]
        again = await mine.get(f"/v1/alerts/{ALERT}")

        assert (one["alert"], one["state"], one["level"]) == (ALERT, "raised", "B2")
        assert again.json()["reasons"][0]["text_fr"].startswith("2 passages")
        assert (await theirs.get(f"/v1/alerts/{ALERT}")).status_code == 404
        assert (
            await mine.get(f"/v1/alerts/{ALERT}", headers={"if-none-match": again.headers["etag"]})
        ).status_code == 304


async def test_pages_of_what_was_said_and_found_at_one_moment_leave_nothing_out(line: Line) -> None:
    await bounce(line, *(f"p{n}" for n in range(7)))
    await line.fetch("update parcours.announced set said_at = (select max(said_at) from parcours.announced)")
    async with served(line) as api, await api.client() as client:
        for address, list_of, name in (("/v1/alerts", "alerts", "alert"), ("/v1/findings", "findings", "id")):
            seen: list[str] = []
            more: str | None = ""
            while more is not None:
                page = (await client.get(address, params={"limit": 2} | ({"next": more} if more else {}))).json()
                seen += [one[name] for one in page[list_of]]
                more = page["next"]
            assert sorted(seen) == [f"bounced_case:p{n}:c-p{n}:1" for n in range(7)]
            assert (await client.get(f"{address}?next=x")).status_code == 422


async def test_a_person_acts_and_reads_their_own_write(line: Line) -> None:
    await bounce(line, "p1")
    async with served(line) as api, await api.client("operator") as operator, await api.client() as reader:
        assert (await reader.post(f"/v1/alerts/{ALERT}/acknowledge", json={"by": "me"})).status_code == 403
        assert (await operator.post(f"/v1/alerts/{ALERT}/dismiss", json={"by": "me"})).status_code == 422
        where = (await operator.post(f"/v1/alerts/{ALERT}/acknowledge", json={"by": "me", "reason": "calling"})).json()

        projecting = asyncio.create_task(line.project())
        got = await operator.get(f"/v1/alerts/{ALERT}?after={where['partition']}:{where['offset']}")
        await projecting

    assert got.json()["state"] == "acknowledged"
    assert got.json()["act"]["by"] == "me"


async def test_what_is_refused_is_a_problem_document(line: Line) -> None:
    async with served(line) as api, await api.client() as client, await api.client("emitter") as emitter:
        for answer, status in (
            (await client.get("/v1/nothing"), 404),
            (await client.delete("/v1/alerts"), 405),
            (await client.get("/v1/alerts?limit=0"), 422),
            (await client.get("/v1/alerts?after=1:x"), 422),
            (await client.get("/v1/alerts?after=99:1"), 422),
            (await emitter.get("/v1/alerts"), 403),
            (await client.get("/v1/alerts", headers={"authorization": "Bearer no"}), 401),
        ):
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["status"] == status


async def stream(api: Served, client: httpx2.AsyncClient, last: str | None, most: int) -> list[tuple[str, str]]:
    """Listen until so many events have come, then hang up."""
    found: list[tuple[str, str]] = []
    headers = {} if last is None else {"last-event-id": last}
    async with asyncio.timeout(10), client.stream("GET", "/v1/alerts/stream", headers=headers) as answer:
        number = kind = ""
        async for row in answer.aiter_lines():
            name, _, value = row.partition(": ")
            if name == "id":
                number = value
            elif name == "event":
                kind = value
            elif not row and kind:
                found.append((number, kind))
                kind = ""
                if len(found) == most:
                    return found
    return found


async def test_a_stream_that_breaks_again_and_again_has_no_gap_and_no_double(line: Line) -> None:
    async with served(line) as api, await api.client() as client:
        saying = asyncio.create_task(bounce(line, *(f"p{n}" for n in range(30))))
        seen: list[tuple[str, str]] = []
        last = "0"
        while len(seen) < 30:
            some = await stream(api, client, last, 3)
            seen += some
            last = some[-1][0]
        await saying

    assert [int(number) for number, _ in seen] == list(range(1, 31))


async def test_a_stream_ends_with_its_token(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "TOKENS_KEPT", 0.2)
    async with served(line) as api, await api.client() as client, asyncio.timeout(15):
        async with client.stream("GET", "/v1/alerts/stream") as answer:
            rows = answer.aiter_lines()
            assert await anext(rows) == ": listening"
            await line.fetch("update parcours.token set revoked_at = now()")
            await bounce(line, "p1")
            left = [row async for row in rows]  # until it ends
    assert "event" not in {row.partition(":")[0] for row in left} or len(left) < 10


async def test_a_webhook_is_added_by_http_and_its_secret_shown_once(line: Line) -> None:
    async with served(line) as api, await api.client("admin") as admin:
        inside = await admin.post("/v1/subscriptions", json={"kind": "webhook", "to": "http://127.0.0.1/hook"})
        made = await admin.post("/v1/subscriptions", json={"kind": "webhook", "to": "https://example.org/hook"})
        (listed,) = (await admin.get("/v1/subscriptions")).json()["subscriptions"]

        assert inside.status_code == 422
        assert made.json()["secret"].startswith("whsec_")
        assert "secret" not in listed
        for to in ("team@example.org\r\nBcc: a@example.org", "nobody"):
            wrong = await admin.post("/v1/subscriptions", json={"kind": "email", "to": to})
            assert (wrong.status_code, wrong.json()["field"]) == (422, "to")
        async with await api.client("admin", departments=["C"]) as limited:
            wish = {"kind": "webhook", "to": "https://example.org/hook"}
            assert (await limited.post("/v1/subscriptions", json=wish)).status_code == 403
            assert (await limited.post(f"{made.headers['location']}/pause")).status_code == 403
            assert (await limited.delete(made.headers["location"])).status_code == 403
        assert (await admin.delete(made.headers["location"])).status_code == 204
        assert datetime.now(UTC)
