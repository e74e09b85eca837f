"""What the API says of rules. Further fields of a rule are shown as well, without a change here."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.documents.document import Version
from serving.documents.models import ChangeView, VersionView


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

    book: int = Field(description="The number of the book of rules in force; 0: there is none yet.")
    tags: list[TagRuleView]


class Rules(BaseModel):
    """All triggers, and how people are recognised."""

    book: int = Field(description="The number of the book of rules in force; 0: there is none yet.")
    triggers: list[TriggerRuleView]
    identifiers: list[IdentifierTypeView]


# -- rules as documents --------------------------------------------------------------------------------------------------------


class RuleVersion(VersionView):
    """A version of a rule, without it."""

    book: int | None = Field(description="The number of the book with which it came in force; null: it is a draft.")
    shipped: bool = Field(description="Whether it came with the platform.")

    @staticmethod
    def fields_of(version: Version) -> dict[str, Any]:
        """The fields above."""
        return VersionView.fields_of(version) | {"book": version.book, "shipped": version.shipped}


class RuleVersions(BaseModel):
    """The newest versions, the newest first. The first of them that is no draft is in force."""

    versions: list[RuleVersion]


class RuleAnswer(RuleVersion):
    """A version of a rule."""

    rule: dict[str, Any] = Field(description="As in tags.yaml or triggers.yaml.")


class RuleLine(BaseModel):
    """A rule as a document."""

    name: str
    title: str
    state: str = Field(description="`live`, `draft`, `dry_run`, `paused` or `retired`; empty: there are drafts only.")
    version: int | None = Field(description="The one in force; null: there are drafts only.")
    author: str = Field(description="Of that version.")
    published: str | None
    book: int | None
    drafts: list[int] = Field(description="Versions above it that were not published.")
    upgrade: int | None = Field(description="The version that is shipped now, if it was not taken; see `GET /v1/rules/upgrades`.")


class TagLines(BaseModel):
    """All tags as documents, by name."""

    tags: list[RuleLine]


class TriggerLines(BaseModel):
    """All triggers as documents, by name."""

    triggers: list[RuleLine]


class UpgradeView(BaseModel):
    """What an upgrade of the platform would change in a rule that somebody edited."""

    kind: Literal["tags", "triggers"]
    name: str
    in_force: int = Field(description="The version in force, which somebody wrote.")
    base: int | None = Field(description="The shipped version that it was edited from; null: it has only the name in common.")
    shipped: int = Field(description="The version that is shipped now, kept as a draft: publish it, or put your own above it.")
    shipped_changes: list[ChangeView] = Field(description="What changed in what is shipped, from `base` to `shipped`.")
    changes: list[ChangeView] = Field(description="What publishing it would change, from `in_force` to `shipped`.")


class Upgrades(BaseModel):
    """All of them, by rule."""

    upgrades: list[UpgradeView]


class Checked(BaseModel):
    """What the rules would make with those in force."""

    tags: int = Field(description="How many tags there would be, those that do not run included.")
    triggers: int
    order: list[str] = Field(
        description="The given rules in an order in which they can be put one by one.", examples=[["tags/vip", "triggers/hello"]]
    )
