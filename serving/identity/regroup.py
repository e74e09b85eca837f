"""Let identifiers fall into people by the rules in force, without anything new being said about them."""

from cdp.identity import REGROUP, unpack_component
from serving.errors import ApiError
from serving.identity.change import decision_record
from serving.identity.find import find, reading
from serving.identity.models import Regrouped, RegroupRequest
from serving.parts import Parts

PAGE = 500


async def regroup(parts: Parts, request: RegroupRequest, by: str) -> Regrouped:
    """Touch one component, or each of them once. Raises ApiError 404 or 409, Unavailable."""
    with reading():
        if request.identifier is None:
            return Regrouped(components=await _all(parts, by))
        component = (await find(parts, request.identifier, "identifier")).component
        if not component.id:
            raise ApiError(409, "This identifier was never seen with another one: there is nothing to group.")
        return Regrouped(components=await _touch(parts, [min(component.identifiers)], by))


async def _all(parts: Parts, by: str) -> int:
    """SCAN may name a component twice; to touch it again changes nothing, but it is counted once."""
    touched: set[int] = set()
    names: list[bytes] = []
    async for name in parts.redis.scan_iter(parts.names.component_key_pattern, count=PAGE):
        names.append(name)
        if len(names) == PAGE:
            await _page(parts, names, touched, by)
            names = []
    await _page(parts, names, touched, by)
    return len(touched)


async def _page(parts: Parts, names: list[bytes], touched: set[int], by: str) -> None:
    values = await parts.redis.mget(names) if names else []
    components = {c.id: c for c in (unpack_component(value)[0] for value in values if value is not None)}
    await _touch(parts, [min(component.identifiers) for number, component in components.items() if number not in touched], by)
    touched.update(components)


async def _touch(parts: Parts, keys: list[str], by: str) -> int:
    if keys:
        await parts.publisher.publish([decision_record(parts, REGROUP, (), by, "", [key])[0] for key in keys])
    return len(keys)
