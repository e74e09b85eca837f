"""/v1/traffic: the table that says which channel a visit came through."""

from typing import Any

from fastapi import APIRouter

from serving.auth import Analyst, PartsDep
from serving.definitions.http import run
from serving.documents.document import Document
from serving.documents.kinds import TRAFFIC
from serving.documents.router import Endpoints, add_endpoints
from serving.errors import documented
from serving.traffic import models, service

router = APIRouter(prefix="/v1/traffic", tags=["traffic"])


def _body(table: models.Table) -> dict[str, Any]:
    return table


def _answer(document: Document) -> dict[str, Any]:
    return {"table": document.body, "warnings": service.warnings_of(document.body)}


add_endpoints(
    router,
    Endpoints(
        title="the traffic table", kind=lambda: TRAFFIC, body=_body, model=models.TableAnswer, answer=_answer,
        effect="The whole table; collectors heed it within a second.", reading="; version 0 comes with the platform",
        noun="table",
    ),
)  # fmt: skip


@router.post("/try", summary="Try the traffic table", responses=documented(400))
async def post_try(parts: PartsDep, _: Analyst, request: models.TryRequest) -> models.TryAnswer:
    """The channel of an arrival, and why it is that one. Changes nothing. Least role: analyst."""
    table = await run(service.table_of, parts.settings, request.table)
    tried = service.try_arrival(table, request.url, request.referrer, request.campaign.model_dump())
    click = models.ClickId(name=tried.click_id[0], value=tried.click_id[1]) if tried.click_id else None
    return models.TryAnswer(channel=tried.decision.channel, reason=tried.decision.reason, campaign=tried.campaign, click_id=click)
