"""Slots: how the state of one component is named, made and written down."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

S = TypeVar("S")
Upgrade = Callable[[msgspec.Raw, int], S]
"""Reads the state of an older format, given as MessagePack, and that format. Raises msgspec.DecodeError."""

ALWAYS_OUTSIDE = "."
"""What is in the names of slices that are not kept in the envelope, however small they are."""

_encode = msgspec.msgpack.Encoder().encode
_decode_any = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw]).decode


class Slot(Generic[S]):
    """A named place in a profile. A slice is the MessagePack of two things: a format, and the state.

    Args:
        name: in the profile, for good, and of the field outside of it. One with a dot is always kept outside.
        state: a type that msgspec knows, and that makes an empty state when it is called.
        format: raise it with every change that older slices cannot be read under; `upgrade` reads those.
    """

    def __init__(self, name: str, state: type[S], *, format: int = 1, upgrade: Upgrade[S] | None = None) -> None:
        self.name = name
        self.new: Callable[[], S] = state
        self.format = format
        self.is_always_outside = ALWAYS_OUTSIDE in name
        self._upgrade = upgrade
        self._decode = msgspec.msgpack.Decoder(tuple[int, state]).decode  # type: ignore[valid-type]
        self.empty = self.encode(state())

    def encode(self, state: S) -> bytes:
        """The slice of a state."""
        return _encode((self.format, state))

    def decode(self, raw: msgspec.Raw | bytes) -> S:
        """The state of a slice. Raises msgspec.DecodeError if the bytes are none of this or an older format."""
        try:
            found, body = _decode_any(raw)
        except msgspec.DecodeError as error:
            raise msgspec.DecodeError(f"{self.name} cannot be read: {error}") from error
        if found == self.format:
            state: S = self._decode(raw)[1]
            return state
        if self._upgrade is None or found > self.format:
            raise msgspec.DecodeError(f"{self.name} of format {found}, not {self.format}: written by another version")
        return self._upgrade(body, found)
