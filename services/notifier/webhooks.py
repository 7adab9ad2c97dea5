"""Webhooks by the Standard Webhooks specification: signed, thin, never into our own house."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
from standardwebhooks.webhooks import Webhook

from services.webhook_addresses import Forbidden, check_address, resolved

LIMIT = 15.0
LONGEST_ANSWER = 4_096


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. `again_in` is what the receiver asked for, in seconds."""

    ok: bool
    text: str
    gone: bool = False
    again_in: float | None = None


def signed(name: str, body: bytes, keys: tuple[str, ...], at: datetime) -> dict[str, str]:
    """The headers of a message; while a secret is changed, both sign."""
    # the library takes the time as naive UTC
    naive = at.astimezone(UTC).replace(tzinfo=None)
    signatures = " ".join(Webhook(key).sign(msg_id=name, timestamp=naive, data=body.decode()) for key in keys)
    return {
        "content-type": "application/json", "user-agent": "Parcours", "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signatures,
    }  # fmt: skip


async def post(
    client: httpx2.AsyncClient, url: str, headers: dict[str, str], body: bytes, allowed: frozenset[str]
) -> Answer:
    """One attempt, at most 15 s. A redirect is not followed: the specification counts it as a failure."""
    try:
        host, port = check_address(url, allowed)
        async with asyncio.timeout(LIMIT):
            address = await resolved(host, port, allowed)
            # we connect to the address that was judged: a second look-up could give another
            target = httpx2.URL(url).copy_with(host=address)
            shown = host if httpx2.URL(url).port is None else f"{host}:{port}"
            async with client.stream(
                "POST", target, headers=headers | {"host": shown}, content=body, extensions={"sni_hostname": host}
            ) as answer:
                size = 0
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                    if size > LONGEST_ANSWER:
                        break
                return judged(answer.status_code, answer.headers)
    except Forbidden as forbidden:
        return Answer(ok=False, text=str(forbidden))
    except TimeoutError:
        return Answer(ok=False, text=f"no answer within {LIMIT:.0f} s")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as wrong:
        return Answer(ok=False, text=f"{type(wrong).__name__}: {wrong}"[:200])


def judged(status: int, headers: httpx2.Headers) -> Answer:
    """2xx is taken; 410 is for ever; anything else is tried again, not before `Retry-After`."""
    if 200 <= status < 300:
        return Answer(ok=True, text=str(status))
    if status == httpx2.codes.GONE:
        return Answer(ok=False, text="410: gone", gone=True)
    note = " (redirects are not followed)" if 300 <= status < 400 else ""
    return Answer(ok=False, text=f"{status}{note}", again_in=_asked(headers.get("retry-after")))


def _asked(said: str | None) -> float | None:
    if said is None:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
