"""The collector's part of the OpenAPI document: its endpoints are plain ASGI, so FastAPI cannot describe them."""

from typing import Any

from serving.collect.dialects.segment import KINDS

EXAMPLES: dict[str, dict[str, Any]] = {
    "track": {"userId": "u-1", "event": "Product Viewed", "properties": {"product_id": "p-9", "price": 99.0}},
    "identify": {"userId": "u-1", "anonymousId": "a-7", "traits": {"phone": "13800000000", "birthday": "1990-05-01"}},
    "page": {"anonymousId": "a-7", "name": "Home", "properties": {"path": "/"}},
    "screen": {"anonymousId": "a-7", "name": "Home"},
    "alias": {"userId": "u-1", "previousId": "a-7"},
    "group": {"userId": "u-1", "groupId": "g-1", "traits": {"name": "Acme"}},
    "batch": {"batch": [{"type": "track", "userId": "u-1", "event": "Product Viewed", "messageId": "m-1"}]},
}
COMMON = {
    "messageId": {"type": "string", "description": "The same id twice is the same event; without one, repeats are not noticed."},
    "userId": {"type": "string"}, "anonymousId": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"}, "sentAt": {"type": "string", "format": "date-time"},
    "context": {"type": "object"}, "writeKey": {"type": "string", "description": "Only if the header does not carry it."},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "200": {
        "description": "The broker has every event. Events that cannot be used are kept as dead letters and listed.",
        "content": {"application/json": {"example": {"success": True}}},
    },
    "400": {"description": "The body cannot be read. Do not send it again."},
    "401": {"description": "The write key is missing or unknown."},
    "413": {"description": "The body is too large."},
    "503": {"description": "Kafka did not take the events. Send them again, with the same message ids."},
}


def paths() -> dict[str, Any]:
    """The collector's entries under `paths`."""
    return {f"/v1/{kind}": {"post": _operation(kind)} for kind in (*KINDS, "batch")}


def _operation(kind: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": COMMON}
    if kind == "batch":
        schema = {"type": "object", "required": ["batch"], "properties": {"batch": {"type": "array", "items": schema}}}
    answers = {
        status: answer
        if status == "200"
        else answer | {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}}
        for status, answer in ANSWERS.items()
    }
    return {
        "tags": ["collect"],
        "summary": f"Send {'a batch of messages' if kind == 'batch' else f'one {kind} message'} in Segment's wire format",
        "description": "Plain or gzipped JSON, whatever the content type says. The write key: Basic, Bearer, or in the body.",
        "operationId": f"collect_{kind}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": EXAMPLES[kind]}}},
        "responses": answers,
        "security": [{"write key": []}],
    }
