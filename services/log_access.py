"""How a Kafka of one's own is spoken to: who we are, and whom we trust. From the environment; by itself, in plain text on loopback."""

import os
import ssl
from typing import Any, Final

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from services.settings import BadSettings

MECHANISMS: Final = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


def access() -> dict[str, Any]:
    """What every client of aiokafka is told. Raises `BadSettings`."""
    user, mechanism, context = _user(), _mechanism(), _tls()
    told: dict[str, Any] = {}
    if user is not None:
        told |= {"sasl_mechanism": mechanism, "sasl_plain_username": user[0], "sasl_plain_password": user[1]}
    if context is not None:
        told["ssl_context"] = context
    if told:
        told["security_protocol"] = ("SASL_" if user else "") + ("SSL" if context else "PLAINTEXT")
    return told


def security() -> BaseSecurity | None:
    """The same, as FastStream wants it."""
    user, mechanism, context = _user(), _mechanism(), _tls()
    if user is not None:
        return MECHANISMS[mechanism](*user, use_ssl=context is not None, ssl_context=context)
    return None if context is None else BaseSecurity(ssl_context=context, use_ssl=True)


def _user() -> tuple[str, str] | None:
    user, password = os.environ.get("PARCOURS_KAFKA_USER"), os.environ.get("PARCOURS_KAFKA_PASSWORD")
    if bool(user) != bool(password):
        raise BadSettings("PARCOURS_KAFKA_USER and PARCOURS_KAFKA_PASSWORD go together: one of them is missing")
    return (user, password) if user and password else None


def _mechanism() -> str:
    found = os.environ.get("PARCOURS_KAFKA_MECHANISM") or "SCRAM-SHA-512"
    if found not in MECHANISMS:
        raise BadSettings(f"PARCOURS_KAFKA_MECHANISM must be one of {', '.join(MECHANISMS)}, not {found!r}")
    return found


def _tls() -> ssl.SSLContext | None:
    """With PARCOURS_KAFKA_TLS=1 the machine's authorities are trusted, with PARCOURS_KAFKA_CA the ones of that file."""
    authorities = os.environ.get("PARCOURS_KAFKA_CA") or None
    if authorities is None and not os.environ.get("PARCOURS_KAFKA_TLS"):
        return None
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as wrong:
        raise BadSettings(f"PARCOURS_KAFKA_CA: {authorities}: {wrong.strerror or wrong}") from None
