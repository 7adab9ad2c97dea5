"""The read tables as the projector writes them: their columns in their order, and the types of these."""

from dataclasses import dataclass

from services.projector.encoding import KINDS


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the projector writes it: its columns and their types; the first `keys` of them are its key."""

    name: str
    keys: int
    columns: tuple[str, ...]
    kinds: list[int]


def _table(name: str, keys: int, **columns: str) -> Table:
    return Table(name, keys, tuple(columns), [KINDS[kind] for kind in columns.values()])


TIMELINE = _table(
    "timeline", 0, tenant="text", patient="text", subject="text", source="text", id="text", type="text",
    occurred_at="timestamptz", recorded_at="timestamptz", partition="smallint", is_known="boolean",
    is_conflicting="boolean", raw="bytea",
)  # fmt: skip
PATIENT = _table(
    "patient", 2, tenant="text", patient="text", partition="smallint", bounced="boolean", cases="integer", claims="integer",
    facts="integer", next_due_at="timestamptz", last_sign="timestamptz", is_quarantined="boolean",
)  # fmt: skip
CASE = _table(
    "case_path", 3, tenant="text", patient="text", case_id="text", topic="text", path="text[]", handoffs="integer",
    hops="integer", distinct_departments="integer", returns="integer", direct_returns="integer", alternation="integer",
    sterile="integer", carried="integer", level="text", bounced="boolean", state="text", department="text",
    since="timestamptz", substantive_answer_at="timestamptz", first_sign="timestamptz", last_sign="timestamptz",
    visits_at="timestamptz[]", visits_planned="boolean[]", visits_sterile="boolean[]",
)  # fmt: skip
CLAIM = _table(
    "claim", 3, tenant="text", patient="text", claim_id="text", case_id="text", jurisdiction="text", t0="timestamptz",
    state="text", is_over="boolean", unanswered="boolean", ladder="text", chases="integer", answered_at="timestamptz",
    due_at="timestamptz", answered_late="boolean", department="text", clocks="jsonb",
)  # fmt: skip
FINDING = _table(
    "finding", 2, tenant="text", id="text", kind="text", patient="text", case_id="text", claim_id="text", topic="text",
    department="text", level="text", is_open="boolean", opened_at="timestamptz", shown_at="timestamptz", is_old="boolean",
    reasons="jsonb",
)  # fmt: skip
CONTACT = _table(
    "contact", 3, tenant="text", patient="text", contact_id="text", at="timestamptz", topic="text", channel="text",
    department="text", case_id="text", courtesy="boolean",
)  # fmt: skip
ANNOUNCED = _table(
    "announced", 2, tenant="text", finding="text", patient="text", n="integer", level="text", is_raised="boolean",
    said_at="timestamptz", cause="text", raised_at="timestamptz",
)  # fmt: skip
OUTBOX = _table(
    "outbox", 0, partition="integer", tenant="text", patient="text", key="text", value="bytea", finding="text", act="text",
    number="bigint",
)  # fmt: skip
