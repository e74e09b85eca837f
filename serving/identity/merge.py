"""Make two people one because somebody says so."""

from collections.abc import Sequence

from cdp.identity import Component
from rules.identity.model import IdentityRules, Limit
from rules.identity.place import MAX_NODES
from serving.errors import ApiError
from serving.identity.attempt import attempt, breaks, glue
from serving.identity.change import Plan, carry_out
from serving.identity.find import Around, find, reading
from serving.identity.models import Changed, MergeRequest
from serving.identity.people import Pair, as_pair, people_of, strongest
from serving.parts import Parts


async def merge(parts: Parts, request: MergeRequest, by: str, *, dry_run: bool) -> Changed:
    """Do it, or say what it would do. Raises ApiError 404, 409 or 422, Unavailable."""
    with reading():
        one, other = await find(parts, request.one, "one"), await find(parts, request.other, "other")
        plan = plan_merging(parts, one, other, force=request.force)
        return await carry_out(parts, plan, by, request.note, dry_run=dry_run)


def plan_merging(parts: Parts, one: Around, other: Around, *, force: bool) -> Plan:
    """Two people become one. Raises ApiError 409 if the rules forbid it, and nobody insists."""
    rules, now = parts.identity.rules, parts.clock()
    components = _distinct(one.component, other.component)
    if one.person == other.person:
        return Plan("together", [], attempt(components, rules, ()), now, frozenset({one.person}))
    mine, theirs = _members(one), _members(other)
    check_size(components)
    pair = as_pair(_speaker(one, mine, rules), _speaker(other, theirs, rules))
    broken = breaks(components, rules, mine, theirs, now)
    if broken is not None and not force:
        raise ApiError(409, f"They would be one person with {_says(*broken)}.", "If they are one all the same, send force: true.")
    pairs, tried = glue(components, rules, [pair], now)
    return Plan("together", pairs, tried, now, frozenset({one.person, other.person}))


def check_size(components: Sequence[Component]) -> None:
    """Raises ApiError 409 if too many identifiers would hang together."""
    if sum(len(component.identifiers) for component in components) > MAX_NODES:
        raise ApiError(409, f"More than {MAX_NODES} identifiers would hang together: that is no person.")


def forced(components: Sequence[Component], rules: IdentityRules, pairs: Sequence[Pair], now: int) -> Plan:
    """The people of some pairs become one, whatever limits say."""
    check_size(components)
    people = {person for c in components for person, keys in people_of(c).items() for pair in pairs if {*pair} & {*keys}}
    wanted, tried = glue(components, rules, pairs, now)
    return Plan("together", wanted, tried, now, frozenset(people))


def _distinct(one: Component, other: Component) -> list[Component]:
    return [one] if one.nodes.keys() == other.nodes.keys() else [one, other]


def _members(found: Around) -> list[str]:
    return people_of(found.component).get(found.person, [found.key] if found.key else [])


def _speaker(found: Around, members: Sequence[str], rules: IdentityRules) -> str:
    """The identifier that the decision names: the one that was asked for, else the person's strongest. Raises ApiError 409."""
    for key in [found.key] if found.key else strongest(members, rules):
        if found.component.nodes[key].shared_from < 0:
            return key
    raise ApiError(
        409, "This identifier serves several people, and stands for nobody.", "Name the person by another identifier or OneID."
    )  # fmt: skip


def _says(type_: str, limit: Limit) -> str:
    window = "ever" if limit.window == "ever" else f"a {limit.window}"
    return f"more than {limit.count} {type_} {window}, which the rules forbid"
