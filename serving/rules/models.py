"""What the API says of rules. Further fields of a rule are shown as well, without a change here."""

from pydantic import BaseModel, ConfigDict, Field


class _Rule(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str = Field(description="What it is known by.", examples=["member_level"])


class _Owned(_Rule):
    title: str = Field(description="For people.", examples=["Level of a member"])
    description: str = Field(description="What it is for; empty if the title says it.")
    owner: str = Field(description="Whom to ask about it.")
    version: int = Field(description="Counts its changes.")
    state: str = Field(description="Whether it is in force.", examples=["live"])


class TagRuleView(_Owned):
    """A tag and the expression that gives its value."""

    type: str = Field(description="Of its value.", examples=["text"])
    value: str = Field(description="The expression.", examples=["first(orders.time)"])


class TriggerRuleView(_Owned):
    """A trigger: when it fires, and what it sends."""

    on: list[str] = Field(description="The events that it looks at, or `time`.", examples=[["Signed Up"]])
    when: str = Field(description="The condition; empty: always.")
    occasion: str = Field(description="What it fires once for.", examples=["ever"])
    channels: list[str] = Field(examples=[["webhook"]], description="Through which it sends.")
    content: dict[str, str] = Field(description="The texts, with fields of the person in braces.")


class IdentifierTypeView(_Rule):
    """A type of identifier by which people are recognised."""

    priority: int = Field(description="1 is the strongest.")
    exclusive: bool = Field(description="Whether a person has at most one of it.")


class Tags(BaseModel):
    """All tags."""

    tags: list[TagRuleView]


class Rules(BaseModel):
    """All triggers, and how people are recognised."""

    triggers: list[TriggerRuleView]
    identifiers: list[IdentifierTypeView]
