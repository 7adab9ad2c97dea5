"""What can happen: the facts, their envelope, and the contract other people's systems rely on (EVENTS.md)."""

from events.native import before

__path__ = before("events", __path__)
