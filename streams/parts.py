"""The parts of a profile: one for each identifier that events are counted under, kept beside the whole. Pure.

Every figure is mergeable, so the whole is the union of its parts whatever the order, and without one of them it is the union
of the others: a part that moves to another person leaves nothing behind.
"""

from collections.abc import Iterable

from cdp.profile import Profile, Remainder, new_profile, pack_state, unpack_state
from streams.merge import merge
from streams.store import Entry


def open_part(entry: Entry, number: int) -> Profile | None:
    """The state of the part that an event counts in; None if the profile has no other: then the whole is the part."""
    profile = entry.profile
    if not profile.parts:
        if profile.part in (0, number):
            profile.part = number
            return None
        profile.parts = {profile.part: _state(profile), number: b""}
        profile.part = 0
        entry.opened[number] = new_profile(number)
    elif number not in profile.parts:
        profile.parts[number] = b""
        entry.opened[number] = new_profile(number)
    return _opened(entry, number)


def open_all(entry: Entry) -> Iterable[Profile]:
    """The states of all parts; none if the whole is the only part."""
    return [_opened(entry, number) for number in entry.profile.parts]


def take_out(entry: Entry, numbers: Iterable[int]) -> dict[int, Profile]:
    """Take parts out of a profile. Returns their states; the whole is worked out anew from what stays.

    A part that the profile has not got is empty: nothing was ever counted in it.
    """
    profile = entry.profile
    taken = {number: new_profile(number) for number in numbers}
    if not profile.parts and profile.part in taken:
        taken[profile.part] = _bare(profile)
        _become(profile, new_profile(profile.person))
        profile.part = 0
    elif found := profile.parts.keys() & taken.keys():
        for number in found:
            taken[number] = _opened(entry, number)
            del profile.parts[number], entry.opened[number]
        _put_together(entry)
    for state in taken.values():
        state.as_of = profile.as_of
    return taken


def put_in(entry: Entry, number: int, state: Profile) -> None:
    """Put the state of a part to the profile's; there may be something of that part already."""
    part = open_part(entry, number)
    if part is not None:
        merge(part, unpack_state(pack_state(state)))  # a copy: whole and part must not share what changes
    merge(entry.profile, state)


def state_of(entry: Entry, number: int) -> Profile | None:
    """What is counted in a part; None: the profile has no such part. The whole, if it is the only one."""
    profile = entry.profile
    if number in profile.parts:
        return _opened(entry, number)
    return profile if number == profile.part else None


def replace(entry: Entry, number: int, state: Profile) -> None:
    """Let a part be another one than before, or let there be one; the whole follows."""
    if open_part(entry, number) is None:
        _become(entry.profile, state)
    else:
        entry.opened[number] = state
        _put_together(entry)


def remainder(state: Profile) -> Remainder:
    """What of a part does not follow from its facts."""
    return Remainder(dict(state.occasions), dict(state.sealed), dict(state.fact_at))


def from_remainder(number: int, kept: Remainder) -> Profile:
    """A part of which nothing is counted yet."""
    state = new_profile(number)
    state.occasions, state.sealed, state.fact_at = dict(kept.occasions), dict(kept.sealed), dict(kept.fact_at)
    return state


def is_empty(state: Profile | None) -> bool:
    """Whether nothing was ever counted in a part."""
    return state is None or not (state.events or state.silent[0] or state.marks)


def _put_together(entry: Entry) -> None:
    """Make the whole out of its parts, and of one part the whole."""
    profile = entry.profile
    whole = new_profile(profile.person)
    for number in sorted(profile.parts):
        merge(whole, unpack_state(_packed(entry, number)))
    _become(profile, whole)
    if len(profile.parts) == 1:
        profile.part = next(iter(profile.parts))
        profile.parts, entry.opened = {}, {}


FIGURES = (
    "first_seen", "last_seen", "events", "identifiers", "sealed", "attributes", "days", "moments", "orders", "occasions", "marks",
    "deleted", "silent",
)  # fmt: skip


def _become(profile: Profile, whole: Profile) -> None:
    """What a profile says of its person becomes what another says; clock, tags and bookkeeping stay."""
    for name in FIGURES:
        setattr(profile, name, getattr(whole, name))
    profile.fact_at = whole.fact_at


def _bare(profile: Profile) -> Profile:
    """What a profile says of its person, without clock, tags and bookkeeping."""
    state = new_profile(profile.part or profile.person)
    _become(state, profile)
    return state


def _state(profile: Profile) -> bytes:
    return pack_state(_bare(profile))


def _opened(entry: Entry, number: int) -> Profile:
    state = entry.opened.get(number)
    if state is None:
        state = entry.opened[number] = unpack_state(entry.profile.parts[number])
    return state


def _packed(entry: Entry, number: int) -> bytes:
    state = entry.opened.get(number)
    return pack_state(state) if state is not None else entry.profile.parts[number]
