"""The common task on Quix Streams, exactly once. Arguments: servers, topic, how many records it holds, a folder."""

import json
import sys
import time
from typing import Any

from quixstreams import Application, State

began = bounced = 0.0


def fold(value: bytes, state: State) -> None:
    """One fact into the paths of its patient."""
    global began, bounced  # noqa: PLW0603 - a script
    began = began or time.perf_counter()
    fact: dict[str, Any] = json.loads(value)
    data = fact["data"]
    moves = fact["type"] in ("parcours.case.worked.v1", "parcours.contact.handled.v1")
    if fact["specversion"] != "1.0" or not moves or "department" not in data:
        return
    path = state.get(data["case"])
    if path is None:
        state.set(data["case"], [data["department"], 0])
    elif path[0] != data["department"]:
        state.set(data["case"], [data["department"], path[1] + 1])
        bounced += path[1] + 1 == 4


def main() -> None:
    servers, topic, total, folder = sys.argv[1:5]
    app = Application(
        broker_address=servers, consumer_group=f"beside-quix-{time.time_ns()}", auto_offset_reset="earliest",
        processing_guarantee="exactly-once", state_dir=folder, loglevel="WARNING",
    )  # fmt: skip
    facts = app.dataframe(app.topic(topic, value_deserializer="bytes", key_deserializer="str"))
    facts.update(fold, stateful=True)
    app.run(count=int(total))
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"records": int(total), "seconds": seconds, "bounced": int(bounced)}) + "\n")


if __name__ == "__main__":
    main()
