"""Every type of fact and its version, a line each, and how a record becomes a fact. EVENTS section 2."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from events import alerts, cases, claims, clock, contacts, patients
from events.envelope import (
    Envelope,
    Recorded,
    Refused,
    checked,
    envelope,
    of_binary,
    parsed,
    storable,
)
from events.fields import Data
from events.reading import UNUSUAL, readers, stated
from events.upcasts import lifted

CURRENT: dict[str, type[Data]] = {
    "contact.received": contacts.ContactReceived,
    "contact.handled": contacts.ContactHandled,
    "contact.redirected": contacts.ContactRedirected,
    "contact.abandoned": contacts.ContactAbandoned,
    "contact.sent": contacts.ContactSent,
    "contact.undelivered": contacts.ContactUndelivered,
    "contact.linked": contacts.ContactLinked,
    "contact.unlinked": contacts.ContactUnlinked,
    "contact.reclassified": contacts.ContactReclassified,
    "case.opened": cases.CaseOpened,
    "case.taken": cases.CaseTaken,
    "case.declined": cases.CaseDeclined,
    "case.transferred": cases.CaseTransferred,
    "case.worked": cases.CaseWorked,
    "case.consulted": cases.CaseConsulted,
    "case.advised": cases.CaseAdvised,
    "case.escalated": cases.CaseEscalated,
    "case.closed": cases.CaseClosed,
    "case.reopened": cases.CaseReopened,
    "claim.registered": claims.ClaimRegistered,
    "claim.acknowledged": claims.ClaimAcknowledged,
    "claim.held": claims.ClaimHeld,
    "claim.answered": claims.ClaimAnswered,
    "claim.paused": claims.ClaimPaused,
    "claim.resumed": claims.ClaimResumed,
    "claim.contribution_requested": claims.ClaimContributionRequested,
    "claim.contribution_provided": claims.ClaimContributionProvided,
    "claim.withdrawn": claims.ClaimWithdrawn,
    "claim.reopened": claims.ClaimReopened,
    "claim.transferred_out": claims.ClaimTransferredOut,
    "claim.mediation_requested": claims.ClaimMediationRequested,
    "claim.mediator_met": claims.ClaimMediatorMet,
    "claim.mediator_reported": claims.ClaimMediatorReported,
    "claim.commission_advised": claims.ClaimCommissionAdvised,
    "claim.concluded": claims.ClaimConcluded,
    "fact.voided": patients.FactVoided,
    "recourse.opened": claims.RecourseOpened,
    "alert.raised": alerts.AlertRaised,
    "alert.revised": alerts.AlertRevised,
    "alert.resolved": alerts.AlertResolved,
    "alert.acknowledged": alerts.AlertAcknowledged,
    "alert.silenced": alerts.AlertSilenced,
    "alert.dismissed": alerts.AlertDismissed,
    "patient.merged": patients.PatientMerged,
    "patient.erased": patients.PatientErased,
    "clock.ticked": clock.ClockTicked,
}
PREFIX = "parcours."
TYPES: dict[str, type[Data]] = {f"{PREFIX}{name}.v1": model for name, model in CURRENT.items()}
KINDS: dict[str, str] = {kind: kind for kind in TYPES}
NAMES: dict[type[Data], str] = {model: name for name, model in CURRENT.items()}
READERS: dict[str, TypeAdapter[Data]] = {kind: TypeAdapter(model) for kind, model in TYPES.items()}
VALIDATE: dict[str, Callable[[object], Data]] = {kind: one.validator.validate_python for kind, one in READERS.items()}
AT_ONCE = readers(TYPES)
DATA = b'"data"'
TICK = "parcours.clock.ticked.v1"
BINARY: Final = "ce_specversion"


def read(kind: str, data: dict[str, Any]) -> Data | None:
    """The fact a `data` object states; None for an unknown type. Raises `Refused` naming the field and the rule."""
    kind, data = lifted(kind, data)
    reader = VALIDATE.get(kind)
    if reader is None:
        return None
    try:
        found = reader(data)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(["data", *(str(part) for part in first["loc"])])
        raise Refused(where, str(first["msg"])) from None
    return found


def fact(said: Envelope, raw: bytes) -> Recorded:
    """The fact an envelope carries; its data is None when this version does not know the type."""
    data = read(said.type, said.content.get("data", {}))
    return Recorded(
        said.tenant,
        said.subject,
        said.source,
        said.id,
        KINDS.get(said.type, said.type),  # one text for all of a kind: millions are held in memory
        said.time,
        said.recorded_at,
        data,
        raw,
    )


def decoded(value: bytes, headers: tuple[tuple[str, bytes | None], ...] = ()) -> Recorded:
    """One Kafka record, structured or binary, as a fact. Raises `Refused`."""
    if is_binary(headers):
        content = of_binary(headers, value)
        value = orjson.dumps(content)
    else:
        found = at_once(value)
        if found is not None:
            return found
        content = parsed(value)
    storable(content, value)
    return fact(envelope(content), value)


def at_once(value: bytes) -> Recorded | None:
    """The fact of a structured record by the fast reader; None where it has nothing to say. Raises `Refused` as `decoded` does."""
    # what is escaped may be what no column keeps, and of what is said twice only the last would be looked at
    if value.find(b"\\") >= 0 or value.count(DATA) != 1:  # `in` would take the bytes for a number first, and raise
        return None
    try:
        said = stated(value)
        reader = AT_ONCE.get(said.type)
        data = None if reader is None else reader(said.data)
    except UNUSUAL:
        return None
    if data is None:
        return None
    tenant, subject, source, name, kind, time, recorded_at = checked(
        said.specversion, said.tenant, said.subject, said.time, said.recordedtime, said.partitionkey, said.source, said.id, said.type,
    )  # fmt: skip
    return Recorded(tenant, subject, source, name, KINDS.get(kind, kind), time, recorded_at, data, value)


def is_binary(headers: tuple[tuple[str, bytes | None], ...]) -> bool:
    """Whether a record is in binary mode: it says its specversion in a header."""
    for name, _ in headers:  # noqa: SIM110 - a generator would be made for each record
        if len(name) == len(BINARY) and name.lower() == BINARY:
            return True
    return False


def accepted(content: dict[str, Any], raw: bytes, recorded_at: datetime) -> Recorded:
    """A fact at the intake's door, where `recordedtime` is ours. Raises `Refused`."""
    storable(content, raw)
    return fact(envelope(content, recorded_at), raw)
