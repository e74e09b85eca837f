"""What was done to attributes: set, set_once, increment, append, union, unset, delete.

What an attribute is follows from the set of what was done to it, by the events' times, and not from the order of arrival:

- the latest set or unset stands, and a delete unsets everything at its time;
- set_once counts where nothing is set: of all the earliest, or, where that was unset since, the latest;
- increments later than the set or unset that stands are added up, on top of a number or of nothing;
- appended values later than that are put behind it, each value once, at the place where it was appended last.

The newest 200 increments and values of an attribute are kept one by one. Older increments are summed up and count as one, at
the time of the newest of them; older values are dropped.
"""

from typing import Any

import msgspec

from cdp.money import MONEY
from profiles.components.attributes.state import Attribute, Attributes, Operations

KEPT = 200
_LIMIT = 2**62

Moment = tuple[int, int]
"""Time and digest of an event: no two events have the same."""
_NEVER: Moment = (0, 0)

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


def change(state: Attributes, operation: str, values: dict[str, Any], moment: Moment) -> bool:
    """Do an operation of `cdp.events.PROFILE_OPERATIONS`, or ``set``. Returns whether an attribute is another than before.

    Args:
        values: as `cdp.operations.check_operation` lets them pass.
        moment: the event's time and digest.
    """
    if operation == "delete":
        return _delete(state, moment)
    changed = False
    for name, value in values.items():
        current = state.values.get(name)
        if current is None:
            current = state.values[name] = Attribute(None, *_NEVER, gone=True)
        if current.operations is None and operation in ("set", "unset"):
            changed |= _set(current, value, moment, gone=operation == "unset", deleted=state.deleted)
            continue
        before = (current.gone, current.value)
        if current.operations is None:
            current.operations = _opened(current)
        _enter(current.operations, operation, value, moment)
        settle(current, state.deleted)
        changed |= before != (current.gone, current.value)
    return changed


def combine(into: Attributes, other: Attributes) -> None:
    """Put other attributes to these, as if everything had always been done to one person."""
    into.deleted = max(into.deleted, other.deleted)
    for name, theirs in other.values.items():
        ours = into.values.get(name)
        if ours is None:
            into.values[name] = theirs
        elif ours.operations is None and theirs.operations is None:
            _set(ours, theirs.value, (theirs.time, theirs.digest), gone=theirs.gone, deleted=_NEVER)
        else:
            merged = ours.operations or _opened(ours)
            _join(merged, theirs.operations or _opened(theirs))
            ours.operations = merged
    for attribute in into.values.values():
        settle(attribute, into.deleted)


def settle(attribute: Attribute, deleted: Moment) -> None:
    """Work out what an attribute is now, and forget the values that were deleted."""
    done = attribute.operations
    if done is None:
        if not attribute.gone and (attribute.time, attribute.digest) < deleted:
            _become(attribute, None, deleted, gone=True)
        elif attribute.gone:
            _become(attribute, None, max((attribute.time, attribute.digest), deleted), gone=True)
        return
    _forget(done, deleted)
    value, since, gone = _base(done, deleted)
    floor = _floor(done, deleted)
    added = [entry for entry in done.added if entry[:2] > floor]
    older = done.older if done.older is not None and done.older[:2] > floor else None
    if (added or older is not None) and (gone or _is_number(value)):
        total = sum(amount for _, _, amount in added) + (older[2] if older is not None else 0)
        value, gone = _plus(0 if gone else value, total), False
        since = max(since, added[-1][:2] if added else _NEVER, older[:2] if older is not None else _NEVER)
    items = sorted((at, text) for text, at in done.items.items() if at[:2] > floor)
    if items:
        listed = [] if gone else list(value) if isinstance(value, list) else [value]
        known = {_text(item) for item in listed}
        value, gone = listed + [_decode(text) for _, text in items if text not in known], False
        since = max(since, items[-1][0][:2])
    _become(attribute, value, since, gone=gone)


# -- what was done --------------------------------------------------------------------------------------------------


def _enter(done: Operations, operation: str, value: Any, moment: Moment) -> None:
    match operation:
        case "set" | "unset":
            if done.base is None or moment > done.base[:2]:
                gone = operation == "unset"
                done.base = (*moment, gone, None if gone else value)
        case "set_once":
            if done.first is None or moment < done.first[:2]:
                done.first = (*moment, value)
            if done.last is None or moment > done.last[:2]:
                done.last = (*moment, value)
        case "increment":
            done.added.append((*moment, round(value * MONEY)))
            _fold(done)
        case _:
            for place, item in enumerate(value if isinstance(value, list) else [value]):
                text = _text(item)
                done.items[text] = max(done.items.get(text, (*_NEVER, 0)), (*moment, place))
            _drop_oldest(done)


def _join(into: Operations, other: Operations) -> None:
    """Both did what they did to one attribute."""
    if other.base is not None and (into.base is None or other.base[:2] > into.base[:2]):
        into.base = other.base
    if other.first is not None and (into.first is None or other.first[:2] < into.first[:2]):
        into.first = other.first
    if other.last is not None and (into.last is None or other.last[:2] > into.last[:2]):
        into.last = other.last
    into.added += other.added
    if other.older is not None:
        _add_older(into, other.older)
    _fold(into)
    for text, at in other.items.items():
        into.items[text] = max(into.items.get(text, at), at)
    _drop_oldest(into)


def _fold(done: Operations) -> None:
    """Ascending, and the oldest beyond those that are kept become one."""
    done.added.sort()
    while len(done.added) > KEPT:
        _add_older(done, done.added.pop(0))


def _add_older(done: Operations, entry: tuple[int, int, int]) -> None:
    time, digest, total = entry
    if done.older is not None:
        time, digest = max(done.older[:2], (time, digest))
        total = max(-_LIMIT, min(_LIMIT, total + done.older[2]))
    done.older = (time, digest, total)


def _drop_oldest(done: Operations) -> None:
    if len(done.items) > KEPT:
        newest = sorted(done.items.items(), key=lambda item: (item[1], item[0]))[-KEPT:]
        done.items = dict(newest)


def _forget(done: Operations, deleted: Moment) -> None:
    """What was deleted is not kept; that it was there must be, lest the order of arrival makes a difference."""
    if deleted == _NEVER:
        return
    if done.base is not None and done.base[:2] < deleted:
        done.base = (*deleted, True, None)
    if done.first is not None and done.first[:2] < deleted:
        done.first = (*done.first[:2], None)
    if done.last is not None and done.last[:2] < deleted:
        done.last = (*done.last[:2], None)
    done.items = {text: at for text, at in done.items.items() if at[:2] > deleted}


# -- what it is -----------------------------------------------------------------------------------------------------


def _set(attribute: Attribute, value: Any, moment: Moment, *, gone: bool, deleted: Moment) -> bool:
    """Set or unset an attribute to which nothing else was ever done."""
    before = (attribute.gone, attribute.value)
    if moment > (attribute.time, attribute.digest):
        _become(attribute, None if gone else value, moment, gone=gone)
    if deleted > _NEVER:
        settle(attribute, deleted)
    return before != (attribute.gone, attribute.value)


def _opened(attribute: Attribute) -> Operations:
    """The operations of an attribute that was only set and unset."""
    done = Operations(added=[], items={})
    if (attribute.time, attribute.digest) > _NEVER:
        done.base = (attribute.time, attribute.digest, attribute.gone, attribute.value)
    return done


def _delete(state: Attributes, moment: Moment) -> bool:
    if moment <= state.deleted:
        return False
    state.deleted = moment
    before = [(attribute.gone, attribute.value) for attribute in state.values.values()]
    for attribute in state.values.values():
        settle(attribute, moment)
    return before != [(attribute.gone, attribute.value) for attribute in state.values.values()]


def _floor(done: Operations, deleted: Moment) -> Moment:
    """The set, unset or delete that stands: older increments and items are history."""
    return max(done.base[:2] if done.base is not None else _NEVER, deleted)


def _base(done: Operations, deleted: Moment) -> tuple[Any, Moment, bool]:
    """Value, since when, and whether there is none, by set, unset and set_once alone."""
    if done.base is not None and not done.base[2] and done.base[:2] > deleted:
        return done.base[3], done.base[:2], False
    floor = _floor(done, deleted)
    for once in (done.first, done.last):
        if once is not None and once[:2] > floor:
            return once[2], once[:2], False
    return None, floor, True


def _become(attribute: Attribute, value: Any, since: Moment, *, gone: bool) -> None:
    attribute.value, attribute.gone = value, gone
    attribute.time, attribute.digest = since


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plus(value: int | float, total: int) -> int | float:
    """A number and a sum in 1/10,000; whole numbers stay whole."""
    if isinstance(value, float) and abs(value) * MONEY > _LIMIT:
        return value + total / MONEY
    number = (value * MONEY if isinstance(value, int) else round(value * MONEY)) + total
    result = number // MONEY if number % MONEY == 0 else number / MONEY
    return result if not isinstance(result, int) or -(2**63) <= result < 2**63 else float(result)


def _text(value: Any) -> str:
    return _encode(value).decode()
