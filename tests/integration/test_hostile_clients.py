"""Clients that are slow, huge, deep or dishonest get a clear refusal, and cost nobody else anything."""

import asyncio
import gzip

import httpx2
import psutil
import pytest

from services import http_guard
from tests.builders import lines, worked
from tests.line import Line
from tests.served import served


async def raw(url: str, sent: bytes, seconds: float = 10, *, most: int = 4_000) -> bytes:
    """The beginning of what a server answers to some bytes; with `most` -1 all of it, until it closes."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(seconds):
            return await reader.read(most)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


async def test_slow_headers_are_cut_off_and_others_are_served_meanwhile(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_guard, "SLOWEST_HEADERS", 1.0)
    async with served(line) as api, await api.client() as client:
        slow = [
            asyncio.create_task(raw(api.url, b"GET /v1/cases HTTP/1.1\r\nHost: x\r\nX-Slow: ", 20)) for _ in range(50)
        ]
        await asyncio.sleep(0.2)

        assert (await client.get("/v1/cases")).status_code == 200
        answers = await asyncio.gather(*slow)

    assert all(b"408" in answer for answer in answers)


async def test_a_slow_body_is_cut_off_and_headers_that_trickle_in_are_counted(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_guard, "SLOWEST_BODY", 0.5)
    begun = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nAuthorization: Bearer "
    async with served(line) as api, await api.client("emitter") as client:
        token = client.headers["authorization"].partition(" ")[2].encode()
        slow = await raw(api.url, begun + token + b"\r\n\r\n{", 20)
        unfinished = await raw(api.url, b"GET /v1/cases HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 100_000, 20)

    assert b"408" in slow.split(b"\r\n")[0]
    assert b"the body did not come in time" in slow
    assert b"431" in unfinished.split(b"\r\n")[0]


async def test_trailers_are_counted_and_each_request_has_its_own_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_guard, "SLOWEST_BODY", 0.6)
    chunked = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    post = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    async with served(line) as api:
        many = await raw(api.url, chunked + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)), most=-1)
        long = await raw(api.url, chunked + b"X-Long: " + b"y" * 3_000_000, most=-1)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        writer.write(post + b"{")
        for _ in range(4):  # the end of one request and the beginning of the next, in one piece
            await asyncio.sleep(0.3)
            writer.write(b"}" + post + b"{")
        await asyncio.sleep(0.1)
        writer.write(b"}")
        await asyncio.sleep(0.2)
        writer.close()
        answers = await reader.read()

    assert all(b"200" not in answer and b"202" not in answer for answer in (many, long))
    assert answers.count(b"HTTP/1.1 401") == 5
    assert b"408" not in answers


async def test_two_requests_in_one_piece_are_both_answered(line: Line) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(line) as api:
        answer = await raw(api.url, one + one.replace(b"Host: x", b"Host: x\r\nConnection: close"), most=-1)

    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_ten_thousand_headers_are_refused(line: Line) -> None:
    many = b"".join(b"X-%d: y\r\n" % n for n in range(10_000))
    async with served(line) as api:
        answer = await raw(api.url, b"GET /v1/cases HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")

        assert b"431" in answer.split(b"\r\n")[0]
        async with httpx2.AsyncClient(trust_env=False) as other:
            assert (await other.get(f"{api.url}/readyz")).status_code in (200, 503)


async def test_deep_zipped_and_oversized_bodies_are_refused_within_bounded_memory(line: Line) -> None:
    async with served(line) as api, await api.client("emitter") as client:
        kind = {"content-type": "application/cloudevents+json"}
        before = psutil.Process().memory_info().rss
        deep = await client.post("/v1/events", content=b"[" * 100_000, headers=kind)
        nested = await client.post("/v1/events", content=b'{"a":' * 100_000 + b"1" + b"}" * 100_000, headers=kind)
        bomb = gzip.compress(b"0" * 50_000_000)
        zipped = await client.post("/v1/events", content=bomb, headers=kind | {"content-encoding": "gzip"})
        large = await client.post("/v1/events", content=b"x" * (6 * 1024 * 1024), headers=kind)

        assert (deep.status_code, nested.status_code, zipped.status_code, large.status_code) == (422, 422, 415, 413)
        assert psutil.Process().memory_info().rss - before < 200_000_000
        assert all(
            answer.headers["content-type"] == "application/problem+json" for answer in (deep, nested, zipped, large)
        )


async def test_ids_of_every_kind_are_answered_without_an_error_of_ours(line: Line) -> None:
    await line.publish(lines(worked("A", case="c/1?x=<b>&\"'").of("p/ü 1", "default")))
    await line.project()
    strange = [
        "c%2F1%3Fx%3D%3Cb%3E%26%22%27",
        "%00",
        "%F0%9F%98%80",
        "a" * 300,
        "..%2f..%2fetc",
        "'; drop table x; --",
        "%ED%A0%80",
        "\u2028",
    ]
    async with served(line) as api, await api.client("operator") as client:
        for name in strange:
            for place in ("cases", "claims", "patients", "alerts"):
                answer = await client.get(f"/v1/{place}/{name}")
                assert answer.status_code in (200, 404, 422), (place, name)
        for query in (
            "limit=-1",
            "limit=1e9",
            "next=%00",
            "as_of=yesterday",
            "min_level=B9",
            "department=%00",
            "older_than_days=99999999",
            "as_of=2026-03-02T09:00:00Z",
        ):
            assert (await client.get(f"/v1/cases?{query}")).status_code in (200, 404, 422), query
        assert (await client.get("/v1/cases/c%2F1%3Fx%3D%3Cb%3E%26%22%27")).status_code == 200
