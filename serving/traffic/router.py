"""/v1/traffic: the table that says which channel a visit came through."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from serving.auth import Analyst, Ops, PartsDep
from serving.definitions.documents import Document
from serving.definitions.http import ETAG, IfMatch, Note, VersionNumber, expected_version, run
from serving.errors import documented
from serving.traffic import models, service

router = APIRouter(prefix="/v1/traffic", tags=["traffic"])

TAGGED: dict[int | str, dict[str, Any]] = {200: {"headers": ETAG}}


@router.get("", summary="The traffic table", responses=documented(404) | TAGGED)
async def get_table(parts: PartsDep, _: Analyst, response: Response, version: VersionNumber = None) -> models.TableAnswer:
    """The version in force, or another. Least role: analyst."""
    return _answer(await run(service.read_table, parts.settings, version), response)


@router.put("", summary="Put a traffic table in force", responses=documented(400, 409) | TAGGED)
async def put_table(
    parts: PartsDep, grant: Ops, response: Response, table: models.Table, if_match: IfMatch = "", note: Note = ""
) -> models.TableAnswer:
    """The whole table; collectors heed it within a second. A mistake is 422 with its path in `field`. Least role: ops."""
    write = partial(service.write_table, author=grant.name, note=note, expected=expected_version(if_match))
    return _answer(await run(write, parts.settings, table), response)


@router.post("/try", summary="Try the traffic table", responses=documented(400))
async def post_try(parts: PartsDep, _: Analyst, request: models.TryRequest) -> models.TryAnswer:
    """The channel of an arrival, and why it is that one. Changes nothing. Least role: analyst."""
    table = await run(service.table_of, parts.settings, request.table)
    tried = service.try_arrival(table, request.url, request.referrer, request.campaign.model_dump())
    click = models.ClickId(name=tried.click_id[0], value=tried.click_id[1]) if tried.click_id else None
    return models.TryAnswer(channel=tried.decision.channel, reason=tried.decision.reason, campaign=tried.campaign, click_id=click)


def _answer(document: Document, response: Response) -> models.TableAnswer:
    response.headers["ETag"] = f'"{document.version}"'
    return models.TableAnswer(
        version=document.version,
        author=document.author,
        created=document.created or None,
        note=document.note,
        table=document.body,
        warnings=service.warnings_of(document.body),
    )
