"""GET /v1/rules."""

from typing import Any

from fastapi import APIRouter

from rules.load import load_rules
from serving.auth import Analyst, PartsDep
from serving.errors import documented
from serving.rules.describe import describe

router = APIRouter(prefix="/v1/rules", tags=["rules"])


@router.get("", summary="All triggers, and how people are recognised", responses=documented())
async def get_rules(parts: PartsDep, _: Analyst) -> dict[str, list[dict[str, Any]]]:
    """Triggers with condition, occasion, channels and texts; identifier types as they are in force. Least role: analyst."""
    identifiers = parts.identity.rules.identifiers.values()
    return {"triggers": [describe(rule) for rule in load_rules().triggers], "identifiers": [describe(t) for t in identifiers]}
