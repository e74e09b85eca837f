"""What a rule file holds, once read and checked."""

from dataclasses import dataclass, field
from typing import Literal

from rules.identity.model import IdentifierType
from rules.language.syntax import Expression

State = Literal["draft", "dry_run", "live", "paused", "retired"]
Occasion = Literal["ever", "year", "day", "order", "message"]


@dataclass(frozen=True)
class TagRule:
    """A tag: a name, and an expression that gives its value; empty values (null, false, 0) mean the person has not got it."""

    name: str
    title: str
    type: Literal["text", "number", "yes_no", "time"]
    value: str
    expression: Expression = field(repr=False)
    description: str = ""
    owner: str = "platform"
    version: int = 1
    state: State = "live"


@dataclass(frozen=True)
class TriggerRule:
    """A rule that fires an action.

    Attributes:
        on: names of events that are looked at; ``time`` means: whenever time, or what `when` asks for, may have made it true.
        when: condition; None: always.
        occasion: how often one person may get it: once ever, a year, a day, for an order, for a message.
        max_age_days: events that were older than this when they came do not fire: history is not news.
        channels: where the action goes, ``webhook`` or ``log``.
        content: texts; ``{attribute.name}`` and ``{tag.name}`` are filled in.
    """

    name: str
    title: str
    on: tuple[str, ...]
    condition: Expression | None = field(repr=False)
    occasion: Occasion
    channels: tuple[str, ...]
    content: tuple[tuple[str, str], ...]
    when: str = ""
    max_age_days: int = 1
    description: str = ""
    owner: str = "platform"
    version: int = 1
    state: State = "live"


@dataclass(frozen=True)
class RuleBook:
    """All rules: tags in an order in which each comes after those that it uses, triggers by name."""

    identifiers: tuple[IdentifierType, ...]
    tags: tuple[TagRule, ...]
    triggers: tuple[TriggerRule, ...]
