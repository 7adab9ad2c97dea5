"""The contract as files: JSON Schema 2020-12 of every fact, AsyncAPI 3 of the topics. EVENTS section 5.

`python -m events.contract` writes them anew; a test holds them against the models.
"""

import json
from pathlib import Path
from typing import Any

from events.catalogue import CURRENT, READERS, TYPES
from events.envelope import CONTENT_TYPE

FOLDER = Path(__file__).with_name("contract")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 128}
OURS = ("alert.raised", "alert.revised", "alert.resolved")


def data_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a fact's data. Unknown fields are kept and passed on, so they are allowed."""
    made = READERS[f"parcours.{name}.v1"].json_schema(ref_template="#/$defs/{model}")
    if "description" in made:
        made["description"] = told(name)
    return {"additionalProperties": True} | made


def told(name: str) -> str:
    """What a fact's class says of it; a dataclass without a docstring says its signature, which is nobody's business."""
    model = TYPES[f"parcours.{name}.v1"]
    text = (model.__doc__ or "").strip()
    return "" if text.startswith(f"{model.__name__}(") else text


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a whole fact: envelope and data."""
    data = data_schema(name)
    definitions = data.pop("$defs", {})
    time = {"type": "string", "format": "date-time"}
    return {
        "$schema": DIALECT,
        "title": f"parcours.{name}.v1",
        "description": told(name),
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"}, "id": TEXT, "source": {"type": "string", "format": "uri-reference", "minLength": 1},
            "type": {"const": f"parcours.{name}.v1"}, "tenant": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$", "default": "default"},
            "subject": TEXT, "partitionkey": {"type": "string"}, "time": time, "recordedtime": time,
            "correlationid": {"type": "string"}, "causationid": {"type": "string"}, "traceparent": {"type": "string"},
            "datacontenttype": {"const": "application/json"}, "data": data,
        },
        "additionalProperties": True,
        "$defs": definitions,
    }  # fmt: skip


def asyncapi() -> dict[str, Any]:
    """The two topics and what travels on them."""
    facts = [name for name in CURRENT if name not in OURS]

    def channel(address: str, names: list[str]) -> dict[str, Any]:
        return {"address": address, "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names}}

    def operation(action: str, address: str, names: list[str]) -> dict[str, Any]:
        refs = [{"$ref": f"#/channels/{address}/messages/{name}"} for name in names]
        return {"action": action, "channel": {"$ref": f"#/channels/{address}"}, "messages": refs}

    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Parcours", "version": "1", "description": "Patient contacts as immutable facts, and what is found in them."},
        "defaultContentType": CONTENT_TYPE,
        "channels": {"events": channel("parcours.events", facts), "alerts": channel("parcours.alerts", list(OURS))},
        "operations": {
            "receiveFact": operation("receive", "events", facts),
            "sendAlert": operation("send", "alerts", list(OURS)),
        },
        "components": {
            "messages": {
                name: {
                    "name": f"parcours.{name}.v1", "contentType": CONTENT_TYPE,
                    "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": {"$ref": f"./{name}.v1.json"}},
                    "bindings": {"kafka": {"key": {"type": "string", "description": "tenant|subject"}}},
                }
                for name in CURRENT
            }
        },
    }  # fmt: skip


def files() -> dict[str, str]:
    """Every file of the contract by its name."""
    made: dict[str, Any] = {f"{name}.v1.json": schema(name) for name in CURRENT} | {"asyncapi.json": asyncapi()}
    return {
        name: json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n" for name, content in made.items()
    }


def write() -> None:
    """Write the contract anew."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
