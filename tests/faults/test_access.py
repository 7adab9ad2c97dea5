"""A Kafka of one's own that lets nobody in without a name and a password, over TLS: every client of ours comes in, and nobody else."""

import asyncio
import ipaddress
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from faststream.kafka import KafkaBroker

from deploy.embedded import kafka_server
from deploy.embedded.server_process import pick_ports
from services.log import LogUnavailable, Outgoing, end_offsets, hashes_before, values_from
from services.log_access import access, security
from services.log_topics import ensure_topics
from services.log_writing import LogWriter
from services.settings import BadSettings, settings

LOOPBACK, TOPIC = "127.0.0.1", "guarded"
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="parcours" password="word" user_parcours="word";'


def certificate() -> tuple[bytes, bytes]:
    """A key and a certificate of its own for loopback, as PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return private, made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker with a listener that asks for TLS and a password; we know both."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    port, controller, door = pick_ports(3)
    (folder / "ports.json").write_text(json.dumps({"broker": port, "controller": controller}))
    private, public = certificate()
    (tmp_path / "store.pem").write_bytes(private + public)
    (tmp_path / "authority.pem").write_bytes(public)
    kafka = kafka_server.start_node(
        folder, kafka_server.prepare(settings(tmp_path).cache), 1, kafka_server.identity(),
        {
            "listeners": f"BROKER://{LOOPBACK}:{port},DOOR://{LOOPBACK}:{door},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"BROKER://{LOOPBACK}:{port},DOOR://{LOOPBACK}:{door}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,DOOR:SASL_SSL,CONTROLLER:PLAINTEXT",
            "listener.name.door.sasl.enabled.mechanisms": "PLAIN", "listener.name.door.plain.sasl.jaas.config": JAAS,
            "listener.name.door.ssl.keystore.type": "PEM", "listener.name.door.ssl.keystore.location": str(tmp_path / "store.pem"),
        },
    )  # fmt: skip
    for name, value in (
        ("USER", "parcours"),
        ("PASSWORD", "word"),
        ("MECHANISM", "PLAIN"),
        ("CA", str(tmp_path / "authority.pem")),
    ):
        monkeypatch.setenv(f"PARCOURS_KAFKA_{name}", value)
    yield f"{LOOPBACK}:{door}"
    kafka.stop()


@pytest.mark.timeout(120)
async def test_every_client_comes_in_and_nobody_without_the_password(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_topics(guarded, [TOPIC], 2)
    writer = LogWriter(guarded)
    await writer.write(TOPIC, [Outgoing(b"{}", b"a", 0)])
    await writer.close()
    assert await values_from(guarded, TOPIC, {}) == [b"{}"]
    assert (await end_offsets(guarded, TOPIC))[0] == 1
    assert (await hashes_before(guarded, TOPIC, {0: 1}, lambda record: record.value))[0] == b"{}"

    broker, seen = KafkaBroker(guarded, security=security()), asyncio.Queue[bytes]()

    async def see(message: bytes) -> None:
        await seen.put(message)

    broker.subscriber(TOPIC, auto_offset_reset="earliest", group_id="guests", decoder=_raw)(see)
    await broker.start()
    async with asyncio.timeout(30):
        assert await seen.get() == b"{}"
    await broker.stop()

    monkeypatch.setenv("PARCOURS_KAFKA_PASSWORD", "guess")
    with pytest.raises(LogUnavailable):
        await end_offsets(guarded, TOPIC)


async def _raw(message: object) -> bytes:
    return bytes(getattr(message, "body", b""))


def test_what_is_half_said_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (access(), security()) == ({}, None)
    for settings_, word in (
        ({"USER": "parcours"}, "go together"),
        ({"USER": "a", "PASSWORD": "b", "MECHANISM": "GSSAPI"}, "must be one of"),
        ({"CA": "/nowhere.pem"}, "PARCOURS_KAFKA_CA"),
    ):
        with monkeypatch.context() as patched:
            for name, value in settings_.items():
                patched.setenv(f"PARCOURS_KAFKA_{name}", value)
            with pytest.raises(BadSettings, match=word):
                access()
    monkeypatch.setenv("PARCOURS_KAFKA_TLS", "1")
    assert access()["security_protocol"] == "SSL"
    assert SimpleNamespace(**access()).ssl_context.check_hostname
