"""What stands in deploy for servers of one's own: what must not be lost lies where it is kept."""

import re
from pathlib import Path

import deploy

COMPOSE = (Path(deploy.__file__).parent / "compose.yml").read_text(encoding="utf-8")


MANIFEST = (Path(deploy.__file__).parent / "kubernetes" / "parcours.yml").read_text(encoding="utf-8")


def test_every_container_is_given_the_secret_and_is_asked_whether_it_lives_not_whether_all_is_well() -> None:
    containers = MANIFEST.count("image: parcours:")
    assert MANIFEST.count("{secretRef: {name: parcours}}") == containers
    assert "livenessProbe: {httpGet: {path: /healthz" not in MANIFEST
    (version,) = set(re.findall(r"image: parcours:(\S+)", MANIFEST))
    assert f"name: parcours-tables-{version}}}" in MANIFEST


def test_each_broker_keeps_the_log_in_its_volume() -> None:
    (folder,) = re.findall(r"^  KAFKA_LOG_DIRS: (\S+)", COMPOSE, re.MULTILINE)
    assert re.findall(r"volumes: \[kafka(\d):(\S+)\]", COMPOSE) == [(n, folder) for n in "123"]
