"""Hold drafts against the tracking plan that is in force: what the collector calls for each event."""

from collections.abc import Callable, Mapping
from typing import Any

from cdp.errors import InvalidEvent
from cdp.events import UNNAMED_KINDS
from cdp.settings import Settings
from serving.collect.draft import Draft
from serving.documents.document import Document
from serving.documents.kinds import PLAN
from serving.documents.watch import watch
from serving.plan.compile import NO_PLAN, CompiledPlan, Verdict, compile_plan

BLOCKED = "blocked_by_plan"

Record = Callable[[str, str, str, Verdict, Mapping[str, Any]], None]
"""Counts violations: event, source, message id, verdict, properties. See `serving.plan.violations.Violations.record`."""


class Police:
    """The plan as it is now. Await `refresh` once a request (it seldom waits); then `current()` for each event, or once."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._watched = watch(settings, PLAN.key, lambda document: enforce(document, record))
        self.refresh = self._watched.get

    def current(self) -> "Enforce | None":
        """What to call with a draft and the source's name; None while there is no plan."""
        return self._watched.current


class Enforce:
    """One version of a plan, applied."""

    def __init__(self, plan: CompiledPlan, record: Record) -> None:
        self.plan = plan
        self._record = record

        self.concerns = plan.concerns

    def __call__(self, draft: Draft, source: str) -> None:
        """Check a draft; may drop offending properties from it. Raises InvalidEvent if the plan blocks the event."""
        verdict = self.plan.check(draft.kind, draft.event, draft.properties)
        if verdict.violations:
            self._mind(draft, source, UNNAMED_KINDS.get(draft.kind) or draft.event or draft.kind, verdict)
            if verdict.properties is not None:
                draft.properties = verdict.properties
        if draft.kind == "identify":
            verdict = self.plan.check_traits(draft.traits)
            if verdict.violations:
                self._mind(draft, source, draft.kind, verdict, traits=True)
                if verdict.properties is not None:
                    draft.traits = verdict.properties

    def _mind(self, draft: Draft, source: str, event: str, verdict: Verdict, *, traits: bool = False) -> None:
        self._record(event, source, draft.message_id, verdict, draft.traits if traits else draft.properties)
        if verdict.action == "block":
            first = verdict.violations[0]
            raise InvalidEvent(BLOCKED, first.path, f"The tracking plan blocks this: {first.message}")


def enforce(document: Document | None, record: Record) -> Enforce | None:
    """A plan's version, ready to be applied; None without one. Raises PlanError if it makes no sense."""
    if document is None:
        return None
    plan = compile_plan(document.body, document.version)
    empty = not plan.events and plan.traits is None and plan.unplanned == NO_PLAN.unplanned
    return None if empty else Enforce(plan, record)
