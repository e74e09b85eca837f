"""`POST /v1/orders`, `POST /v1/members` and `POST /v1/mappings/{name}`."""

import asyncio
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import Response

from cdp.clock import Calendar
from cdp.errors import CdpError
from serving.auth import PartsDep
from serving.collect.collector import Collector
from serving.errors import ApiError
from serving.imports import openapi
from serving.imports.find import Mappers, NoMapping
from serving.imports.idempotency import MAX_KEY
from serving.imports.intake import check_signature, take
from serving.imports.models import Member, MembersAnswer, Order, OrdersAnswer, RecordsAnswer
from serving.imports.subjects import members_of, orders_of, records_of

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
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=MAX_KEY,
        description="A name of the request, such as a UUID. The same key and body within a day get the first answer again; "
        "with another body it is refused with 409.",
    ),
]


@router.post(
    "/v1/orders",
    summary="Send orders",
    responses=openapi.answers(OrdersAnswer),
    openapi_extra=openapi.one_or_list("orders", Order),
)
async def send_orders(
    request: Request, parts: PartsDep, collector: CollectorDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send orders as they stand: one, or up to 1,000 in a list. The same order and version twice counts once."""
    return await take(request, collector, parts.redis, orders_of(parts.identity.rules))


@router.post(
    "/v1/members", summary="Send members", responses=openapi.answers(MembersAnswer),
    openapi_extra=openapi.one_or_list("members", Member),
)  # fmt: skip
async def send_members(
    request: Request, parts: PartsDep, collector: CollectorDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send members as they are: one, or up to 1,000 in a list."""
    members = members_of(Calendar(parts.settings.timezone), collector.clock(), parts.identity.rules)
    return await take(request, collector, parts.redis, members)


@router.post(
    "/v1/mappings/{name}", summary="Send records of a marketplace or shop", openapi_extra=openapi.one_or_many(),
    responses=openapi.answers(
        RecordsAnswer, s404="There is no such mapping.", s422="There are too many records, or the mapping has a mistake."
    ),
)  # fmt: skip
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
    return await take(request, collector, parts.redis, records_of(mapper), verify=verify)


def _secret(file: Any) -> str:
    """The secret that a sender signs with; "" if none is kept for the mapping."""
    try:
        return str(file.read_text(encoding="utf-8")).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise CdpError(f"The secret {file.name} cannot be read: {error.strerror}.", "Check its permissions.") from error
