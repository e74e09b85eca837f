"""GET /v1/rules."""

from fastapi import APIRouter

from rules.load import load_rules
from serving.auth import Analyst
from serving.errors import documented
from serving.rules.describe import describe
from serving.rules.models import Rules

router = APIRouter(prefix="/v1/rules", tags=["rules"])


@router.get("", summary="All triggers, and how people are recognised", responses=documented())
async def get_rules(_: Analyst) -> Rules:
    """Triggers with condition, occasion, channels and texts; identifier types with their priority. Least role: analyst."""
    book = load_rules()
    found = {"triggers": [describe(rule) for rule in book.triggers], "identifiers": [describe(t) for t in book.identifiers]}
    return Rules.model_validate(found)
