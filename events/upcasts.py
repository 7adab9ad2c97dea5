"""Old versions of facts, lifted to the current ones by pure functions. EVENTS section 5."""

from collections.abc import Callable
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


def contact_handled_v0(data: dict[str, Any]) -> dict[str, Any]:
    """Before the contract, a pilot said only whether the contact was resolved; the outcome says how."""
    lifted = {name: value for name, value in data.items() if name != "resolved"}
    lifted["outcome"] = "answered" if data.get("resolved") is True else "none"
    return lifted


UPCASTS: dict[str, tuple[str, Upcast]] = {
    "parcours.contact.handled.v0": ("parcours.contact.handled.v1", contact_handled_v0),
}


def lifted(kind: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The current type and data of a fact, whatever version it was sent in."""
    while (step := UPCASTS.get(kind)) is not None:
        kind, data = step[0], step[1](data)
    return kind, data
