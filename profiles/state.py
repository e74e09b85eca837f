"""What a profile is made of, and how it is kept: an envelope, and slices that are decoded when they are touched.

A slice is the state of one component, of the person or of one of the person's fragments (`profiles.fragments`). In Redis most
of a profile is one string: eight bytes of version (big endian, for the compare-and-set), a byte that says the format, then the
envelope as MessagePack, with the slices in it. When the string has outgrown `MAX_HEAD` bytes, the largest slices are moved out
of it, each into a field of a hash beside the string, until `KEPT_HEAD` bytes are left. So what is written for an event is a few
kilobytes and those slices outside that it changed, however much there is beside them. What lies outside and was not read
beforehand is fetched when somebody asks for it.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from profiles.slots import ALWAYS_OUTSIDE, Slot
from profiles.transfer_log import NOTHING_UNDER_WAY, TRANSFER, TransferLog

S = TypeVar("S")

FORMAT = 5  # raise it with every change that older profiles cannot be read under
MAX_HEAD, KEPT_HEAD = 4_096, 3_072  # bytes

Fetch = Callable[[str], bytes | None]
"""Reads a field that lies outside of the envelope."""

AT_NEXT_TICK = 1
"""A moment that every tick is later than."""


def nowhere(name: str) -> bytes | None:
    """For profiles that are read with all their fields."""
    return None


Inline = dict[str, Any]
"""What of some states is in the envelope: by slot a slice as it was read (`msgspec.Raw`), or a format with the state itself."""


class Slices:
    """The states of one person or fragment by slot, decoded when they are asked for.

    Attributes:
        inline: what is in the envelope.
        outside: the names of what is kept outside; those that are always there are left out.

    Args:
        fetch: reads what is outside.
    """

    __slots__ = ("_changed", "_fetch", "_opened", "_raw", "_unwritten", "inline", "outside")

    def __init__(self, inline: Inline | None = None, outside: Iterable[str] = (), fetch: Fetch = nowhere) -> None:
        self.inline: Inline = {} if inline is None else inline
        self.outside = set(outside)
        self._fetch = fetch
        self._opened: dict[str, Any] = {}
        self._raw: dict[str, bytes] = {}  # of what is outside, as it was read
        self._changed: dict[str, Slot[Any]] = {}  # of what is outside
        self._unwritten: list[str] = []  # of what is always outside, and came with a fragment

    @staticmethod
    def of(packed: Mapping[str, bytes]) -> "Slices":
        """States that are stored nowhere yet, from `as_bytes`."""
        slices = Slices({name: msgspec.Raw(raw) for name, raw in packed.items() if ALWAYS_OUTSIDE not in name})
        slices._unwritten = [name for name in packed if ALWAYS_OUTSIDE in name]
        slices._raw = {name: packed[name] for name in slices._unwritten}
        return slices

    def __contains__(self, slot: Slot[Any]) -> bool:
        """Whether there is a slice; of those that are always outside, whether it is known already."""
        name = slot.name
        return (
            name in self.inline
            or name in self.outside
            or (slot.is_always_outside and (name in self._opened or name in self._raw))
        )

    def is_opened(self, slot: Slot[Any]) -> bool:
        """Whether a state was asked for already."""
        return slot.name in self._opened

    def get(self, slot: Slot[S]) -> S:
        """A state, to be read."""
        name = slot.name
        found: S | None = self._opened.get(name)
        if found is None:
            raw = self.inline.get(name)
            if raw is None and (slot.is_always_outside or name in self.outside):
                raw = self._read(name)
            found = self._opened[name] = slot.new() if raw is None else slot.decode(raw)
        return found

    def change(self, slot: Slot[S]) -> S:
        """A state, to be changed in place."""
        held = self.inline.get(slot.name)
        if held.__class__ is tuple:  # it is being changed already
            state: S = held[1]
            return state
        state = self.get(slot)
        self.put(slot, state)
        return state

    def put(self, slot: Slot[S], state: S) -> None:
        """Let a state be another one."""
        name = slot.name
        self._opened[name] = state
        if slot.is_always_outside or name in self.outside:
            self._changed[name] = slot
        else:
            self.inline[name] = (slot.format, state)

    def drop(self, slot: Slot[Any]) -> None:
        """Let a state be empty."""
        if slot.is_always_outside or slot.name in self.outside:
            self.put(slot, slot.new())
        else:
            self.inline.pop(slot.name, None)
            self._opened.pop(slot.name, None)

    def is_read(self, name: str) -> bool:
        """Whether a slice that is kept outside need not be fetched."""
        return name in self._opened or name in self._raw

    def supply(self, name: str, raw: bytes) -> None:
        """Hand over a slice that is kept outside, so that it need not be fetched."""
        self._raw.setdefault(name, raw)

    def as_bytes(self) -> dict[str, bytes]:
        """All slices by name. Those that are always outside must have been asked for."""
        packed = {name: _encode(value) for name, value in self.inline.items()}
        for name in self.outside:
            self._read(name)
        packed.update(self._raw)
        for name, slot in self._changed.items():
            packed[name] = slot.encode(self._opened[name])
        return packed

    def copy(self) -> "Slices":
        """The same states, to be changed on their own."""
        return Slices.of(self.as_bytes())

    def write_outside(self, prefix: str, fields: "Fields") -> None:
        """What has changed of that which is kept outside. What is empty is taken out."""
        for name in self._unwritten:
            fields[prefix + name] = self._raw[name]
        for name, slot in self._changed.items():
            raw = slot.encode(self._opened[name])
            if raw == slot.empty:
                fields[prefix + name] = None
                self._raw.pop(name, None)
                self.outside.discard(name)
            else:
                fields[prefix + name] = self._raw[name] = raw
        self._unwritten = []
        self._changed.clear()

    def move_out(self, name: str, raw: bytes) -> None:
        """A slice is kept outside from now on."""
        del self.inline[name]
        self._raw[name] = raw
        self.outside.add(name)

    def _read(self, name: str) -> bytes | None:
        raw = self._raw.get(name)
        if raw is None:
            raw = self._fetch(name)
            if raw is not None:
                self._raw[name] = raw
            elif name in self.outside:
                raise msgspec.DecodeError(f"the slice {name} is kept outside of the profile, and is not there")
        return raw


class Person:
    """One person's profile, to be worked on.

    Attributes:
        number: the dense number.
        as_of: the person's own clock: the latest event or tick, in microseconds; 0: there was none.
        offset: of the last record that was handled, on this person's partition of `resolved`.
        due: when time alone will change something next, in microseconds; 0: never.
        book: the number of the rule book that evaluated the person last.
        fragment: the number of the only fragment; 0: there is none yet, or there are several.
        whole: the states of the person.
        log: what is under way, to be read; the same for everybody of whom nothing is.
        fragments: if there are several, the states of each by number; of these `whole` is the fold.
        version: of the stored profile; 0: there is none.
    """

    __slots__ = (
        "_dropped", "as_of", "book", "due", "fragment", "fragments", "log", "number", "offset", "version", "whole",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.as_of = 0
        self.offset = -1
        self.due = 0
        self.book = 0
        self.fragment = 0
        self.whole = Slices()
        self.log = NOTHING_UNDER_WAY
        self.fragments: dict[int, Slices] = {}
        self.version = 0
        self._dropped: list[str] = []

    @property
    def fragment_numbers(self) -> list[int]:
        """The numbers of the fragments that this person is put together of, ascending."""
        return sorted(self.fragments) if self.fragments else [self.fragment] if self.fragment else []

    @property
    def open_log(self) -> TransferLog:
        """What is under way, to be changed."""
        self.log = self.whole.change(TRANSFER)
        return self.log

    def set_log(self, log: TransferLog) -> None:
        """Let something else be under way."""
        self.whole.put(TRANSFER, log)
        self.log = log

    @property
    def wake_at(self) -> int:
        """When it has to be looked at without an event, in microseconds; 0: never."""
        log = self.log
        if not log.is_waiting:
            return self.due
        if log.rebuild:
            return AT_NEXT_TICK
        return min(moment for moment in (self.due, *(wait.wake_at for wait in log.waits())) if moment)

    @property
    def has_outside(self) -> bool:
        """Whether something is kept outside of the envelope, buckets left out: see `profiles.inbox.has_buckets`."""
        return bool(self.whole.outside) or any(slices.outside for slices in self.fragments.values())

    def parts(self) -> list[tuple[str, Slices]]:
        """All states, with what the names of their fields outside begin with."""
        return [("", self.whole), *((f"{number}/", slices) for number, slices in self.fragments.items())]

    def lacks(self, fields: Iterable[str]) -> list[str]:
        """Of some fields those that were not read yet, sorted."""
        missing = []
        for field in fields:
            prefix, _, name = field.rpartition("/")
            slices = self.fragments.get(int(prefix)) if prefix else self.whole
            if slices is not None and not slices.is_read(name):
                missing.append(field)
        return sorted(missing)

    def supply(self, fields: Mapping[str, bytes]) -> None:
        """Hand over fields that were read beforehand, so that they need not be fetched."""
        for field, raw in fields.items():
            prefix, _, name = field.rpartition("/")
            slices = self.fragments.get(int(prefix)) if prefix else self.whole
            if slices is not None:
                slices.supply(name, raw)

    def drop_fragment(self, number: int) -> Slices:
        """Take a fragment's states out of the profile, as they are; what of them lies outside is deleted with the next write."""
        packed = self.fragments.pop(number).as_bytes()
        self._dropped += [f"{number}/{name}" for name in packed]
        return Slices.of(packed)

    def take_dropped(self) -> "Fields":
        """The fields of fragments that were taken out since the profile was read or written."""
        dropped, self._dropped = self._dropped, []
        return dict.fromkeys(dropped)


Fields = dict[str, bytes | None]
"""What changes in the hash of a profile, by field; None: it is deleted."""


@dataclass(frozen=True)
class Stored:
    """A profile as it is written: the string, and what changes in the hash beside it."""

    head: bytes
    fields: Fields


class Envelope(msgspec.Struct, array_like=True):
    """What is in the string, as it is read: see `Person`. `outside`: the names of fields, with those of fragments in front."""

    person: int
    as_of: int
    offset: int
    due: int
    book: int
    fragment: int
    slices: dict[str, msgspec.Raw]
    fragments: dict[int, dict[str, msgspec.Raw]]
    outside: list[str]


_HEAD = struct.Struct(">QB")
HEAD_BYTES = _HEAD.size
"""Of version and format, before the envelope."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def pack(person: Person) -> Stored:
    """What is to be written, as the version after the one that was read."""
    fields = person.take_dropped()
    person.whole.write_outside("", fields)
    for number, slices in person.fragments.items():
        slices.write_outside(f"{number}/", fields)
    head = _pack_head(person)
    if len(head) > MAX_HEAD:
        _move_out(person, fields)
        head = _pack_head(person)
    return Stored(head, fields)


def unpack(head: bytes, fields: Mapping[str, bytes] | None = None, fetch: Fetch = nowhere) -> Person:
    """A profile as it was written.

    Args:
        head: the string.
        fields: what was read of the hash.
        fetch: reads another field of it.

    Raises msgspec.DecodeError if the bytes are not a profile of this or an older format.
    """
    if len(head) < _HEAD.size:
        raise msgspec.DecodeError("not a profile: too short")
    version, format_ = _HEAD.unpack_from(head)
    body = memoryview(head)[_HEAD.size :]
    if format_ == FORMAT:
        person = _open(_decode(body), fields or {}, fetch)
    else:
        from profiles.formats import UPGRADES  # it is seldom needed, and needs this module

        if format_ not in UPGRADES:
            raise msgspec.DecodeError(
                f"a profile of another format: {format_}, not {FORMAT}; this data folder is of another version"
            )
        person = UPGRADES[format_](bytes(body))
    person.version = version
    return person


def version_bytes(version: int) -> bytes:
    """What a stored profile of a version begins with; empty for none."""
    return version.to_bytes(8, "big") if version else b""


def _pack_head(person: Person) -> bytes:
    """As `Envelope`, of which the states are encoded as they are at this moment."""
    fragments = {number: slices.inline for number, slices in person.fragments.items()}
    outside = sorted(prefix + name for prefix, slices in person.parts() for name in slices.outside) if person.has_outside else []
    body = _encode((
        person.number, person.as_of, person.offset, person.due, person.book, person.fragment, person.whole.inline, fragments,
        outside,
    ))  # fmt: skip
    return _HEAD.pack(person.version + 1, FORMAT) + body


def _move_out(person: Person, fields: Fields) -> None:
    """Move the largest slices out of the envelope until it is small enough."""
    sizes = [(prefix, slices, name, _encode(value)) for prefix, slices in person.parts() for name, value in slices.inline.items()]
    left = sum(len(raw) for *_, raw in sizes)
    for prefix, slices, name, raw in sorted(sizes, key=lambda size: (-len(size[3]), size[0], size[2])):
        if left <= KEPT_HEAD:
            return
        slices.move_out(name, raw)
        fields[prefix + name] = raw
        left -= len(raw)


def _open(envelope: Envelope, fields: Mapping[str, bytes], fetch: Fetch) -> Person:
    person = Person(envelope.person)
    person.as_of, person.offset, person.due = envelope.as_of, envelope.offset, envelope.due
    person.book, person.fragment = envelope.book, envelope.fragment
    outside: dict[str, list[str]] = {}
    for field in envelope.outside:
        prefix, _, name = field.rpartition("/")
        outside.setdefault(prefix, []).append(name)
    person.whole = Slices(envelope.slices, outside.get("", ()), fetch)
    for number, packed in envelope.fragments.items():
        person.fragments[number] = Slices(packed, outside.get(str(number), ()), _below(f"{number}/", fetch))
    if fields:
        person.supply(fields)
    if TRANSFER in person.whole:
        person.log = person.whole.get(TRANSFER)
    return person


def _below(prefix: str, fetch: Fetch) -> Fetch:
    """Reads a field of a fragment."""
    return fetch if fetch is nowhere else lambda name: fetch(prefix + name)
