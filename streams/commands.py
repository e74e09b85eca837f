"""Commands on `resolved`: what else than events can change a profile. A tagged union; each is about one person.

When fragments move to another person, `ExpectFragments` tells the new owner and `TransferFragments` the old one, who answers
with a `FragmentState` for each. When a range of time of a fragment is reassigned to another one, `ExpectRange` tells the owner of
the other one and `ReassignRange` the owner of the first, who answers with a `RangeState`. `streams.profile.transfer` and
`streams.profile.reassign` say what follows from each.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from cdp.people import one_id
from cdp.ranges import Range
from profiles.transfer_log import Awaited, Position, Rebuild
from rules.identity.place import Carve, Move


class Command(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="command"):
    """What all commands have.

    Attributes:
        person: whom it is for; `one_id` is the key of the record.
        other: the opposite person.
        version: of the change of the graph that it follows from.
        time: of the record that has it sent, in microseconds.
        again: it is sent once more, since no answer came.
    """

    person: int
    one_id: str = ""
    other: int = 0
    version: int = 0
    time: int
    message_id: str = ""
    again: bool = False


class ExpectFragments(Command, tag="expect_fragments"):
    """Fragments are on their way to this person, from `other`."""

    fragments: list[int]


class TransferFragments(Command, tag="transfer_fragments"):
    """Fragments belong to `other` from now on."""

    fragments: list[int]


class Bundle(msgspec.Struct, omit_defaults=True):
    """What an answer brings of a fragment.

    Attributes:
        state: as `profiles.fragments.pack_fragment` writes it; of `RangeState` only what does not follow from facts. Empty:
            nothing was ever counted.
        as_of: the clock of its old owner, in microseconds.
        needs: facts of the fragment; what is counted from facts has to wait for them.
        ranges: what is known of the fragment's ranges; of `RangeState` those that are reassigned.
        family: fragments in which something of them may have been counted.
        awaited, expected: what its old owner waited for itself.
        received, brought, answered, unanswered: as in `profiles.transfer_log.TransferLog`.
        rebuild: it has to be counted again from its facts, and was not yet.
    """

    state: bytes = b""
    as_of: int = 0
    needs: list[Position] = []
    ranges: list[Range] = []
    family: list[int] = []
    awaited: dict[int, Awaited] = {}
    expected: dict[int, Awaited] = {}
    received: list[int] = []
    brought: list[int] = []
    answered: list[int] = []
    unanswered: dict[int, tuple[int, int]] = {}
    rebuild: Rebuild | None = None


class FragmentState(Command, tag="fragment_state"):
    """The answer to `TransferFragments`: a fragment, or that nothing comes any more."""

    fragment: int
    bundle: Bundle


class ExpectRange(Command, tag="expect_range"):
    """A range of the fragment `giver` counts in `fragment` now. `range` names both the fragment and this person."""

    fragment: int
    giver: int
    range: Range


class ReassignRange(Command, tag="reassign_range"):
    """A range of `fragment` counts in another one now, which `range` names, with its person."""

    fragment: int
    range: Range


class RangeState(Command, tag="range_state"):
    """The answer to `ReassignRange`: what was counted of the range so far."""

    fragment: int
    bundle: Bundle


class RebuildPerson(Command, tag="rebuild_person"):
    """Count the person again from the facts, and ask again for what is awaited. Written by the API."""


AnyCommand = (
    ExpectFragments | TransferFragments | FragmentState | ExpectRange | ReassignRange | RangeState | RebuildPerson
)  # fmt: skip

decode_command = msgspec.json.Decoder(AnyCommand).decode
encode_command = msgspec.json.Encoder().encode


def expect_fragments(person: int, other: int, fragments: Sequence[int], version: int, time: int) -> ExpectFragments:
    """The same command always has the same message id."""
    return ExpectFragments(fragments=list(fragments), other=other, **_head("expect", person, version, time, fragments))


def transfer_fragments(
    person: int, other: int, fragments: Sequence[int], version: int, time: int, *, again: bool = False
) -> TransferFragments:
    """To the old owner of fragments."""
    return TransferFragments(
        fragments=list(fragments), other=other, again=again, **_head("transfer", person, version, time, fragments)
    )


def fragment_state(person: int, other: int, fragment: int, bundle: Bundle, request: Command) -> FragmentState:
    """The answer to a request for a fragment."""
    head = _head("state", person, request.version, request.time, (fragment,))
    return FragmentState(fragment=fragment, bundle=bundle, other=other, again=request.again, **head)


def expect_range(person: int, other: int, fragment: int, giver: int, range_: Range, time: int) -> ExpectRange:
    """To the owner of the fragment to which a range of another one is reassigned."""
    head = _head("expect_range", person, range_[2], time, (fragment,))
    return ExpectRange(fragment=fragment, giver=giver, range=range_, other=other, **head)


def reassign_range(person: int, fragment: int, range_: Range, time: int, *, again: bool = False) -> ReassignRange:
    """To the owner of the fragment from which a range is reassigned; whose it is from now on `range_` says."""
    head = _head("reassign", person, range_[2], time, (fragment,))
    return ReassignRange(fragment=fragment, range=range_, other=range_[4], again=again, **head)


def range_state(
    person: int, other: int, fragment: int, bundle: Bundle, version: int, time: int, *, again: bool = False
) -> RangeState:  # fmt: skip
    """What was counted of a range, to the person whose it is now."""
    head = _head("range", person, version, time, (fragment,))
    return RangeState(fragment=fragment, bundle=bundle, other=other, again=again, **head)


def for_move(change: Move, time: int) -> list[Command]:
    """What two people are told when fragments move from one to the other."""
    return [
        expect_fragments(change.target, change.source, change.parts, change.version, time),
        transfer_fragments(change.source, change.target, change.parts, change.version, time),
    ]


def for_carve(change: Carve, time: int) -> list[Command]:
    """What two people are told when a range is reassigned."""
    range_ = (change.start, change.end, change.version, change.into, change.target)
    return [
        expect_range(change.target, change.source, change.into, change.part, range_, time),
        reassign_range(change.source, change.part, range_, time),
    ]


def address_to(command: Command, person: int) -> Command:
    """The same command for another person, to whom the fragment has gone."""
    key = one_id(person)
    message_id = f"{command.message_id.rpartition(':')[0]}:{key}"
    return msgspec.structs.replace(command, person=person, one_id=key, message_id=message_id)


def _head(name: str, person: int, version: int, time: int, fragments: Sequence[int]) -> dict[str, Any]:
    key = one_id(person)
    message_id = f"{name}:{version}:{'-'.join(map(str, fragments))}:{key}"
    return {"person": person, "one_id": key, "version": version, "time": time, "message_id": message_id}
