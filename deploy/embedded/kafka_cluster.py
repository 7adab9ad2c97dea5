"""Three real brokers in a folder, loopback only: what `min.insync.replicas=2` promises can be tried here."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded import kafka_server
from deploy.embedded.kafka_server import KafkaServer
from deploy.embedded.server_process import LOOPBACK, pick_ports, read_json, write_whole

SETTINGS: Mapping[str, object] = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "unclean.leader.election.enable": "false",
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1000,
}


@dataclass
class KafkaCluster:
    """The brokers by number, from 1."""

    folder: Path
    prepared: kafka_server.Prepared
    identity: str
    voters: str
    brokers: dict[int, KafkaServer]

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def start(self, node: int) -> None:
        """Start a broker (again)."""
        folder = self.folder / f"broker-{node}"
        self.brokers[node] = kafka_server.start_node(
            folder, self.prepared, node, self.identity, {**SETTINGS, "controller.quorum.voters": self.voters}
        )

    def stop(self) -> None:
        for broker in self.brokers.values():
            broker.stop()


def start(folder: Path, cache: Path, nodes: int = 3) -> KafkaCluster:
    """A cluster, new or as it was."""
    kept = read_json(folder / "cluster.json")
    ports = kept.get("ports")
    if not isinstance(ports, list):
        ports = pick_ports(2 * nodes)
        kept = {"identity": kafka_server.identity(), "ports": ports}
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "cluster.json", json.dumps(kept) + "\n")
        for n in range(nodes):
            (folder / f"broker-{n + 1}").mkdir(exist_ok=True)
            own = {"broker": ports[2 * n], "controller": ports[2 * n + 1]}
            write_whole(folder / f"broker-{n + 1}" / "ports.json", json.dumps(own) + "\n")
    voters = ",".join(f"{n + 1}@{LOOPBACK}:{ports[2 * n + 1]}" for n in range(nodes))
    made = KafkaCluster(folder, kafka_server.prepare(cache), str(kept["identity"]), voters, {})
    with ThreadPoolExecutor(nodes) as at_once:  # a quorum answers only once most of it is there
        list(at_once.map(made.start, range(1, nodes + 1)))
    made.brokers = dict(sorted(made.brokers.items()))
    return made
