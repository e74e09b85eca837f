"""Fragments: what a person is put together of, one for each identifier that events are counted under. Pure.

A fragment has a slice of each fold, of each once, and an inbox. A person of one fragment has no second copy: the whole is the
fragment. With a second one the first is copied, and from then on an event counts in its fragment and in the whole; the inbox is
kept by the fragments alone. As each fold is a function of a set of events, the whole is the fold of the fragments in any order,
and without one of them it is the fold of the others: a fragment that moves to another person leaves nothing behind, except that
what happened once stays (`component`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from profiles import inbox
from profiles.component import Component
from profiles.inbox import BUCKET_SLOTS, INBOX, Inbox
from profiles.slots import Slot
from profiles.state import Person, Slices
from profiles.transfer_log import Remainder

Components = Sequence[Component[Any, Any]]
"""Those that are kept for each fragment: folds and once."""

INBOX_SLOTS: tuple[Slot[Any], ...] = (INBOX, *BUCKET_SLOTS)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode


def pack_fragment(slices: Slices) -> bytes:
    """A fragment as it travels."""
    return _encode(inbox.load(slices).as_bytes())


def unpack_fragment(packed: bytes) -> Slices:
    """The inverse of `pack_fragment`. Raises msgspec.DecodeError."""
    return Slices.of(_decode(packed))


def open_fragment(person: Person, number: int, components: Components) -> Slices | None:
    """The fragment that an event counts in; None if the person has no other: then the whole is the fragment."""
    if not person.fragments:
        if person.fragment in (0, number):
            person.fragment = number
            return None
        person.fragments = {person.fragment: _move_out(person, components)}
        person.fragment = 0
    if number not in person.fragments:
        person.fragments[number] = Slices()
    return person.fragments[number]


def fragment_of(person: Person, number: int) -> Slices | None:
    """What is counted in a fragment; None: the person has no such. The whole, if it is the only one."""
    if number == person.fragment and number:
        return person.whole
    return person.fragments.get(number)


def take_out(person: Person, numbers: Iterable[int], components: Components) -> dict[int, Slices]:
    """Take fragments out of a profile; the whole is worked out again from what stays.

    A fragment that the person has not got is empty: nothing was ever counted in it.
    """
    wanted = list(numbers)
    taken = {number: Slices() for number in wanted}
    if person.fragment in taken:
        taken[person.fragment] = _move_out(person, components)
        person.fragment = 0
        for component in components:
            if component.kind == "fold":
                person.whole.drop(component.slot)
    elif found := [number for number in wanted if number in person.fragments]:
        for number in found:
            inbox.load(person.fragments[number])
            taken[number] = person.drop_fragment(number)
        refold(person, components)
    return taken


def put_in(person: Person, number: int, slices: Slices, components: Components) -> None:
    """Put a fragment to the person's; there may be something of that fragment already."""
    fragment = open_fragment(person, number, components)
    inbox.merge(person.whole if fragment is None else fragment, slices)
    for component in components:
        if fragment is not None:
            _merge(component, fragment, slices.copy())  # whole and fragment must not share what changes
        _merge(component, person.whole, slices)


def replace(person: Person, number: int, slices: Slices, components: Components) -> None:
    """Let a fragment be another one than before, or let there be one; the whole follows."""
    fragment = open_fragment(person, number, components)
    into = inbox.load(person.whole if fragment is None else fragment)
    for slot in (*INBOX_SLOTS, *(component.slot for component in components)):
        if slot in into or slot in slices:
            into.put(slot, slices.get(slot))
    if fragment is not None:
        refold(person, components)


def refold(person: Person, components: Components) -> None:
    """Make the whole out of the fragments, and of a single one the whole."""
    for component in components:
        slot = component.slot
        if component.kind == "fold":
            person.whole.drop(slot)
        for number in sorted(person.fragments):
            fragment = person.fragments[number]
            if slot in fragment:
                component.merge(person.whole.change(slot), slot.decode(slot.encode(fragment.get(slot))))
    if len(person.fragments) == 1:
        (number,) = person.fragments
        inbox.load(person.fragments[number])
        slices = person.drop_fragment(number)
        person.fragment = number
        for slot in INBOX_SLOTS:
            if slot in slices:
                person.whole.put(slot, slices.get(slot))


def from_remainder(kept: Remainder) -> Slices:
    """A fragment of which nothing is counted yet, with what does not follow from its facts."""
    slices = Slices.of(kept.slices)
    if kept.fact_at:
        slices.put(INBOX, Inbox(fact_at=dict(kept.fact_at)))
    return slices


def is_empty(slices: Slices | None) -> bool:
    """Whether nothing was ever counted in a fragment."""
    return slices is None or not slices.get(INBOX).applied


def _merge(component: Component[Any, Any], into: Slices, other: Slices) -> None:
    if component.slot in other:
        component.merge(into.change(component.slot), other.get(component.slot))


def _move_out(person: Person, components: Components) -> Slices:
    """The only fragment as one of its own: a copy of the whole, and its inbox."""
    packed = inbox.load(person.whole).as_bytes()
    kept = (*INBOX_SLOTS, *(component.slot for component in components))
    fragment = Slices.of({slot.name: packed[slot.name] for slot in kept if slot.name in packed})
    for slot in INBOX_SLOTS:
        if slot in person.whole:
            person.whole.drop(slot)
    return fragment
