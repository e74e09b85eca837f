"""What the API says of a person."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from serving.waiting import WaiterView

Status = Literal["done", "on_its_way"]
TagValue = str | int | float | bool


class IdentifierView(BaseModel):
    """One identifier of a person."""

    type: str = Field(examples=["phone"])
    value: str = Field(examples=["+8613800000000"])
    first_seen: str = Field(description="ISO 8601, UTC.")


class AttributeView(BaseModel):
    """One trait."""

    value: Any
    since: str = Field(description="Time of the event that set it.")


class TagView(BaseModel):
    """One tag that the person has."""

    value: TagValue
    since: str = Field(description="Time of the event, or of the passing of time, that set it.")


class OrdersView(BaseModel):
    """The person's orders, counted as tags count them: cancelled, unpaid and fully refunded ones are no orders."""

    count: int
    net_amount: float = Field(description="In the currency's unit, refunds taken off.")
    other_currencies: dict[str, float] = Field(
        default_factory=dict, description="Refunds in other currencies than their orders', which are not taken off."
    )
    first: str | None = None
    last: str | None = None


class EventView(BaseModel):
    """One event of the person."""

    time: str
    kind: str
    event: str
    channel: str
    store: str
    message_id: str
    properties: Any


class ProfileView(BaseModel):
    """One person as of now."""

    one_id: str = Field(
        description="The person's OneID: the survivor's, if the one asked for was merged away.", examples=["P0000000042"]
    )
    asked: str | None = Field(None, description="The OneID that was asked for, if it leads to another one today.")
    merged_from: list[str] = Field(description="OneIDs that became this person.")
    first_seen: str | None
    last_seen: str | None
    events: int = Field(description="How many events were applied.")
    identifiers: list[IdentifierView]
    attributes: dict[str, AttributeView]
    tags: dict[str, TagView]
    orders: OrdersView
    recent_events: list[EventView] | None = Field(
        description="Newest first; null if ClickHouse did not answer, or none were asked for."
    )
    note: str | None = Field(None, description="What is missing in this answer, and why.")
    as_of: str | None = Field(description="The person's own clock: the latest event, or tick of time, that this answer knows of.")


class WaitingView(BaseModel):
    """What a person waits for."""

    one_id: str = Field(description="The survivor's, if the one asked for was merged away.", examples=["P0000000042"])
    asked: str | None = Field(None, description="The OneID that was asked for, if it leads to another one today.")
    status: Status = Field(description="`done`: the command was handled, if one was asked for, and nothing is waited for.")
    events: int = Field(description="How many events are counted.")
    waits_for: WaiterView | None = Field(None, description="Null: nothing.")


class Rebuilt(BaseModel):
    """What came of counting a person again."""

    one_id: str = Field(description="The survivor's, if the one asked for was merged away.", examples=["P0000000042"])
    asked: str | None = Field(None, description="The OneID that was asked for, if it leads to another one today.")
    status: Status = Field(description="`on_its_way`: it will be done, but was not within the time that was to be waited.")
    offset: int = Field(description="Of the command; `GET /v1/profiles/{one_id}/waiting` follows it.")
    events_before: int = Field(description="How many events were counted before.")
    events: int = Field(description="How many are counted now.")
    waits_for: WaiterView | None = Field(None, description="What the person still waits for; null: nothing.")
