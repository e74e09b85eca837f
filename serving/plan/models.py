"""What the tracking plan's endpoints are asked, and what they answer."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from serving.documents.models import VersionView, Whole
from serving.plan.compile import MAX_EVENTS, MAX_NAME, Action, Unplanned

MAX_DEPTH = 64


def _json(value: Any) -> Any:
    """Refuse what JSON cannot say again (NaN, half characters), and what is nested too deep to be answered."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError("not JSON: mind NaN, Infinity, broken Unicode and endless numbers") from error
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_json)]
SchemaBody = Annotated[
    dict[str, Any] | bool, AfterValidator(_json),
    Field(description="JSON Schema (any draft; 2020-12 if it does not say), without references to other documents."),
]  # fmt: skip
EventName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PlannedEvent(_Asked):
    """How one event, or the traits, must look."""

    schema_: SchemaBody = Field({}, alias="schema")
    on_violation: Action = Field("warn", description="What becomes of an event that does not fit.")
    description: str = Field("", max_length=5_000)


class PlanBody(_Asked):
    """A tracking plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "unplanned_events": "warn",
                    "events": {
                        "Product Viewed": {
                            "schema": {
                                "type": "object", "required": ["product_id"],
                                "properties": {"product_id": {"type": "string"}, "price": {"type": "number", "minimum": 0}},
                            },
                            "on_violation": "omit",
                        }
                    },
                }
            ]
        }
    )  # fmt: skip

    unplanned_events: Unplanned = Field("allow", description="What becomes of track and order events that it does not hold.")
    events: dict[EventName, PlannedEvent] = Field({}, max_length=MAX_EVENTS, description="By the event's name.")
    traits: PlannedEvent | None = Field(None, description="The traits of identify messages.")

    def document(self) -> dict[str, Any]:
        """As it was given."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class PlanAnswer(VersionView):
    """A version of the tracking plan."""

    plan: dict[str, Any]


class ViolationBody(BaseModel):
    """What is wrong."""

    path: str = Field(examples=["properties.products[0].price"])
    message: str
    keyword: str = Field(description="Of JSON Schema, or `unplanned`, or `unreadable`.", examples=["minimum"])


class ViolationCount(BaseModel):
    """How often something was wrong."""

    event: str
    path: str = Field(description="Positions in lists are left out: `properties.products[].price`.")
    keyword: str
    source: str = Field(description="The write key's name.")
    count: int


class SampleBody(BaseModel):
    """An event that did not fit."""

    time: str
    source: str
    message_id: str
    action: str
    violations: list[ViolationBody]
    properties: str = Field(description="The beginning of their JSON text, at most 2 KB.")


class ViolationsAnswer(BaseModel):
    """What broke the plan."""

    days: int
    violations: list[ViolationCount] = Field(description="The most frequent first.")
    samples: dict[str, list[SampleBody]] = Field(description="By event, the newest first.")


class Traffic(_Asked):
    """Which recent events to look at."""

    days: Whole = Field(7, ge=1, le=90, description="Received in so many last days.")
    each: Whole = Field(1_000, ge=1, le=10_000, description="At most so many of a name.")
    limit: Whole = Field(20_000, ge=1, le=100_000, description="At most so many in all.")


class DraftAnswer(BaseModel):
    """A plan that recent traffic would fit."""

    plan: dict[str, Any]
    learnt_from: dict[str, int] = Field(description="How many events, by name.")


class SampleEvent(_Asked):
    """An event to try."""

    kind: Literal["track", "order", "page", "screen", "identify"] = "track"
    event: str = Field("", max_length=MAX_NAME, examples=["Product Viewed"])
    properties: JsonObject = Field({}, description="Of identify: the traits.")


class CheckRequest(_Asked):
    """What to try, on what: a sample event, recent traffic, or both. On neither, it is only checked for mistakes."""

    plan: PlanBody | None = Field(None, description="The plan to try; default: the one in force.")
    event: SampleEvent | None = None
    traffic: Traffic | None = None


class VerdictBody(BaseModel):
    """What would become of the event."""

    action: str = Field(description="allow, warn, omit or block.")
    violations: list[ViolationBody]
    properties: dict[str, Any] = Field(description="That it would go on with.")


class TriedEvent(BaseModel):
    """What would become of the events of one name."""

    event: str
    checked: int
    allow: int
    warn: int
    omit: int
    block: int
    examples: list[ViolationBody]


class CheckAnswer(BaseModel):
    """What would happen."""

    version: int = Field(description="Of the plan in force; 0: the one that was given, or none.")
    verdict: VerdictBody | None
    traffic: list[TriedEvent] | None = Field(description="The most blocked first.")
