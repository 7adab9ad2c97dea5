"""A trace from the emitter's `traceparent` to the webhook, as a collector sees it. EVENTS section 4."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx2
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.embedded.server_process import pick_ports
from events.envelope import written
from services import tables_alerts as tables
from services.log import values_from
from services.servers import Servers
from services.settings import ALERTS
from services.tables import connected
from services.tables_alerts import Subscription
from services.webhook_addresses import new_secret
from tests.integration.test_processes import COMMAND, _is_ready, alone
from tests.receiver import Receiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
STEPS = {"accept", "project", "deliver"}
RULES = 'version = "f"\n[[rule]]\nid = "all"\nfindings = ["bounced_case"]\nat_any_hour = true\n'


@dataclass
class Collector:
    """What an OpenTelemetry collector is sent: (service, span, trace id, attributes)."""

    url: str = ""
    spans: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            names = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            told = ExportTraceServiceRequest.FromString(await reader.readexactly(int(names[b"content-length"])))
            for resource in told.resource_spans:
                service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    said = {a.key: str(a.value) for a in span.attributes}
                    self.spans.append((service, span.name, span.trace_id.hex(), said))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a port of its own."""
    found = Collector()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await found.take(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield found


async def test_one_trace_leads_from_the_emitter_to_the_webhook(
    servers: Servers, database: str, tmp_path: object
) -> None:
    (port,) = pick_ports(1)
    async with collecting() as collector, Receiver() as receiver:
        environment = os.environ | {
            "PARCOURS_HOME": str(tmp_path), "PARCOURS_KAFKA": servers.kafka_address, "PARCOURS_POSTGRES": database,
            "PARCOURS_PARTITIONS": "3", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200",
        }  # fmt: skip
        await asyncio.to_thread(subprocess.run, [*COMMAND, "run", "tables"], env=environment, check=True, timeout=60)
        await _subscribe(database, receiver.url)
        made = await asyncio.to_thread(
            subprocess.run, [*COMMAND, "token", "create", "--tenant", "traced", "--role", "operator", "--json"],
            env=environment, check=True, timeout=60, capture_output=True,
        )  # fmt: skip
        await asyncio.to_thread(_tell, environment, port, json.loads(made.stdout)["token"])
        async with asyncio.timeout(40):
            while not {name for _, name, trace, _ in collector.spans if trace == TRACE} >= STEPS:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    mine = [one for one in collector.spans if one[2] == TRACE]
    assert {service for service, *_ in mine} == {"parcours"}
    assert not any("p-secret" in str(attributes) for *_, attributes in mine)
    assert [one.trace.split("-")[1] for one in receiver.taken if one.trace] == [TRACE]
    alerts = map(orjson.loads, await values_from(servers.kafka_address, ALERTS, {}))
    (said,) = [one for one in alerts if one["tenant"] == "traced"]
    assert said["traceparent"].split("-")[1] == TRACE
    assert said["correlationid"] == "call-17"


async def _subscribe(database: str, url: str) -> None:
    async with connected(database, "tests") as connection:
        await tables.set_setting(connection, "rules", RULES)
        await tables.set_setting(connection, "allowed_hosts", ["127.0.0.1"])
        one = Subscription("s1", "traced", "webhook", url, "team", "en", {}, None, None, (new_secret(),), "active")
        await tables.add_subscription(connection, one)


def _tell(environment: dict[str, str], port: int, token: str) -> None:
    """Three facts that bounce somebody, the last with a trace; the processes end afterwards, and send what they have."""
    headers = {"authorization": f"Bearer {token}"}
    with (
        alone(environment, "run", "projector"), alone(environment, "run", "notifier"),
        alone(environment, "run", "api", "--port", str(port)),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client,
    ):  # fmt: skip
        while not _is_ready(client):
            pass
        for n, department in enumerate("ABCA"):
            fact = {
                "specversion": "1.0", "id": str(n), "source": "/t", "type": "parcours.case.worked.v1", "tenant": "traced",
                "subject": "p-secret", "time": written(datetime.now(UTC) - timedelta(hours=4 - n)), "data": {"case": "c1", "department": department},
                "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "correlationid": "call-17",
            }  # fmt: skip
            place = client.post("/v1/events", json=fact).raise_for_status().json()
        client.get(f"/v1/cases/c1?after={place['partition']}:{place['offset']}", timeout=30).raise_for_status()
        while not client.get("/v1/alerts/deliveries?state=delivered").json()["deliveries"]:
            pass
