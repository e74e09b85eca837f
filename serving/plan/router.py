"""/v1/plan: the tracking plan, its versions and what broke it."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query

from cdp.errors import Unavailable
from serving.auth import Analyst, Ops, PartsDep
from serving.definitions.http import run
from serving.documents.kinds import PLAN
from serving.documents.router import Endpoints, add_endpoints
from serving.errors import documented
from serving.parts import Parts
from serving.plan import models, service
from serving.plan.attempt import Tried
from serving.plan.compile import Verdict, Violation
from serving.plan.violations import KEEP_DAYS, SAMPLES, Counted, counts_key, days_until, read_samples, samples_key, total

router = APIRouter(prefix="/v1/plan", tags=["plan"])

MAX_COUNTS = 1_000
SAMPLED_EVENTS, SAMPLES_EACH = 10, 3


def _body(plan: models.PlanBody) -> dict[str, Any]:
    return plan.document()


add_endpoints(
    router,
    Endpoints(
        title="the tracking plan", kind=lambda: PLAN, body=_body, model=models.PlanAnswer,
        answer=lambda document: {"plan": document.body}, effect="Collectors heed it within a second.",
        reading="; an empty plan of version 0 if there is none", noun="plan",
    ),
)  # fmt: skip


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


def _verdict(verdict: Verdict, given: dict[str, Any]) -> models.VerdictBody:
    properties = given if verdict.properties is None else verdict.properties
    return models.VerdictBody(action=verdict.action, violations=_bodies(verdict.violations), properties=properties)


def _tried(name: str, tried: Tried) -> models.TriedEvent:
    actions = {action: tried.actions[action] for action in ("allow", "warn", "omit", "block")}
    return models.TriedEvent(event=name, checked=tried.actions.total(), examples=_bodies(tried.examples), **actions)


def _bodies(violations: "tuple[Violation, ...] | list[Violation]") -> list[models.ViolationBody]:
    return [models.ViolationBody(**violation._asdict()) for violation in violations]
