"""GET /v1/rules."""

from fastapi import APIRouter

from rules.definitions.load import load_rules
from serving.auth import Analyst, PartsDep
from serving.errors import documented
from serving.rules.describe import describe
from serving.rules.models import Rules

router = APIRouter(prefix="/v1/rules", tags=["rules"])


@router.get("", summary="All triggers, and how people are recognised", responses=documented())
async def get_rules(parts: PartsDep, _: Analyst) -> Rules:
    """Triggers with condition, occasion, channels and texts; identifier types as they are in force. Least role: analyst."""
    triggers = [describe(rule) for rule in load_rules().triggers]
    identifiers = [describe(type_) for type_ in parts.identity.rules.identifiers.values()]
    return Rules.model_validate({"triggers": triggers, "identifiers": identifiers})
