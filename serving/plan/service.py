"""What the endpoints and the commands do with the tracking plan. Clients come from outside; nothing here knows HTTP."""

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from cdp.reveal import Reveal
from cdp.settings import Settings
from serving.definitions.documents import Document, read_document, rollback_document, write_document
from serving.definitions.errors import NotFoundError
from serving.plan.attempt import Tried, attempt
from serving.plan.compile import CompiledPlan, Verdict, compile_plan
from serving.plan.learn import learn
from serving.plan.police import NAME
from serving.plan.traffic import recent


def write_plan(settings: Settings, body: Any, *, author: str, note: str = "", expected: int | None = None) -> Document:
    """Check a plan and put it in force. Raises PlanError, ConflictError."""
    compile_plan(body)
    return write_document(settings, NAME, body, author=author, note=note, expected=expected)


def rollback_plan(settings: Settings, to: int, *, author: str, expected: int | None = None) -> Document:
    """Put an old version in force again. Raises NotFoundError, ConflictError, PlanError."""
    old = read_document(settings, NAME, to)
    if old is not None:
        compile_plan(old.body)
    return rollback_document(settings, NAME, to, author=author, expected=expected)


def read_plan(settings: Settings, version: int | None = None) -> Document:
    """A version, by default the one in force; an empty plan of version 0 if there is none. Raises NotFoundError."""
    found = read_document(settings, NAME, version)
    if found is None and version is not None:
        raise NotFoundError(f"There is no version {version} of the tracking plan.", "See GET /v1/plan/versions.")
    return found or Document(version=0, author="", created="", note="", body={})


def compiled(settings: Settings, body: Any = None) -> CompiledPlan:
    """The given plan, or the one in force. Raises PlanError."""
    if body is not None:
        return compile_plan(body)
    found = read_plan(settings)
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
