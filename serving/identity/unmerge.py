"""Take an identifier out of its person, or undo a merge: as if they had never become one."""

from cdp.identity import Change, Component
from serving.errors import ApiError
from serving.identity.attempt import part
from serving.identity.change import Plan, carry_out
from serving.identity.cut import around, crossing
from serving.identity.explain import is_merge
from serving.identity.find import Around, find, reading
from serving.identity.models import Changed, UnmergeRequest
from serving.identity.people import parts_of, people_of
from serving.identity.show import shown
from serving.parts import Parts

ONE_OF = "Send `identifier`, or `one_id` and `merge`."


async def unmerge(parts: Parts, request: UnmergeRequest, by: str, *, dry_run: bool) -> Changed:
    """Do it, or say what it would do. Raises ApiError 404, 409 or 422, Unavailable."""
    with reading():
        if request.identifier is not None:
            if request.one_id is not None or request.merge is not None:
                raise ApiError(422, "There is an identifier and a merge.", ONE_OF, field="identifier")
            plan = plan_parting(parts, await find(parts, request.identifier, "identifier"))
        elif request.one_id is not None and request.merge is not None:
            plan = plan_undoing(parts, await find(parts, request.one_id, "one_id"), request.merge)
        else:
            raise ApiError(422, "There is neither an identifier nor a merge.", ONE_OF, field="identifier")
        return await carry_out(parts, plan, by, request.note, dry_run=dry_run)


def plan_parting(parts: Parts, found: Around) -> Plan:
    """An identifier parts from all whom it is with. Raises ApiError 422 if a OneID was given, 409 if it is with nobody."""
    component, key, person = found.component, found.key, found.person
    if not key:
        raise ApiError(422, "A OneID is not an identifier.", "Send type:value, such as phone:13800000000.", field="identifier")
    if found.transaction:  # to part its teller instead would take a member's devices away
        raise ApiError(
            409, f"{found.transaction} is with nobody: {shown(key, component)} alone has told of it, and its events count there.",
            "To take that identifier out of its person, name it.", field="identifier",
        )  # fmt: skip
    others = set(people_of(component).get(person, ())) - {key}
    if not others:
        raise ApiError(409, "This identifier is with no other one.", "See GET /v1/identity/{id} for what there is.")
    pairs, tried = part([component], parts.identity.rules, around(component, key, person), [{key}, others], parts.clock())
    return Plan("apart", pairs, tried, _since(component, key, person), frozenset({person}))


def plan_undoing(parts: Parts, found: Around, version: int) -> Plan:
    """The sides of a merge part. Raises ApiError 404 or 409."""
    component, rules = found.component, parts.identity.rules
    change = next((change for change in component.history if change.version == version), None)
    if change is None:
        raise ApiError(404, f"There is no change {version} in the history.", "See GET /v1/identity/{id}.", field="merge")
    if not is_merge(change):
        raise ApiError(409, "This change parted people.", "To make them one again, POST /v1/identity/merge.", field="merge")
    person = _survivor(component, change)
    pairs, sides = crossing(component, change, person, rules)
    if len(sides) < 2 or not sides[-1]:
        raise ApiError(409, "Those who were merged by it are not one person any more.", "See GET /v1/identity/{id}.")
    pairs, tried = part([component], rules, pairs, sides, parts.clock())
    return Plan("apart", pairs, tried, change.time, frozenset({person}))


def _survivor(component: Component, change: Change) -> int:
    """Who those who moved belong to today: a later merge may have carried them on."""
    owners = [component.people.get(part, target) for _, target, moved in change.moves for part in moved]
    return max(set(owners), key=lambda owner: (owners.count(owner), -owner))


def _since(component: Component, key: str, person: int) -> int:
    """When an identifier came to its person."""
    node = component.nodes[key]
    mine = {*node.numbers, node.shared} & {*parts_of(component, person)}
    for change in reversed(component.history):
        for _, target, moved in change.moves:
            if mine & {*moved} and target == person:
                return change.time
    return min((link.first for link in component.links if key in (link.a, link.b)), default=0)
