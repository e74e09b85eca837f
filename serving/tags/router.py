"""GET /v1/tags."""

from fastapi import APIRouter

from rules.definitions.load import load_rules
from serving.auth import Analyst
from serving.errors import documented
from serving.rules.describe import describe
from serving.rules.models import Tags

router = APIRouter(prefix="/v1/tags", tags=["tags"])


@router.get("", summary="All tags", responses=documented())
async def get_tags(_: Analyst) -> Tags:
    """Each with its title, type, the expression that gives its value, owner, version and state. Least role: analyst."""
    return Tags.model_validate({"tags": [describe(rule) for rule in load_rules().tags]})
