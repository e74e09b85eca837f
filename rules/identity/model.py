"""What identity.yaml holds, once read and checked: which identifiers lead to a person, and how traits are compared."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum, inf, log2
from typing import Literal

from rules.identity.patterns import join_patterns

WEAKEST = 99  # priority of types that no rule declares

Window = Literal["ever", "day", "week", "month", "year"]
Comparator = Literal["exact", "name", "text", "code", "date"]
Evidence = Literal["personal", "address", "other"]
Cut = Literal["whole", "sound", "start", "year", "month_day"]


@dataclass(frozen=True)
class Limit:
    """How many values of a type one person may have, ever or within any window of that length."""

    count: int
    window: Window = "ever"


@dataclass(frozen=True)
class IdentifierType:
    """A kind of identifier.

    Attributes:
        name: e.g. ``phone``.
        priority: 1 is the strongest; when two disagree the weaker gives way.
        strength: in (0, 1]; the confidence that what one value links is one person.
        exclusive: a person has at most one value of it, ever; `limits` then holds ``Limit(1, "ever")`` as well.
        limits: how many values one person may have.
        normalise: steps by name, see `rules.identity.steps`.
        blocked: values that identify nobody, in small letters; how they are compared is said in `rules.identity.nobody`.
        blocked_patterns: patterns of values that identify nobody; each must match a whole value.
        allowed: values that identify somebody although they are blocked, in small letters.
        lifetime_days: how long after it was last seen a value still leads to its person; 0: for ever.
        personal: whether the value is personal data, and is stored sealed.
        counts_alone: what a value says together with others counts under it alone, see `rules.identity.combine`: for identifiers
            that never serve several people.
        transaction: a value names something that one person does once, such as an order: it links at most one value of each
            type, and is kept without a node in the graph as long as it links nothing.
        memory_days: of a transaction: for how many days it is remembered who alone told of it; 0: for ever.
    """

    name: str
    priority: int
    strength: float = 1.0
    exclusive: bool = False
    limits: tuple[Limit, ...] = ()
    normalise: tuple[str, ...] = ("trim",)
    blocked: frozenset[str] = frozenset()
    blocked_patterns: tuple[re.Pattern[str], ...] = ()
    allowed: frozenset[str] = frozenset()
    lifetime_days: int = 0
    personal: bool = False
    counts_alone: bool = False
    transaction: bool = False
    memory_days: int = 0

    @cached_property
    def joined_patterns(self) -> tuple[re.Pattern[str], ...]:
        """`blocked_patterns`, put together."""
        return join_patterns(self.blocked_patterns)

    @cached_property
    def surely_allowed(self) -> float:
        """So many values of one person are within every limit, whenever they came in."""
        return min((limit.count for limit in self.limits), default=inf)


@dataclass(frozen=True)
class Level:
    """One outcome of a comparison and how often it is met.

    Attributes:
        m: the share of pairs of records of ONE person, both with the field, that come out so.
        u: the share of pairs of records of TWO people that come out so.
        home: the same for two people of one household, if there it is not `u`: twins share a birth date, a son his father's name.
    """

    m: float
    u: float
    home: float | None = None

    @cached_property
    def bits(self) -> float:
        """Evidence for one person, log2(m / u): Fellegi and Sunter, A Theory for Record Linkage, JASA 64 (1969)."""
        return log2(self.m / self.u)

    @cached_property
    def home_bits(self) -> float:
        """Evidence for one person against two of one household."""
        return log2(self.m / (self.u if self.home is None else self.home))


@dataclass(frozen=True)
class Field:
    """A field in which two records are compared.

    Attributes:
        name: the field's name.
        traits: names of traits that hold it, the first that is there counts; ``address.city`` looks into an object.
        compare: how two values are compared, see `rules.identity.compare`.
        evidence: ``address`` evidence has a ceiling, since a household shares it; ``personal`` evidence has a floor.
        agree: the values are equal.
        close: they are nearly equal, as after a typing error; None: nearly equal is not told from unequal.
        similar: they have much in common, as after several; None: that is not told from unequal.
        swap: the name of the field with which its values get mixed up, as given and family names do; "" if none.
        ignore: values that say nothing, in canonical form, such as a form's preset birthday.
    """

    name: str
    traits: tuple[str, ...]
    compare: Comparator
    evidence: Evidence
    agree: Level
    close: Level | None = None
    similar: Level | None = None
    swap: str = ""
    ignore: frozenset[str] = frozenset()

    @cached_property
    def differ(self) -> Level:
        """The values are unequal: what the other levels leave."""
        levels = [level for level in (self.agree, self.close, self.similar) if level]
        homes = [level.u if level.home is None else level.home for level in levels]
        return Level(1.0 - fsum(level.m for level in levels), 1.0 - fsum(level.u for level in levels), 1.0 - fsum(homes))


@dataclass(frozen=True)
class KeyPart:
    """What a field gives to a key: all of it, how it sounds, its first `length` signs, or a date's year, or month and day."""

    field: str
    cut: Cut = "whole"
    length: int = 0


@dataclass(frozen=True, eq=False)
class Matching:
    """How records that share no identifier are compared by traits. Compared and hashed by identity.

    Attributes:
        fields: by name, in the order of the file.
        keys: combinations that find candidates; none of them merges anybody by itself.
        merge_from: the posterior probability from which two records are one person's.
        review_from: the posterior probability from which an operator is asked.
        population: how many people there are; None: as many as there are records.
        crowd: a key that leads to more people than this finds nobody.
        address_ceiling: bits that all address evidence together may bring.
        address_floor: bits that it may cost at most: who moves changes every field of it at once.
        personal_floor: bits that personal evidence must bring, against two people of one household, before anybody is merged.
    """

    fields: Mapping[str, Field]
    keys: tuple[tuple[KeyPart, ...], ...]
    merge_from: float = 0.99
    review_from: float = 0.5
    population: int | None = None
    crowd: int = 50
    address_ceiling: float = 18.0
    address_floor: float = -6.0
    personal_floor: float = 7.0


@dataclass(frozen=True, eq=False)
class IdentityRules:
    """One version of identity.yaml. Compared and hashed by identity: it is read once and handed around.

    Attributes:
        version: the version of the rules.
        region: the region of phone numbers that do not say theirs, e.g. ``CN``.
        identifiers: by name, in the order of the file.
        matching: None: records are linked by identifiers alone.
        others: stands for every type that no rule declares: only trimmed, and what is blocked for all types is blocked for it.
    """

    version: int
    region: str
    identifiers: Mapping[str, IdentifierType] = field(repr=False)
    matching: Matching | None = None
    others: IdentifierType = field(default=IdentifierType("", WEAKEST), repr=False)
