"""What happens to one contact between a patient and the service. EVENTS section 2."""

from typing import Literal

from events.fields import Channel, Data, Flag, Id, Seconds, Text


class ContactReceived(Data, frozen=True, kw_only=True):
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


class ContactHandled(Data, frozen=True, kw_only=True):
    """A department dealt with it."""

    contact: Id
    department: Id
    case: Id | None = None
    topic: Id | None = None
    outcome: Literal["answered", "partial", "redirected", "callback", "none"]
    substantive: Flag | None = None
    handle_seconds: Seconds | None = None


class ContactRedirected(Data, frozen=True, kw_only=True):
    """A patient is told to call the other department. Cold when not warm: the patient carries the case on alone."""

    contact: Id
    from_department: Id
    to_department: Id
    warm: Flag = False
    case: Id | None = None
    topic: Id | None = None
    context_passed: Flag | None = None
    reason: Text | None = None


class ContactAbandoned(Data, frozen=True, kw_only=True):
    """Hung up, gave up."""

    contact: Id
    queue: Text | None = None
    waited_seconds: Seconds | None = None


class ContactSent(Data, frozen=True, kw_only=True):
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


class ContactUndelivered(Data, frozen=True, kw_only=True):
    """That outbound contact never arrived."""

    contact: Id
    cause: Text | None = None


class ContactLinked(Data, frozen=True, kw_only=True):
    """Attached to a case afterwards."""

    contact: Id
    case: Id


class ContactUnlinked(Data, frozen=True, kw_only=True):
    """The attachment undone."""

    contact: Id
    case: Id


class ContactReclassified(Data, frozen=True, kw_only=True):
    """Correction of an earlier `contact.received`."""

    contact: Id
    courtesy: Flag | None = None
    topic: Id | None = None
