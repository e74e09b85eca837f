"""What the endpoints and the commands do with the tracking plan. Clients come from outside; nothing here knows HTTP."""

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from cdp.reveal import Reveal
from cdp.settings import Settings
from serving.documents.kinds import PLAN
from serving.documents.store import read
from serving.plan.attempt import Tried, attempt
from serving.plan.compile import CompiledPlan, Verdict, compile_plan
from serving.plan.learn import learn
from serving.plan.traffic import recent


def compiled(settings: Settings, body: Any = None) -> CompiledPlan:
    """The given plan, or the one in force. Raises PlanError."""
    if body is not None:
        return compile_plan(body)
    found = read(settings, PLAN)
    return compile_plan(found.body, found.version)


def draft_plan(
    client: Client, reveal: Reveal, now: int, *, days: int, each: int, limit: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """A plan that recent events would fit, and how many of each name it was learnt from."""
    learner = learn((name, properties) for name, _, properties in recent(client, reveal, now, days=days, each=each, limit=limit))
    return learner.plan(), learner.learnt_from


def try_traffic(
    client: Client, reveal: Reveal, plan: CompiledPlan, now: int, *, days: int, each: int, limit: int
) -> dict[str, Tried]:  # fmt: skip
    """What a plan would do to recent events, by name."""
    return attempt(plan, recent(client, reveal, now, days=days, each=each, limit=limit))


def try_event(plan: CompiledPlan, kind: str, event: str, properties: Mapping[str, Any]) -> Verdict:
    """What a plan would do to one event; of identify, `properties` are the traits."""
    return plan.check_traits(properties) if kind == "identify" else plan.check(kind, event, properties)
