"""What the OpenAPI document says of orders, members and records beyond what FastAPI finds in their functions."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.collect.openapi import SECURITY, or_anything
from serving.errors import CHALLENGE, RETRY_LATER, ErrorBody
from serving.imports.models import MAX_ITEMS, Member, Order

Schema = dict[str, Any]

HEADERS = {401: CHALLENGE, 429: RETRY_LATER, 503: RETRY_LATER}
REF = "#/components/schemas/{model}"
REJECTED = "Rejected: the answer says so in its result."
RECORD = {
    "id": 4501, "created_at": "2026-06-01T08:00:00Z", "updated_at": "2026-06-01T08:00:00Z", "financial_status": "paid",
    "currency": "EUR", "total_price": "20.00", "email": "a@example.com",
    "line_items": [{"sku": "A", "quantity": 1, "price": "20.00"}],
}  # fmt: skip


def schemas() -> dict[str, Schema]:
    """Entries under `components.schemas`: Order, Member and what they are made of."""
    _, found = models_json_schema([(Order, "validation"), (Member, "validation")], ref_template=REF)
    return dict(found["$defs"])


def one_or_list(name: str, model: type[BaseModel]) -> Schema:
    """`openapi_extra` of an endpoint that takes one item, or a list of them under a name.

    Each item is judged by itself, so that a bad one is a result and not a refusal.
    """
    one = {"$ref": REF.format(model=model.__name__)}
    many = {
        "title": name.capitalize(), "type": "object", "required": [name],
        "properties": {
            name: {"type": "array", "maxItems": MAX_ITEMS, "items": or_anything(one, otherwise=REJECTED)},
        },
    }  # fmt: skip
    example = {name: [model.model_json_schema()["example"]]}
    body = or_anything(many, one, otherwise=REJECTED, type="object", **{"not": {"required": [name]}})
    return _body(body, example)


def one_or_many() -> Schema:
    """`openapi_extra` of an endpoint that takes a record, or a list of them."""
    many = {
        "title": "Records", "type": "array", "maxItems": MAX_ITEMS,
        "items": or_anything({"title": "Record", "type": "object"}, otherwise=REJECTED),
    }  # fmt: skip
    return _body({"anyOf": [{"title": "Record", "type": "object"}, many]}, RECORD)


def answers(model: type[BaseModel], **more: str) -> dict[int | str, Schema]:
    """`responses` of these endpoints. `more`: descriptions of further statuses, as ``s404``."""
    texts = {
        400: "The body cannot be read.", 401: "The write key is missing or unknown, or the signature is wrong.",
        409: "This Idempotency-Key was used with another body, or a request with it is being worked on.",
        413: "The body is too large.", 422: "There are too many items, or something is wrong with a parameter.",
        429: "The write key's quota is used up.", 503: "Nothing was taken; send it again.",
    }  # fmt: skip
    texts |= {int(status[1:]): text for status, text in more.items()}
    found: dict[int | str, Schema] = {
        status: {"model": ErrorBody, "description": text} | ({"headers": HEADERS[status]} if status in HEADERS else {})
        for status, text in sorted(texts.items())
    }
    replayed = {
        "Idempotency-Replayed": {
            "description": "There if this is the answer to an earlier request with the same Idempotency-Key.",
            "schema": {"const": "true"},
        }
    }
    taken = "What is accepted is safe; a result for each item, in their order."
    return {200: {"model": model, "description": taken, "headers": replayed}} | found


def _body(schema: Schema, example: Any) -> Schema:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "security": SECURITY,
    }
