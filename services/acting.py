"""What people do with alerts, as facts for the log: taken on, silenced, dismissed. EVENTS section 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import uuid_utils

from events.catalogue import accepted
from events.envelope import Refused, partition_key, written
from events.times import instant
from services.log import Outgoing, Written
from services.log_writing import LogWriter
from services.settings import EVENTS

ActKind = Literal["acknowledged", "silenced", "dismissed"]
SOURCE = "/parcours/people"


class NotAnAct(ValueError):
    """An act that cannot be taken: why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to do with an alert."""

    kind: ActKind
    by: str
    reason: str | None = None
    until: str | None = None


def fact(tenant: str, patient: str, alert: str, wish: Wish, at: datetime) -> dict[str, Any]:
    """The act as a fact. Raises `NotAnAct` for one without what it needs."""
    data: dict[str, Any] = {"alert": alert, "by": wish.by, "actor": {"kind": "human", "id": wish.by[:128]}}
    if wish.kind == "dismissed" and not (wish.reason or "").strip():
        raise NotAnAct("dismissing needs a reason: it is what the rules learn from")
    if wish.reason:
        data["reason"] = wish.reason
    if wish.until and wish.kind != "dismissed":
        try:
            until = instant(wish.until)
        except ValueError as wrong:
            raise NotAnAct(f"until: {wrong}") from None
        if until <= at:
            raise NotAnAct(f"until: {wish.until} is over already")
        data["until"] = written(until)
    content = {
        "specversion": "1.0", "id": str(uuid_utils.uuid7()), "source": SOURCE, "type": f"parcours.alert.{wish.kind}.v1",
        "tenant": tenant, "subject": patient, "partitionkey": partition_key(tenant, patient), "time": written(at),
        "recordedtime": written(at), "datacontenttype": "application/json", "data": data,
    }  # fmt: skip
    try:
        accepted(content, orjson.dumps(content), at)
    except Refused as wrong:
        raise NotAnAct(str(wrong)) from None
    return content


async def act(
    log: LogWriter, targets: Sequence[tuple[str, str, str]], wish: Wish, topic: str = EVENTS
) -> list[Written]:
    """Write an act on some alerts (tenant, patient, alert) to the log. Raises `NotAnAct`, `LogUnavailable`."""
    at = datetime.now(UTC)
    facts = [fact(tenant, patient, alert, wish, at) for tenant, patient, alert in targets]
    return await log.write(topic, [Outgoing(orjson.dumps(one), one["partitionkey"].encode()) for one in facts])
