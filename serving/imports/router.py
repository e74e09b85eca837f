"""`POST /v1/orders`, `POST /v1/members` and `POST /v1/mappings/{name}`."""

import asyncio
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from cdp.errors import CdpError
from serving.auth import PartsDep
from serving.collect.collector import Collector
from serving.errors import ApiError, ErrorBody
from serving.imports.find import Mappers, NoMapping
from serving.imports.intake import Subject, check_signature, listed, one_or_many, take
from serving.imports.models import MAX_ITEMS, Member, MembersAnswer, Order, OrdersAnswer, RecordsAnswer
from serving.imports.orders import member_messages, order_messages

router = APIRouter(tags=["collect"])


def collector_of(request: Request) -> Collector:
    """The process's collector, as a FastAPI dependency."""
    return cast(Collector, request.app.state.collector)


def mappers_of(request: Request, parts: PartsDep) -> Mappers:
    """The process's mappings, as a FastAPI dependency."""
    state = request.app.state
    if not hasattr(state, "mappers"):
        state.mappers = Mappers(parts.settings)
    return cast(Mappers, state.mappers)


CollectorDep = Annotated[Collector, Depends(collector_of)]
MappersDep = Annotated[Mappers, Depends(mappers_of)]
IdempotencyKey = Annotated[
    str | None, Header(max_length=255, description="The same key and body within a day get the first answer again.")
]


def _label(name: str) -> Any:
    def label(_: int, item: Any) -> dict[str, Any]:
        given = item.get(name) if isinstance(item, dict) else None
        return {name: str(given)[:100] if isinstance(given, str | int) and not isinstance(given, bool) else None}

    return label


ORDERS = Subject(listed("orders"), order_messages, _label("order_id"))
MEMBERS = Subject(listed("members"), member_messages, _label("member_id"))


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema without references, since nothing else in the document defines them."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolve(definitions[node["$ref"].rpartition("/")[2]] | {k: v for k, v in node.items() if k != "$ref"})
        return {name: resolve(value) for name, value in node.items()}

    return cast("dict[str, Any]", resolve(schema))


def _body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "security": [{"write key": []}],
    }


def _one_or_list(name: str, model: type[BaseModel]) -> dict[str, Any]:
    one = _inlined(model)
    # Each item is judged by itself, so that a bad one in a list is a result and not a refusal.
    many = {"type": "object", "required": [name], "properties": {name: {"type": "array", "maxItems": MAX_ITEMS, "items": one}}}
    return _body({"anyOf": [many, one]}, {name: [one["example"]]})


def _answers(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    texts = {
        400: "The body cannot be read.", 401: "The write key is missing or unknown, or the signature is wrong.",
        404: "There is no such mapping.", 409: "A request with this Idempotency-Key is being worked on.",
        413: "The body is too large, or has too many items.", 422: "The Idempotency-Key was used with another body.",
        429: "The write key's quota is used up; see Retry-After.", 503: "Nothing was taken; send it again.",
    }  # fmt: skip
    answers: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody, "description": text} for status, text in texts.items()
    }
    return answers | {200: {"model": model, "description": "What is accepted is safe; a result for each item, in their order."}}


@router.post("/v1/orders", responses=_answers(OrdersAnswer), openapi_extra=_one_or_list("orders", Order))
async def send_orders(
    request: Request, parts: PartsDep, collector: CollectorDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send orders as they stand: one, or up to 1,000 in a list. The same order and version twice counts once."""
    return await take(request, collector, parts.redis, ORDERS)


@router.post("/v1/members", responses=_answers(MembersAnswer), openapi_extra=_one_or_list("members", Member))
async def send_members(
    request: Request, parts: PartsDep, collector: CollectorDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send members as they are: one, or up to 1,000 in a list."""
    return await take(request, collector, parts.redis, MEMBERS)


ANY_RECORDS = {"anyOf": [{"type": "object"}, {"type": "array", "maxItems": MAX_ITEMS, "items": {"type": "object"}}]}
EXAMPLE = {
    "id": 4501, "created_at": "2026-06-01T08:00:00Z", "updated_at": "2026-06-01T08:00:00Z", "financial_status": "paid",
    "currency": "EUR", "total_price": "20.00", "email": "a@example.com",
    "line_items": [{"sku": "A", "quantity": 1, "price": "20.00"}],
}  # fmt: skip


@router.post("/v1/mappings/{name}", responses=_answers(RecordsAnswer), openapi_extra=_body(ANY_RECORDS, EXAMPLE))
async def send_records(
    request: Request,
    parts: PartsDep,
    collector: CollectorDep,
    mappers: MappersDep,
    name: Annotated[str, Path(max_length=64, description="A mapping, e.g. shopify.", examples=["shopify"])],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send a marketplace's or a shop's own records, such as its webhooks, through a mapping: one, or up to 1,000 in a list."""
    try:
        mapper = await asyncio.to_thread(mappers.get, name)
        secret = await asyncio.to_thread(_secret, parts.settings.secrets_dir / f"webhook-{name}")
    except NoMapping as error:
        raise ApiError(404, error.message, error.remedy, field="name") from error
    except CdpError as error:  # a mistake in a mapping of one's own
        raise ApiError(422, error.message, error.remedy, code="invalid_mapping", field="name") from error
    signature = mapper.mapping.signature
    verify = check_signature(secret, signature, request.headers.get(signature, "")) if secret and signature else None
    subject = Subject(one_or_many, mapper.map, lambda index, _: {"index": index})
    return await take(request, collector, parts.redis, subject, verify=verify)


def _secret(file: Any) -> str:
    """The secret that a sender signs with; "" if none is kept for the mapping."""
    try:
        return str(file.read_text(encoding="utf-8")).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise CdpError(f"The secret {file.name} cannot be read: {error.strerror}.", "Check its permissions.") from error
