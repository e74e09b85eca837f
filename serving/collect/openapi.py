"""The collector's part of the OpenAPI document: its endpoints are plain ASGI, so FastAPI cannot describe them.

Each message is judged by itself: one that is not as its schema says is taken as well, and kept as a dead letter. So every
schema of a message stands beside "anything else".
"""

from typing import Any

from serving.collect.dialects.segment import KINDS, MAX_REPORTED
from serving.errors import CHALLENGE, RETRY_LATER, error_answer

Schema = dict[str, Any]

EXAMPLES: dict[str, Schema] = {
    "track": {"userId": "u-1", "event": "Product Viewed", "properties": {"product_id": "p-9", "price": 99.0}},
    "identify": {"userId": "u-1", "anonymousId": "a-7", "traits": {"phone": "13800000000", "birthday": "1990-05-01"}},
    "page": {"anonymousId": "a-7", "name": "Home", "properties": {"path": "/"}},
    "screen": {"anonymousId": "a-7", "name": "Home"},
    "alias": {"userId": "u-1", "previousId": "a-7"},
    "group": {"userId": "u-1", "groupId": "g-1", "traits": {"name": "Acme"}},
    "batch": {"batch": [{"type": "track", "userId": "u-1", "event": "Product Viewed", "messageId": "m-1"}]},
}
PURPOSES = {
    "track": "Something happened.",
    "identify": "Who somebody is.",
    "page": "A page was looked at.",
    "screen": "A screen of an app was looked at.",
    "alias": "Two identifiers are one person.",
    "group": "Somebody belongs to a group.",
}
SECURITY_SCHEMES: dict[str, Schema] = {
    "write_key": {"type": "http", "scheme": "basic", "description": "A write key as user name, no password."},
    "write_key_bearer": {"type": "http", "scheme": "bearer", "description": "A write key as Bearer token."},
    "write_key_query": {
        "type": "apiKey", "in": "query", "name": "writeKey",
        "description": "A write key in the address, for senders that know nothing but an address.",
    },
}  # fmt: skip
SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]

_IDENTIFIER: Schema = {"type": "string", "maxLength": 512}
_TIME: Schema = {"type": "string", "format": "date-time"}
_COMMON: dict[str, Schema] = {
    "messageId": {
        "type": "string", "maxLength": 256, "examples": ["m-1"],
        "description": "The same id twice is the same event; without one, repeats are not noticed.",
    },
    "userId": _IDENTIFIER | {"description": "The shop's own number of the person.", "examples": ["u-1"]},
    "anonymousId": _IDENTIFIER | {"description": "The browser's or app's id.", "examples": ["a-7"]},
    "timestamp": _TIME | {"description": "When it happened, by the device's clock; default: now."},
    "sentAt": _TIME | {"description": "When it was sent, by the device's clock: what the clock is wrong by is taken off."},
    "context": {"type": "object", "description": "Campaign, page, library, traits, externalIds and the like."},
}  # fmt: skip
_PROPERTIES: Schema = {"properties": {"type": "object", "description": "The event's properties; kept as they come."}}
_NAME: Schema = {"name": {"type": "string", "maxLength": 512, "description": "What was looked at.", "examples": ["Home"]}}
_TRAITS: Schema = {"traits": {"type": "object", "description": "Attributes of the profile: name, phone, email, birthday ..."}}
_FIELDS: dict[str, tuple[list[str], Schema]] = {
    "track": (["event"], {"event": {"type": "string", "minLength": 1, "maxLength": 512}} | _PROPERTIES),
    "identify": ([], _TRAITS),
    "page": ([], _NAME | _PROPERTIES),
    "screen": ([], _NAME | _PROPERTIES),
    "alias": (["previousId"], {"previousId": _IDENTIFIER | {"description": "Another identifier of the same person."}}),
    "group": (["groupId"], {"groupId": _IDENTIFIER | {"description": "The group."}} | _TRAITS),
}  # fmt: skip
_ANSWER: Schema = {
    "title": "CollectAnswer",
    "type": "object",
    "description": "Everything is safe. The three other fields are there only if messages became dead letters.",
    "required": ["success"],
    "properties": {
        "success": {"const": True},
        "accepted": {"type": "integer", "minimum": 0, "description": "Messages that can be used."},
        "rejected": {"type": "integer", "minimum": 1, "description": "Messages that are kept as dead letters."},
        "corrected": {
            "type": "integer",
            "minimum": 1,
            "description": "Events that have the time of receipt, since theirs could not be used; left out if there are none.",
        },
        "dead_lettered": {
            "type": "array",
            "maxItems": MAX_REPORTED,
            "description": f"Why; the first {MAX_REPORTED}.",
            "items": {
                "type": "object",
                "required": ["index", "reason", "field", "message"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0, "description": "Place in the batch."},
                    "reason": {"type": "string", "examples": ["missing_identifier"]},
                    "field": {"type": "string", "description": "What is wrong; empty if no field is to blame."},
                    "message": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
# A browser would open a login window in the shop.
_CHALLENGE: Schema = {name: header | {"required": False} for name, header in CHALLENGE.items()}
ANSWERS: dict[str, Schema] = {
    "400": error_answer("The body cannot be read. Do not send it again."),
    "401": error_answer("The write key is missing or unknown.", _CHALLENGE),
    "403": error_answer("The write key may not be used from this origin."),
    "413": error_answer("The body is too large. Send smaller batches."),
    "429": error_answer("The write key's quota is used up.", RETRY_LATER),
    "503": error_answer("Kafka did not take the events. Send them again, with the same message ids.", RETRY_LATER),
}


def paths() -> dict[str, Schema]:
    """The collector's entries under `paths`."""
    return {f"/v1/{kind}": {"post": _operation(kind)} for kind in (*KINDS, "batch")}


def schemas() -> dict[str, Schema]:
    """The collector's entries under `components.schemas`."""
    messages = {_title(kind): _message(kind) for kind in KINDS}
    return messages | {"CollectAnswer": _ANSWER}


def or_anything(*wanted: Schema, otherwise: str, **limits: Any) -> Schema:
    """Schemas of what can be used, and beside them what is taken all the same. `limits`: keywords of the latter."""
    return {"anyOf": [*wanted, {"title": "Anything else", "description": otherwise, **limits}]}


def _title(kind: str) -> str:
    return f"{kind.capitalize()}Message"


def _ref(kind: str) -> Schema:
    return {"$ref": f"#/components/schemas/{_title(kind)}"}


def _message(kind: str) -> Schema:
    required, fields = _FIELDS[kind]
    schema = {"title": _title(kind), "type": "object", "description": PURPOSES[kind], "properties": fields | _COMMON}
    named = {"anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}]}
    return schema | ({"required": required} if required else {}) | named | {"examples": [EXAMPLES[kind]]}


def _body(kind: str) -> Schema:
    dead_letter = "Kept as a dead letter."
    if kind != "batch":
        return or_anything(_ref(kind), otherwise=dead_letter, type="object")
    typed = [
        {"allOf": [_ref(one)], "required": ["type"], "properties": {"type": {"const": one}}, "title": f"{one} message"}
        for one in KINDS
    ]
    shared = {name: {"description": f"Of messages without {name} of their own."} for name in ("timestamp", "sentAt")}
    context = {"anyOf": [{"type": "object"}, {"type": "null"}, {"type": "array", "maxItems": 0}]}
    return {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": or_anything(*typed, otherwise=dead_letter)},
            "context": context | {"description": "Of all messages; what a message says itself goes first."},
            **shared,
        },
    }


def _operation(kind: str) -> Schema:
    safe = {
        "description": "Every message is safe. Those that cannot be used are kept as dead letters and listed.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CollectAnswer"}, "example": {"success": True}}},
    }
    return {
        "tags": ["collect"],
        "summary": f"Send {'a batch of messages' if kind == 'batch' else f'one {kind} message'} in Segment's wire format",
        "description": (
            "Plain or gzipped JSON, whatever the content type says. Each message is judged by itself: one that cannot be used"
            " is kept as a dead letter, and the answer is a success. The write key may also stand in the body, as `writeKey`."
        ),
        "operationId": f"collect_{kind}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _body(kind), "example": EXAMPLES[kind]}}},
        "responses": {"200": safe} | ANSWERS,
        "security": SECURITY,
    }
