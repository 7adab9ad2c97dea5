"""The common task on Pathway, with its persistence. Arguments: servers, topic, how many records it holds, a folder."""

import json
import sys
import time
from typing import Any

import pathway as pw

began = 0.0


@pw.udf
def case_of(value: bytes) -> str:
    """Whose and which case a fact moves; nothing for the others."""
    global began  # noqa: PLW0603 - a script
    began = began or time.perf_counter()
    fact: dict[str, Any] = json.loads(value)
    moves = fact["type"] in ("parcours.case.worked.v1", "parcours.contact.handled.v1")
    if fact["specversion"] != "1.0" or not moves or "department" not in fact["data"]:
        return ""
    return f"{fact['subject']}|{fact['data']['case']}"


@pw.udf
def place_of(value: bytes) -> str:
    """The department a fact names."""
    return str(json.loads(value)["data"].get("department", ""))


@pw.udf
def offset_of(metadata: pw.Json) -> int:
    """Where in its partition a fact lies: Pathway hands out the facts of a moment in no order."""
    return metadata["offset"].as_int()


@pw.reducers.stateful_many
def path(state: tuple[str, int] | None, rows: list[tuple[list[Any], int]]) -> tuple[str, int] | None:
    """The last department of a case, and how often it changed."""
    here, hops = state or ("", 0)
    for (_, place), _count in sorted(rows):
        hops += bool(here) and place != here
        here = place
    return (here, hops)


def main() -> None:
    servers, topic, total, folder = sys.argv[1:5]
    settings = {
        "bootstrap.servers": servers,
        "group.id": f"beside-pathway-{time.time_ns()}",
        "auto.offset.reset": "earliest",
    }
    facts = pw.io.kafka.read(settings, topic=topic, format="raw", mode="static", name="facts", with_metadata=True)
    read = facts.select(case=case_of(pw.this.data), place=place_of(pw.this.data), offset=offset_of(pw.this._metadata))
    moves = read.filter(pw.this.case != "")
    paths = moves.groupby(pw.this.case).reduce(pw.this.case, path=path(pw.this.offset, pw.this.place))
    last: dict[Any, int] = {}

    def change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:  # noqa: FBT001 - as it is called
        if is_addition:
            last[key] = row["path"][1]

    pw.io.subscribe(paths, change)
    pw.run(
        monitoring_level=pw.MonitoringLevel.NONE,
        persistence_config=pw.persistence.Config(pw.persistence.Backend.filesystem(folder)),
    )
    seconds = time.perf_counter() - began
    bounced = sum(hops >= 4 for hops in last.values())
    sys.stdout.write(json.dumps({"records": int(total), "seconds": seconds, "bounced": bounced}) + "\n")


if __name__ == "__main__":
    main()
