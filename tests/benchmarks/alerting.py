"""From the intake's answer to the webhook's arrival, at 50 facts a second, under a rule without wait.

`python -m tests.benchmarks.alerting`, or RATE=200 SECONDS=30. Prints the median and the 99th percentile, and what was lost or doubled.
"""

import asyncio
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import uvloop

from deploy.embedded import postgres_server
from services import tables_alerts as tables
from services.instance import Options, running
from services.security import create_token
from services.settings import Settings
from services.tables import connected
from services.tables_alerts import Subscription
from services.webhook_addresses import new_secret
from tests.receiver import Receiver

RULES = 'version = "b"\nraises_a_minute = 1000000\n[[rule]]\nid = "all"\nfindings = ["bounced_case"]\n'


def fact(patient: int, step: int) -> bytes:
    """One of the three moves that bounce a patient."""
    now = datetime.now(UTC).isoformat()
    return orjson.dumps(
        {
            "specversion": "1.0", "id": f"a-{patient}-{step}", "source": "/bench", "type": "parcours.case.worked.v1",
            "subject": f"p-{patient}", "time": now, "data": {"case": f"c-{patient}", "department": "ABA"[step]},
        }
    )  # fmt: skip


async def measure(api: str, postgres: str, rate: int, seconds: int) -> dict[str, Any]:
    """Post facts at a steady rate; how long each alert took to arrive."""
    arrived: dict[str, list[float]] = {}
    async with Receiver() as receiver:
        receiver.secret = new_secret()
        receiver.on_taken = lambda one: [  # each alert of the message
            arrived.setdefault(alert["patient"], []).append(time.perf_counter()) for alert in one.body["data"]["alerts"]
        ]
        async with connected(postgres, "bench") as connection:
            _, token = await create_token(connection, "default", "emitter", "bench")
            await tables.set_setting(connection, "rules", RULES)
            await tables.set_setting(connection, "allowed_hosts", ["127.0.0.1"])
            await tables.add_subscription(
                connection,
                Subscription(
                    "b1", "default", "webhook", receiver.url, "team", "fr", {}, None, None, (receiver.secret,), "active"
                ),
            )
        posted: dict[str, float] = {}
        headers = {"authorization": f"Bearer {token}", "content-type": "application/cloudevents+json"}
        async with httpx2.AsyncClient(base_url=api, headers=headers, trust_env=False) as client:
            started = time.perf_counter()
            for number in range(rate * seconds):
                patient, step = divmod(number, 3)
                answer = await client.post("/v1/events", content=fact(patient, step))
                answer.raise_for_status()
                if step == 2:
                    posted[f"p-{patient}"] = time.perf_counter()
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        deadline = time.perf_counter() + 30
        while len(arrived) < len(posted) and time.perf_counter() < deadline:  # noqa: ASYNC110 - it may look
            await asyncio.sleep(0.05)
    took = sorted(1000 * (arrived[patient][0] - at) for patient, at in posted.items() if patient in arrived)
    return {
        "alerts": len(posted), "lost": len(posted.keys() - arrived.keys()),
        "doubled": sum(len(times) > 1 for times in arrived.values()),
        "webhook_p50_ms": round(took[len(took) // 2], 1), "webhook_p99_ms": round(took[int(len(took) * 0.99)], 1),
    }  # fmt: skip


async def run(rate: int, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        try:
            async with running(Settings(Path(home)), Options(clock=False)) as instance:
                return await measure(instance.api, instance.servers.postgres_url, rate, seconds)
        finally:
            postgres_server.remove(Path(home) / "postgres")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(int(os.environ.get("RATE", "50")), int(os.environ.get("SECONDS", "20"))))
    sys.stdout.write(orjson.dumps(found).decode() + "\n")
