"""What analytics are asked, and what they answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from serving.analytics.span import When, Window
from serving.errors import whole

EventName = Annotated[str, Field(min_length=1, max_length=512, examples=["Product Viewed"])]
Value = StrictBool | StrictInt | StrictFloat | StrictStr


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)


class FunnelStep(_Asked):
    """One step: an event, with properties that must equal."""

    event: EventName
    where: dict[Annotated[str, Field(max_length=200)], Value] = Field(
        default={}, max_length=10, description="Property to wanted value."
    )


class FunnelRequest(_Asked):
    """A funnel."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "steps": [{"event": "Product Viewed"}, {"event": "Product Added"}, {"event": "Order Completed"}],
                    "window": "7d",
                }
            ]
        }
    )

    steps: list[FunnelStep] = Field(min_length=2, max_length=10)
    window: Window = Field("7d", description="From the first step to the last: a number and s, m, h, d or w, or `unlimited`.")
    from_: When | None = Field(None, alias="from", description="Chains begin at or after it; default: 30 days ago.")
    to: When | None = Field(None, description="Chains begin before it; default: now.")
    strict: bool = Field(
        False,
        description="Each step strictly after the one before; otherwise events of the same moment count as ordered.",
    )


class Freshness(BaseModel):
    """How new the facts are that an answer rests on."""

    newest_event_received_at: str | None = Field(description="When the newest event in the facts was received.")
    asked_at: str


class StepResult(BaseModel):
    """How many people got to a step."""

    event: str
    people: int
    from_start: float | None = Field(description="Share of those who began; null if nobody did.")
    from_previous: float | None = Field(description="Share of those at the step before; null if nobody was.")


class FunnelResult(BaseModel):
    """A funnel's answer."""

    steps: list[StepResult]
    from_: str = Field(alias="from")
    to: str
    freshness: Freshness


class RetentionRequest(_Asked):
    """A retention table."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"start_event": "Order Completed", "return_event": "Order Completed", "unit": "week", "periods": 8}]
        }
    )

    start_event: EventName
    return_event: EventName
    unit: Literal["day", "week", "month"] = "day"
    periods: Annotated[int, BeforeValidator(whole)] = Field(
        7, ge=1, le=60, description="How many later periods to follow each cohort."
    )
    from_: When | None = Field(None, alias="from", description="First start; default: as many periods ago as are followed.")
    to: When | None = Field(None, description="Starts before it; default: now.")
    first_time: bool = Field(
        True, description="Count a person once, at the first start event ever; else in every period with one."
    )


class Cohort(BaseModel):
    """The people who began in one period."""

    start: str = Field(description="First calendar day of the period, in the workspace's time zone.")
    people: int
    returned: list[int | None] = Field(description="People who came back 0, 1, 2 ... periods later; null: not begun yet.")


class SessionsRow(BaseModel):
    """The sessions that began on one day through one channel."""

    day: str = Field(description="Calendar day in the workspace's time zone.")
    traffic: str = Field(description="Channel; empty for sessions without any page or screen.")
    sessions: int
    people: int
    bounce_rate: float = Field(description="Share with at most one page or screen, under 10 seconds, and no order.")
    average_seconds: float = Field(description="From the first event to the last.")
    pages: float = Field(description="Pages and screens of a session, on average.")
    conversions: int = Field(description="Sessions with an order that counts.")
    orders: int
    amount: float = Field(description="What these orders are worth today.")


class SessionsResult(BaseModel):
    """Sessions by day and channel."""

    timezone: str
    rows: list[SessionsRow]
    from_: str = Field(alias="from")
    to: str
    freshness: Freshness


class RetentionResult(BaseModel):
    """A retention table's answer."""

    unit: str
    timezone: str
    cohorts: list[Cohort]
    from_: str = Field(alias="from")
    to: str
    freshness: Freshness
