"""Every service by itself, on servers of one's own: as compose and Kubernetes run them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from deploy.embedded.server_process import pick_ports
from services.servers import Servers

COMMAND = [sys.executable, "-m", "services.command_line.main"]


@contextmanager
def alone(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One service, stopped by SIGTERM; it must end well."""
    process = subprocess.Popen([*COMMAND, *words], env=environment, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=40)
    assert process.returncode == 0, said.decode()[-2000:]


def test_the_services_run_alone_beside_servers_of_ones_own(servers: Servers, database: str, tmp_path: object) -> None:
    environment = os.environ | {
        "PARCOURS_HOME": str(tmp_path), "PARCOURS_KAFKA": servers.kafka_address, "PARCOURS_POSTGRES": database,
        "PARCOURS_PARTITIONS": "3",  # as the intake's tests make the topic on these servers
    }  # fmt: skip
    (port,) = pick_ports(1)
    subprocess.run([*COMMAND, "run", "tables"], env=environment, check=True, timeout=60)
    made = subprocess.run(
        [*COMMAND, "token", "create", "--tenant", "north", "--role", "operator", "--json"], env=environment, check=True,
        timeout=60, capture_output=True,
    )  # fmt: skip
    token = json.loads(made.stdout)["token"]
    with (
        alone(environment, "run", "projector"), alone(environment, "run", "notifier"), alone(environment, "run", "clock"),
        alone(environment, "run", "api", "--port", str(port)),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}, trust_env=False) as client,
    ):  # fmt: skip
        deadline = time.monotonic() + 60
        while not _is_ready(client):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for n, department in enumerate("ABA"):
            fact = {
                "specversion": "1.0", "id": str(n), "source": "/t", "type": "parcours.case.worked.v1", "tenant": "north",
                "subject": "p1", "time": f"2026-03-02T0{n}:00:00Z", "data": {"case": "c1", "department": department},
            }  # fmt: skip
            place = client.post("/v1/events", json=fact).raise_for_status().json()
        answer = client.get(f"/v1/cases/c1?after={place['partition']}:{place['offset']}", timeout=30)

    assert answer.json()["cases"][0]["path"] == ["A", "B", "A"]


def _is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False
