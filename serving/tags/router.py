"""GET /v1/tags."""

from fastapi import APIRouter

from serving.auth import Analyst, PartsDep
from serving.errors import documented
from serving.rules.describe import describe
from serving.rules.models import Tags

router = APIRouter(prefix="/v1/tags", tags=["tags"])


@router.get("", summary="All tags", responses=documented())
async def get_tags(parts: PartsDep, _: Analyst) -> Tags:
    """Each with its title, type, the expression that gives its value, owner, version and state. Least role: analyst.

    A tag comes after those that it uses.
    """
    return Tags.model_validate({"book": parts.rules.number, "tags": [describe(rule) for rule in parts.rules.current.tags]})
