"""What an event says about who is who: which identifiers it links, unbinds, or what somebody decided about them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cdp.clock import DAY
from cdp.identity import DAYS_KEPT, Component, Decision, Link, Node, Seen, Traits

RECORDS_KEPT = 8
EXPRESS_KINDS = frozenset({"identify", "alias"})
EXPRESS_EVENTS = frozenset({"$SignUp", "$BindID"})  # of kind track


@dataclass(frozen=True, slots=True)
class Sighting:
    """An event, as far as identity goes.

    Attributes:
        ids: keys of identifiers in their normal form, the strongest first.
        time, received_at: when it happened, and when it was received, in microseconds.
        source: who says so.
        is_express: it says that they are one (login, bind, alias), not only that they came together.
        unbinds: it says that the weaker identifiers part from the strongest; a lone one parts from everybody.
        sealed: the encrypted forms of personal identifiers, by key.
        record: the traits that came with it, as they are compared; empty if there are none.
        candidates: keys of identifiers that may be the same person's by their traits.
        decisions: what somebody decided, if it is a decision.
        combined: the identifiers under which it counts together, see `rules.identity.combine`; () if under the strongest alone.
        combination: the key of that combination.
        regroups: it says nothing new, but its identifiers shall fall into people by the rules in force.
    """

    ids: tuple[str, ...]
    time: int
    received_at: int
    source: str = ""
    message_id: str = ""
    is_express: bool = False
    unbinds: bool = False
    sealed: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, str] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    regroups: bool = False
    combined: tuple[str, ...] = ()
    combination: str = ""

    @property
    def keys(self) -> list[str]:
        """The keys of all that it is about."""
        decided = (key for decision in self.decisions for key in (decision.a, decision.b))
        return [*self.ids, *((self.combination,) if self.combined else ()), *self.candidates, *decided]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The identifiers that it links: each weaker one to the strongest."""
        if self.unbinds or self.decisions or self.regroups:
            return []
        return [(self.ids[0], other) for other in self.ids[1:]]


def is_express(kind: str, event: str) -> bool:
    """Whether an event says expressly that its identifiers are one person's."""
    return kind in EXPRESS_KINDS or (kind == "track" and event in EXPRESS_EVENTS)


def find_link(component: Component, one: str, two: str) -> Link | None:
    """The link between two identifiers, in either order."""
    a, b = (one, two) if one < two else (two, one)
    return next((link for link in component.links if link.a == a and link.b == b), None)


def see_link(component: Component, one: str, two: str, sighting: Sighting) -> bool:
    """Add to the evidence that two identifiers are one person's. Returns whether who is who may depend on it."""
    link = find_link(component, one, two)
    if link is None:
        link = Link(min(one, two), max(one, two), {})
        component.links.append(link)
    return see(link.sources, sighting)


def see(sources: dict[str, Seen], sighting: Sighting) -> bool:
    """Add to what each source says for a link. Returns whether who is who may depend on it."""
    seen = sources.get(sighting.source)
    bound = sighting.time if sighting.is_express else 0
    day = sighting.time // DAY
    if seen is None:
        sources[sighting.source] = Seen(sighting.time, [day], bound)
        return True
    changed = sighting.time < seen.first or bound > seen.bound
    seen.first, seen.bound = min(seen.first, sighting.time), max(seen.bound, bound)
    if day not in seen.days:
        seen.days = sorted({*seen.days, day})[-DAYS_KEPT:]
        changed = True
    return changed


def says_nothing_new(seen: Seen | None, sighting: Sighting) -> bool:
    """Whether the evidence holds it already; None: it is evidence that is not kept."""
    if seen is None:
        return True
    is_known = sighting.time >= seen.first and sighting.time // DAY in seen.days
    return is_known and (not sighting.is_express or sighting.time <= seen.bound)


def see_unbinding(node: Node, time: int) -> bool:
    """An identifier parts from whoever had it. Returns whether that was not known."""
    if time in node.unbound:
        return False
    node.unbound = sorted([*node.unbound, time])
    return True


def see_traits(node: Node, values: Mapping[str, str], time: int) -> bool:
    """Keep traits that came with an identifier, the first of all if they are many. Returns whether they were not known."""
    text = msgspec.json.encode(values, order="sorted").decode()
    before = {traits.text: traits.time for traits in node.records}
    if before.get(text, time + 1) <= time:
        return False
    after = sorted((since, said) for said, since in (before | {text: time}).items())[:RECORDS_KEPT]
    node.records = [Traits(since, said) for since, said in after]
    return {said: since for since, said in after} != before


def decide(component: Component, decision: Decision) -> bool:
    """Remember what somebody decided. Returns whether that was not known."""
    if decision in component.decisions:
        return False
    component.decisions.append(decision)
    return True
