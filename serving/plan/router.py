"""/v1/plan: the tracking plan, its versions and what broke it."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from cdp.errors import Unavailable
from serving.auth import Analyst, Ops, PartsDep
from serving.definitions.documents import Document, Version, read_history
from serving.definitions.http import ETAG, IfMatch, Note, VersionNumber, expected_version, run
from serving.errors import documented
from serving.parts import Parts
from serving.plan import models, service
from serving.plan.attempt import Tried
from serving.plan.compile import Verdict, Violation
from serving.plan.police import NAME
from serving.plan.violations import KEEP_DAYS, SAMPLES, Counted, counts_key, days_until, read_samples, samples_key, total

router = APIRouter(prefix="/v1/plan", tags=["plan"])

MAX_COUNTS = 1_000
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
TAGGED: dict[int | str, dict[str, Any]] = {200: {"headers": ETAG}}
SAMPLED_EVENTS, SAMPLES_EACH = 10, 3


@router.get("", summary="The tracking plan", responses=documented(404) | TAGGED)
async def get_plan(parts: PartsDep, _: Analyst, response: Response, version: VersionNumber = None) -> models.PlanAnswer:
    """The version in force, or another; an empty plan of version 0 if there is none. Least role: analyst."""
    return _answer(await run(service.read_plan, parts.settings, version), response)


@router.put("", summary="Put a tracking plan in force", responses=documented(400, 409) | TAGGED)
async def put_plan(
    parts: PartsDep, grant: Ops, response: Response, plan: models.PlanBody, if_match: IfMatch = "", note: Note = ""
) -> models.PlanAnswer:
    """Collectors heed it within a second. A mistake is 422 with its path in `field`. Least role: ops."""
    write = partial(service.write_plan, author=grant.name, note=note, expected=expected_version(if_match))
    return _answer(await run(write, parts.settings, plan.document()), response)


@router.get("/versions", summary="Who changed the tracking plan, and when", responses=documented())
async def get_versions(parts: PartsDep, _: Analyst, limit: Limit = 100) -> models.PlanVersions:
    """The newest first. Least role: analyst."""
    found = await run(read_history, parts.settings, NAME, limit)
    return models.PlanVersions(versions=[models.PlanVersion(**_version(version)) for version in found])


@router.post("/rollback", summary="Put an old version in force again", responses=documented(400, 404, 409) | TAGGED)
async def post_rollback(
    parts: PartsDep, grant: Ops, response: Response, request: models.RollbackRequest, if_match: IfMatch = ""
) -> models.PlanAnswer:
    """As a new version, so that nothing of the history is lost. Least role: ops."""
    rollback = partial(service.rollback_plan, author=grant.name, expected=expected_version(if_match))
    return _answer(await run(rollback, parts.settings, request.to), response)


@router.get("/violations", summary="What broke the tracking plan", responses=documented())
async def get_violations(
    parts: PartsDep,
    _: Analyst,
    days: Annotated[int, Query(ge=1, le=KEEP_DAYS, description="The last days, by UTC, today included.")] = 7,
    event: Annotated[str, Query(max_length=512, description="Only of this event, with all its samples.")] = "",
) -> models.ViolationsAnswer:
    """Counts by event, path, keyword and source, with samples; up to a second behind. Least role: analyst."""
    try:
        counts, samples = await _violations(parts, days, event)
    except Exception as error:
        raise Unavailable("Redis does not answer.", "Try again later; see /readyz.") from error
    return models.ViolationsAnswer.model_validate(
        {"days": days, "violations": [asdict(count) for count in counts[:MAX_COUNTS]], "samples": samples}
    )


@router.post("/draft", summary="Learn a tracking plan from recent events", responses=documented(400))
async def post_draft(parts: PartsDep, _: Ops, request: models.Traffic) -> models.DraftAnswer:
    """Nothing is put in force: read it, mend it, and PUT it. Least role: ops."""
    draft = partial(service.draft_plan, reveal=parts.sealing.plain, now=parts.clock(), **request.model_dump())
    plan, learnt_from = await parts.clickhouse(draft)
    return models.DraftAnswer(plan=plan, learnt_from=learnt_from)


@router.post("/check", summary="Try a tracking plan", responses=documented(400))
async def post_check(parts: PartsDep, _: Ops, request: models.CheckRequest) -> models.CheckAnswer:
    """On a sample event, on recent traffic, on both, or only for mistakes in it. Changes and counts nothing. Least role: ops."""
    plan = await run(service.compiled, parts.settings, None if request.plan is None else request.plan.document())
    verdict = tried = None
    if request.event is not None:
        given = request.event
        verdict = _verdict(service.try_event(plan, given.kind, given.event, given.properties), given.properties)
    if request.traffic is not None:
        on_traffic = partial(service.try_traffic, reveal=parts.sealing.plain, plan=plan, now=parts.clock())
        found = await parts.clickhouse(partial(on_traffic, **request.traffic.model_dump()))
        tried = sorted((_tried(name, one) for name, one in found.items()), key=lambda one: (-one.block, -one.checked, one.event))
    return models.CheckAnswer(version=plan.version, verdict=verdict, traffic=tried)


async def _violations(parts: Parts, days: int, event: str) -> tuple[list[Counted], dict[str, Any]]:
    pipe = parts.redis.pipeline(transaction=False)
    for day in days_until(parts.clock(), days):
        pipe.hgetall(counts_key(parts.names, day))
    counts = total(await pipe.execute(), event)
    events = [event] if event else list(dict.fromkeys(count.event for count in counts))[:SAMPLED_EVENTS]
    for name in events:
        pipe.lrange(samples_key(parts.names, name), 0, (SAMPLES if event else SAMPLES_EACH) - 1)
    found = await pipe.execute()
    return counts, {name: read_samples(samples) for name, samples in zip(events, found, strict=True) if samples}


def _answer(document: Document, response: Response) -> models.PlanAnswer:
    response.headers["ETag"] = f'"{document.version}"'
    return models.PlanAnswer(**_version(document), plan=document.body)


def _version(version: Version) -> dict[str, Any]:
    return {"version": version.version, "author": version.author, "created": version.created or None, "note": version.note}


def _verdict(verdict: Verdict, given: dict[str, Any]) -> models.VerdictBody:
    properties = given if verdict.properties is None else verdict.properties
    return models.VerdictBody(action=verdict.action, violations=_bodies(verdict.violations), properties=properties)


def _tried(name: str, tried: Tried) -> models.TriedEvent:
    actions = {action: tried.actions[action] for action in ("allow", "warn", "omit", "block")}
    return models.TriedEvent(event=name, checked=tried.actions.total(), examples=_bodies(tried.examples), **actions)


def _bodies(violations: "tuple[Violation, ...] | list[Violation]") -> list[models.ViolationBody]:
    return [models.ViolationBody(**violation._asdict()) for violation in violations]
