"""The process that turns the log into tables. DESIGN section 4."""

from events.native import before

__path__ = before("services.projector", __path__)
