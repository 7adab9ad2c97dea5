"""An alert as other systems receive it: the envelope and data of EVENTS section 4. No patient's words, ever."""

from datetime import datetime
from typing import Any

from events.envelope import Recorded, parsed, partition_key, written
from events.identity import alert_id
from projections.announcing import ToSay, severity
from projections.findings import Finding
from projections.patient import PatientFile
from projections.words import TITLES, reasons

SOURCE = "/parcours/findings"
MOST_EVIDENCE = 30


def reason_rows(file: PatientFile, found: Finding) -> list[dict[str, Any]]:
    """Why, in both languages, with at most the latest thirty facts that show each reason."""
    return [
        {"code": said.code, "text_en": said.en, "text_fr": said.fr, "evidence": list(said.evidence[-MOST_EVIDENCE:])}
        for said in reasons(file, found)
    ]


def kind_of(finding: str) -> str:
    return finding.split(":", 1)[0]


def alert(file: PatientFile, said: ToSay, at: datetime, cause: Recorded | None) -> dict[str, Any]:
    """The CloudEvent of one alert, as of an instant of the log."""
    found = said.finding
    kind = kind_of(said.id)
    title_en, title_fr = TITLES[kind]
    data: dict[str, Any] = {
        "alert": said.id, "n": said.n, "rule": kind, "level": said.level, "severity": severity(kind, said.level),
        "patient": file.patient, "title_en": title_en, "title_fr": title_fr,
        "reasons": [] if found is None else reason_rows(file, found),
        "policy": {"id": file.policy.id, "version": file.policy.version},
        "opened_at": written(at if found is None else found.opened_at),
        "link": f"/patients/{file.patient}",
    }  # fmt: skip
    if found is not None:
        optional = {
            "case": found.case,
            "claim": found.claim,
            "department": found.department,
            "due_at": _due(file, found),
        }
        data |= {name: value for name, value in optional.items() if value is not None}
    if said.cause is not None:
        data["reason"] = said.cause
    envelope = {
        "specversion": "1.0", "id": alert_id(file.tenant, said.id, said.n), "source": SOURCE,
        "type": f"parcours.alert.{said.act}.v1", "tenant": file.tenant, "subject": file.patient,
        "partitionkey": partition_key(file.tenant, file.patient), "time": written(at), "recordedtime": written(at),
        "datacontenttype": "application/json", "data": data,
    }  # fmt: skip
    if cause is not None:
        envelope["causationid"] = cause.id
        if b'"correlationid"' in cause.raw or b'"traceparent"' in cause.raw:
            stated = parsed(cause.raw)
            for name in ("correlationid", "traceparent"):
                if isinstance(stated.get(name), str):
                    envelope[name] = stated[name]
    return envelope


def _due(file: PatientFile, found: Finding) -> str | None:
    claim = file.claims.get(found.claim or "")
    if claim is None or found.kind not in ("unanswered_claim", "deemed_decision"):
        return None
    clock = claim.current.get("final" if found.kind == "deemed_decision" else "answer")
    return None if clock is None else written(clock.due_at)
