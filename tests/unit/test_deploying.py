"""What stands in deploy for servers of one's own: what must not be lost lies where it is kept."""

import re
from pathlib import Path

import deploy

COMPOSE = (Path(deploy.__file__).parent / "compose.yml").read_text(encoding="utf-8")


def test_each_broker_keeps_the_log_in_its_volume() -> None:
    (folder,) = re.findall(r"^  KAFKA_LOG_DIRS: (\S+)", COMPOSE, re.MULTILINE)
    assert re.findall(r"volumes: \[kafka(\d):(\S+)\]", COMPOSE) == [(n, folder) for n in "123"]
