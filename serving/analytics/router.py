"""POST /v1/analytics/funnel and /v1/analytics/retention, GET /v1/analytics/sessions."""

from typing import Annotated

from fastapi import APIRouter, Query

from serving.analytics.models import FunnelRequest, FunnelResult, RetentionRequest, RetentionResult, SessionsResult
from serving.analytics.service import answer_funnel, answer_retention, answer_sessions
from serving.analytics.span import When
from serving.auth import Analyst, PartsDep
from serving.errors import documented

router = APIRouter(prefix="/v1/analytics", tags=["analytics"])


@router.post("/funnel", summary="How many people got how far", responses=documented(400))
async def funnel(parts: PartsDep, _: Analyst, request: FunnelRequest) -> FunnelResult:
    """People who did the steps in order, each within `window` of the first. Merged people count once. Least role: analyst."""
    return await answer_funnel(parts, request)


@router.post("/retention", summary="How many people came back", responses=documented(400))
async def retention(parts: PartsDep, _: Analyst, request: RetentionRequest) -> RetentionResult:
    """Cohorts by calendar days, weeks from Monday, or months of the workspace's time zone. Least role: analyst."""
    return await answer_retention(parts, request)


@router.get("/sessions", summary="Visits by day and channel", responses=documented())
async def sessions(
    parts: PartsDep,
    _: Analyst,
    from_: Annotated[When | None, Query(alias="from", description="Sessions begin at or after it; default: 30 days ago.")] = None,
    to: Annotated[When | None, Query(description="Sessions begin before it; default: now.")] = None,
) -> SessionsResult:
    """Sessions end after 30 minutes without an event, or when another campaign brings the person back. Least role: analyst."""
    return await answer_sessions(parts, from_, to)
