"""Commands as they were written before `streams.commands`: they may still lie in the log when the platform is upgraded."""

import base64
from typing import Any

import msgspec

from cdp.ranges import Range
from profiles.formats import unpack_old_fragment
from profiles.fragments import pack_fragment
from profiles.transfer_log import Awaited, Position, Rebuild
from streams.commands import (
    Bundle,
    Command,
    ExpectFragments,
    ExpectRange,
    FragmentState,
    RangeState,
    ReassignRange,
    RebuildPerson,
    TransferFragments,
)


class _OldFragment(msgspec.Struct):
    state: str = ""
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


class _Old(msgspec.Struct, kw_only=True):
    kind: str
    event: str
    person: int
    one_id: str = ""
    other: int = 0
    parts: list[int] = []
    version: int = 0
    time: int
    message_id: str = ""
    carved: list[tuple[int, int, int, int, int]] = []
    giver_part: int = 0
    again: bool = False
    fragment: _OldFragment | None = None
    state: str = ""


_decode = msgspec.json.Decoder(_Old).decode


def decode_old_command(value: bytes) -> Command | None:
    """A command of an older version as one of today; None: of a kind that means nothing. Raises msgspec.MsgspecError."""
    old = _decode(value)
    head: dict[str, Any] = {
        "person": old.person, "one_id": old.one_id, "other": old.other, "version": old.version, "time": old.time,
        "message_id": old.message_id, "again": old.again,
    }  # fmt: skip
    number = old.parts[0] if old.parts else 0
    ranges: list[Range] = [(start, end, version, part, person) for version, start, end, part, person in old.carved]
    match old.event:
        case "await":
            return ExpectFragments(fragments=old.parts, **head)
        case "move":
            return TransferFragments(fragments=old.parts, **head)
        case "state":
            return FragmentState(fragment=number, bundle=_bundle(old, []), **head)
        case "expect" if ranges:
            return ExpectRange(fragment=number, giver=old.giver_part, range=ranges[0], **head)
        case "carve" if ranges:
            return ReassignRange(fragment=number, range=ranges[0], **head)
        case "range" | "stretch":
            return RangeState(fragment=number, bundle=_bundle(old, ranges), **head)
        case "rebuild":
            return RebuildPerson(**head)
        case _:
            return None


def _bundle(old: _Old, ranges: list[Range]) -> Bundle:
    found = old.fragment or _OldFragment(state=old.state, ranges=ranges)
    slices, as_of = unpack_old_fragment(base64.b64decode(found.state)) if found.state else (None, 0)
    return Bundle(
        state=pack_fragment(slices) if slices is not None else b"", as_of=as_of, needs=found.needs, ranges=found.ranges,
        family=found.family, awaited=found.awaited, expected=found.expected, received=found.received, brought=found.brought,
        answered=found.answered, unanswered=found.unanswered, rebuild=found.rebuild,
    )  # fmt: skip
