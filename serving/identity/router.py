"""/v1/identity: explain, change by hand, review."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.convertors import StringConvertor, register_url_convertor

from cdp.errors import Unavailable
from serving.auth import Analyst, Ops, PartsDep
from serving.errors import documented
from serving.identity import models
from serving.identity.evidence import count_messages
from serving.identity.explain import explain
from serving.identity.find import find, reading
from serving.identity.merge import merge
from serving.identity.people import Pair
from serving.identity.regroup import regroup
from serving.identity.reviews import decide_review, list_reviews
from serving.identity.rules_router import router as rules_router
from serving.identity.show import show_to
from serving.identity.unmerge import unmerge

router = APIRouter(prefix="/v1/identity", tags=["identity"])
router.include_router(rules_router)


class _PersonConvertor(StringConvertor):
    """Only what can name a person does: `/merge` and `/rules` do not."""

    regex = f"(?:P[0-9]{{10}}|{models.IDENTIFIER})"


register_url_convertor("person", _PersonConvertor())

DryRun = Annotated[bool, Query(description="Only say what it would do.")]
ReviewId = Annotated[
    str, Path(pattern=r"^[0-9]{1,10}-[0-9]{1,10}-[0-9]{1,10}$", description="The review's `id`.", examples=["1-1-57"])
]
Cursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,19}-[0-9]{1,19}$", description="`next` of the page before.")]


@router.post("/unmerge", summary="Take people apart", responses=documented(400, 404, 409))
async def post_unmerge(parts: PartsDep, grant: Ops, request: models.UnmergeRequest, dry_run: DryRun = False) -> models.Changed:
    """An identifier parts from its person, or a merge is undone: as if they had never been one. Least role: ops."""
    show_to(parts, grant)
    return await unmerge(parts, request, grant.name, dry_run=dry_run)


@router.post("/merge", summary="Make two people one", responses=documented(400, 404, 409))
async def post_merge(parts: PartsDep, grant: Ops, request: models.MergeRequest, dry_run: DryRun = False) -> models.Changed:
    """Because somebody says so. 409 if a limit of the rules would break, unless `force` is true. Least role: ops."""
    show_to(parts, grant)
    return await merge(parts, request, grant.name, dry_run=dry_run)


@router.post("/regroup", summary="Apply the rules in force to what is known", responses=documented(400, 404, 409))
async def post_regroup(parts: PartsDep, grant: Ops, request: models.RegroupRequest) -> models.Regrouped:
    """To one identifier and all that hangs together with it, or to everybody. Least role: ops."""
    return await regroup(parts, request, grant.name)


@router.get("/reviews", summary="What waits for somebody's decision", responses=documented())
async def get_reviews(
    parts: PartsDep,
    grant: Analyst,
    limit: Annotated[int, Query(ge=1, le=200, description="Groups at most.")] = 50,
    cursor: Cursor = None,
) -> models.Reviews:
    """People who may be one, the oldest first. A page has all that waits in `limit` groups. Least role: analyst."""
    show_to(parts, grant)
    return await list_reviews(parts, limit, cursor)


@router.post("/reviews/{id}", summary="Decide what waits", responses=documented(400, 404, 409))
async def post_review(
    parts: PartsDep, grant: Ops, id: ReviewId, request: models.ReviewRequest, dry_run: DryRun = False
) -> models.Changed:
    """They are one person, or they are not. It is remembered, and does not come back. Least role: ops."""
    show_to(parts, grant)
    return await decide_review(parts, id, request, grant.name, dry_run=dry_run)


@router.get("/{id:person}", summary="Why is somebody who they are?", responses=documented(404))
async def get_identity(
    parts: PartsDep,
    grant: Analyst,
    id: Annotated[models.Who, Path(description="A OneID, or type:value.")],
    messages: Annotated[bool, Query(description="Count the events behind each link, in ClickHouse.")] = True,
) -> models.Explanation:
    """Identifiers, links with their evidence, changes, refusals and decisions around a person.

    Personal values are masked for analysts. Least role: analyst.
    """
    show_to(parts, grant)
    with reading():
        around = await find(parts, id)
    component = around.component
    links: list[Pair] = [(link.a, link.b) for link in component.links]
    counts, note = None, None
    if messages and links:
        try:
            counts = await parts.clickhouse(partial(count_messages, parts=component.people, links=links))
        except Unavailable:
            note = "ClickHouse does not answer: how many events are behind a link is missing here."
    explanation = explain(around, id, parts.identity.rules, parts.clock(), counts)
    return explanation.model_copy(update={"note": note})
