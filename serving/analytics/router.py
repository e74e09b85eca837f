"""POST /v1/analytics/funnel and /v1/analytics/retention."""

from fastapi import APIRouter

from serving.analytics.models import FunnelRequest, FunnelResult, RetentionRequest, RetentionResult
from serving.analytics.service import answer_funnel, answer_retention
from serving.auth import Analyst, PartsDep
from serving.errors import documented

router = APIRouter(prefix="/v1/analytics", tags=["analytics"])


@router.post("/funnel", summary="How many people got how far", responses=documented())
async def funnel(parts: PartsDep, _: Analyst, request: FunnelRequest) -> FunnelResult:
    """People who did the steps in order, each within `window` of the first. Merged people count once. Least role: analyst."""
    return await answer_funnel(parts, request)


@router.post("/retention", summary="How many people came back", responses=documented())
async def retention(parts: PartsDep, _: Analyst, request: RetentionRequest) -> RetentionResult:
    """Cohorts by calendar days, weeks from Monday, or months of the workspace's time zone. Least role: analyst."""
    return await answer_retention(parts, request)
