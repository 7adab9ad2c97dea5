"""What the OpenAPI document shows: an answer of every route, and how refusals look."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

CASE = {
    "tenant": "north", "case": "c-1", "patient": "p-4411", "topic": "billing", "path": ["admissions", "billing", "admissions"],
    "handoffs": 2, "hops": 2, "distinct": 2, "returns": 1, "direct_returns": 1, "alternation": 3, "sterile": 0, "carried": 1,
    "level": "B2", "bounced": True, "state": "open", "department": "admissions", "since": "2026-03-04T09:00:00Z",
    "substantive_answer_at": None, "first_sign": "2026-03-02T09:00:00Z", "last_sign": "2026-03-04T09:00:00Z",
}  # fmt: skip
CLOCK = {
    "clock": "answer", "instance": 1, "state": "breached", "started_at": "2026-03-02T09:00:00Z", "due_at": "2026-03-31T00:00:00Z",
    "met_at": None,
}  # fmt: skip
CLAIM = {
    "tenant": "north", "claim": "k-7", "patient": "p-4411", "case": "c-1", "jurisdiction": "fr-csp", "t0": "2026-03-02T09:00:00Z",
    "state": "open", "unanswered": True, "ladder": "U3", "chases": 1, "answered_at": None, "clocks": [CLOCK],
    "due_at": "2026-03-31T00:00:00Z", "department": "billing",
}  # fmt: skip
REASON = {
    "code": "returns", "text_en": "came back once to a department that had sent it away",
    "text_fr": "revenu 1 fois dans un service qui l'avait renvoyé", "evidence": ["/north/switchboard#01939f3e"],
}  # fmt: skip
FINDING = {
    "tenant": "north", "id": "bounced_case:p-4411:c-1:1", "kind": "bounced_case", "patient": "p-4411", "case": "c-1", "claim": None,
    "topic": None, "department": "admissions", "level": "B2", "open": True, "opened_at": "2026-03-04T09:00:00Z", "reasons": [REASON],
}  # fmt: skip
ALERT = {
    "alert": "bounced_case:p-4411:c-1:1", "number": 12, "n": 1, "state": "raised", "level": "B2",
    "title_en": "Case sent from department to department", "title_fr": "Dossier ballotté de service en service", "patient": "p-4411",
    "case": "c-1", "claim": None, "department": "admissions", "raised_at": "2026-03-04T09:00:02Z", "reasons": [REASON], "act": None,
}  # fmt: skip
FACT = {
    "occurred_at": "2026-03-02T09:00:00Z", "recorded_at": "2026-03-02T09:00:01Z", "type": "parcours.case.worked.v1",
    "department": "admissions", "to_department": None, "fact": "/north/switchboard#01939f3e",
}  # fmt: skip
PLACE = {"partition": 7, "offset": 1_234}
FOUND: dict[str, Any] = {
    "/v1/cases": {"cases": [CASE], "next": None},
    "/v1/cases/{case:path}": {"cases": [CASE | {"visits": [], "claims": [CLAIM], "findings": [FINDING], "timeline": [FACT]}]},
    "/v1/cases/{case:path}/timeline": {"timelines": [{"patient": "p-4411", "timeline": [FACT]}]},
    "/v1/claims": {"claims": [CLAIM], "next": None},
    "/v1/claims/{claim:path}": {
        "claims": [CLAIM | {"explanation": [{"text_en": "2 March 2026: …", "text_fr": "2 mars 2026 : …", "fact": "/s#1"}]}]
    },
    "/v1/patients/{patient:path}": {
        "tenant": "north", "patient": "p-4411", "bounced": True, "cases": 1, "claims": 1, "case_list": [CASE], "claim_list": [CLAIM],
        "findings": [FINDING], "timeline": [FACT],
    },
    "/v1/departments": {
        "departments": [{"department": "admissions", "sent": 120, "received": 90, "came_back": 12, "returned_share": 0.1,
                         "sterile_share": 0.05, "held_hours": 31.5, "holds": 14, "holds_bounced": 2}],
        "moves": [{"here": "admissions", "there": "billing", "moves": 40, "planned": 3, "returns": 6, "sterile": 2}],
    },
    "/v1/flows": {"flows": [{"topic": "organ donation", "weeks": [0, 1], "channels": {"phone": 1}, "contacts": 1, "a_week": 0.04,
                             "of_weeks": 26, "is_small": True, "bounced": 0, "unanswered": 0}]},
    "/v1/findings": {"findings": [FINDING]},
    "/v1/summary": {"tenant": "north", "watermark": "2026-03-20T00:00:00Z", "events": 8577, "cases": 1434, "bounced_cases": 971},
    "/v1/accesses": {"accesses": [{"at": "2026-03-05T08:00:00Z", "who": "1a2b3c4d", "patient": "p-4411", "what": "case c-1"}]},
    "/v1/alerts": {"alerts": [ALERT]},
    "/v1/alerts/{alert:path}": ALERT,
    "/v1/alerts/{alert:path}/acknowledge": PLACE,
    "/v1/alerts/{alert:path}/silence": PLACE,
    "/v1/alerts/{alert:path}/dismiss": PLACE,
    "/v1/alerts/deliveries": {"deliveries": [{"name": "msg_5f…", "subscription": "1a2b3c4d", "state": "delivered", "attempts": 1}]},
    "/v1/alerts/quality": {"quality": [{"rule": "bounced_case", "department": "admissions", "month": "2026-03", "raised": 12,
                                        "useful": 10, "dismissed": 1, "useful_share": 0.909}]},
    "/v1/subscriptions": {"subscriptions": [{"id": "1a2b3c4d", "kind": "webhook", "to": "https://example.org/hook", "state": "active"}]},
    "/v1/events": {"id": "01939f3e-7c1a-7cc4-9d3e-0c1f6a5b2e10"} | PLACE,
}  # fmt: skip
REFUSALS = {
    401: ("Unknown token", "this token is not known, or was revoked"),
    403: ("Role needed", "this needs the role operator, the token has reader"),
    404: ("Not found", "there is no such case"),
    422: ("Not valid", "limit: Input should be less than or equal to 1000"),
    503: ("Not now", "the log is away: nothing was accepted; send it again, ids make that safe"),
}


def show_examples(api: FastAPI) -> None:
    """Give every route of the API an example of its answer, and of its refusals."""
    for route in api.routes:
        if not isinstance(route, APIRoute) or not route.path.startswith("/v1/"):
            continue
        for status, (title, detail) in REFUSALS.items():
            document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
            content = {"application/problem+json": {"example": document}}
            route.responses.setdefault(status, {"description": title, "content": content})
        if route.path in FOUND:
            status = route.status_code or 200
            content = {"application/json": {"example": FOUND[route.path]}}
            route.responses[status] = {"description": "as it is", "content": content}
