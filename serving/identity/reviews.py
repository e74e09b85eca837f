"""What waits for somebody's decision: two people who may be one, and why nobody else can say.

RESOLVE keeps the components in which something waits in a sorted set, by the time of the oldest. A decision is remembered with
the identifiers it is about, so what was decided does not come back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cdp.clock import to_iso
from cdp.identity import Component, Refusal
from serving.errors import ApiError
from serving.identity.attempt import part
from serving.identity.change import Plan, carry_out
from serving.identity.explain import show_refusal
from serving.identity.find import opened, read_component, reading
from serving.identity.merge import forced
from serving.identity.models import Changed, ReviewRequest, Reviews, ReviewView, SideView
from serving.identity.people import as_pair, people_of, person_now, span_at
from serving.identity.show import shown, shown_person
from serving.parts import Parts

PAGE = 50


@dataclass(frozen=True)
class Item:
    """Two people, and the links between them that wait.

    Attributes:
        people: their numbers, the lower first.
        elsewhere: of a link into another component, the other component by the identifier there.
    """

    component: Component
    people: tuple[int, int]
    refusals: list[Refusal]
    elsewhere: Mapping[str, Component]

    @property
    def id(self) -> str:
        """component-person-person."""
        return f"{self.component.id}-{self.people[0]}-{self.people[1]}"

    @property
    def since(self) -> int:
        """The time of the oldest of the links."""
        return min(refusal.time for refusal in self.refusals)

    @property
    def components(self) -> list[Component]:
        """All that it is about."""
        return [self.component, *{c.id: c for c in self.elsewhere.values()}.values()]


async def list_reviews(parts: Parts, limit: int, cursor: str | None) -> Reviews:
    """A page of what waits: at least so many items, if there are, and whole components. Raises ApiError 422, Unavailable."""
    with reading():
        waiting = await parts.redis.zcard(parts.names.review_key)
        numbers = await _components_after(parts, cursor, limit + 1)
        values = await parts.redis.mget([parts.names.component_key(n) for n, _ in numbers[:limit]]) if numbers else []
        found: list[ReviewView] = []
        for value in values:
            if value is not None:
                found += [view(item, parts.clock()) for item in await items_of(parts, opened(parts, value))]
    more = len(numbers) > limit
    next_ = f"{numbers[limit - 1][1]}-{numbers[limit - 1][0]}" if more else None
    return Reviews(waiting=waiting, reviews=found, next=next_)


async def decide_review(parts: Parts, id_: str, request: ReviewRequest, by: str, *, dry_run: bool) -> Changed:
    """The two people of an item are one, or are not. Raises ApiError 404 or 409, Unavailable."""
    with reading():
        item = await _find(parts, id_)
        pairs = [as_pair(refusal.a, refusal.b) for refusal in item.refusals]
        if request.decision == "approve":
            plan = forced(item.components, parts.identity.rules, pairs, parts.clock())
        else:
            people = people_of(item.component)
            sides = [set(people.get(number, ())) for number in item.people]
            pairs, tried = part(item.components, parts.identity.rules, pairs, [sides[1] - sides[0], sides[0]], parts.clock())
            plan = Plan("apart", pairs, tried, item.since, frozenset(item.people))
        return await carry_out(parts, plan, by, request.note, dry_run=dry_run)


async def items_of(parts: Parts, component: Component) -> list[Item]:
    """What waits in a component, the oldest first."""
    waiting = [refusal for refusal in component.refusals if refusal.review]
    foreign = {key for refusal in waiting for key in (refusal.a, refusal.b) if key not in component.nodes}
    elsewhere = {key: other for key in sorted(foreign) if (other := await read_component(parts, key)) is not None}
    by_people: dict[tuple[int, int], list[Refusal]] = {}
    for refusal in waiting:
        ends = [_person(component, elsewhere, key, refusal.time) for key in (refusal.a, refusal.b)]
        by_people.setdefault((min(ends), max(ends)), []).append(refusal)
    items = [
        Item(component, people, refusals, {k: c for k, c in elsewhere.items() if any(k in (r.a, r.b) for r in refusals)})
        for people, refusals in by_people.items()
    ]
    return sorted(items, key=lambda item: (item.since, item.people))


def view(item: Item, now: int) -> ReviewView:
    """What is shown of an item."""
    pairs = {as_pair(refusal.a, refusal.b) for refusal in item.refusals}
    matches = [match for match in item.component.matches if as_pair(match.a, match.b) in pairs]
    best = max(matches, key=lambda match: match.bits, default=None)
    return ReviewView(
        id=item.id, since=to_iso(item.since), reasons=[show_refusal(item.component, refusal) for refusal in item.refusals],
        sides=[_side(item, number, now) for number in item.people],
        fields=dict(best.fields) if best is not None else {},
        bits=best.bits if best is not None else max(refusal.bits for refusal in item.refusals),
    )  # fmt: skip


def _side(item: Item, number: int, now: int) -> SideView:
    for component in item.components:
        keys = people_of(component).get(number) if number else None
        if keys:
            return SideView(one_id=shown_person(number), identifiers=[shown(key, component) for key in keys])
    ends = {key for refusal in item.refusals for key in (refusal.a, refusal.b)}
    lost = [key for c in item.components for key in sorted(ends & c.nodes.keys()) if person_now(c, key, now) == number]
    return SideView(one_id=shown_person(number), identifiers=[shown(key, item.component) for key in lost])


def _person(component: Component, elsewhere: Mapping[str, Component], key: str, time: int) -> int:
    home = component if key in component.nodes else elsewhere.get(key)
    return span_at(home, key, time).person if home is not None else 0


async def _find(parts: Parts, id_: str) -> Item:
    """An item by its id. Raises ApiError 404."""
    value = await parts.redis.get(parts.names.component_key(int(id_.partition("-")[0])))
    items: Iterable[Item] = await items_of(parts, opened(parts, value)) if value is not None else ()
    found = next((item for item in items if item.id == id_), None)
    if found is None:
        raise ApiError(404, f"Nothing waits under {id_}.", "It may have been decided, or changed meanwhile: list them again.")
    return found


async def _components_after(parts: Parts, cursor: str | None, count: int) -> list[tuple[int, int]]:
    """(component, time of its oldest) from the oldest on, behind the one that a cursor names."""
    last = tuple(map(int, cursor.split("-"))) if cursor is not None else (-1, -1)
    found: list[tuple[int, int]] = []
    start = 0
    while len(found) < count:
        page = await parts.redis.zrangebyscore(
            parts.names.review_key, max(last[0], 0), "+inf", start=start, num=PAGE, withscores=True
        )
        # Of one time the set is ordered by the member's text.
        ahead = [(int(member), int(score)) for member, score in page]
        found += [(member, score) for member, score in ahead if (score, str(member)) > (last[0], str(last[1]))]
        if len(page) < PAGE:
            break
        start += PAGE
    return found[:count]
