"""What happens to one contact between a patient and the service. EVENTS section 2."""

from dataclasses import dataclass
from typing import Literal

from events.fields import Channel, Data, Flag, Id, Seconds, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReceived(Data):
    """The patient, or someone for them, got in touch."""

    contact: Id
    channel: Channel
    topic: Id | None = None
    department: Id | None = None
    case: Id | None = None
    claim: Id | None = None
    on_behalf_of: Text | None = None
    planned: Flag = False
    invited: Flag = False
    courtesy: Flag = False
    dissatisfied: Flag | None = None
    text: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactHandled(Data):
    """A department dealt with it."""

    contact: Id
    department: Id
    case: Id | None = None
    topic: Id | None = None
    outcome: Literal["answered", "partial", "redirected", "callback", "none"]
    substantive: Flag | None = None
    handle_seconds: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRedirected(Data):
    """A patient is told to call the other department. Cold when not warm: the patient carries the case on alone."""

    contact: Id
    from_department: Id
    to_department: Id
    warm: Flag = False
    case: Id | None = None
    topic: Id | None = None
    context_passed: Flag | None = None
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactAbandoned(Data):
    """Hung up, gave up."""

    contact: Id
    queue: Text | None = None
    waited_seconds: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSent(Data):
    """Something went out."""

    contact: Id
    to: Literal["patient", "representative", "other"]
    channel: Channel
    kind: Literal["acknowledgement", "holding", "answer", "information", "callback"]
    case: Id | None = None
    claim: Id | None = None
    in_reply_to: tuple[Id, ...] = ()
    substantive: Flag | None = None
    delivered: Flag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactUndelivered(Data):
    """That outbound contact never arrived."""

    contact: Id
    cause: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLinked(Data):
    """Attached to a case afterwards."""

    contact: Id
    case: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactUnlinked(Data):
    """The attachment undone."""

    contact: Id
    case: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReclassified(Data):
    """Correction of an earlier `contact.received`."""

    contact: Id
    courtesy: Flag | None = None
    topic: Id | None = None
