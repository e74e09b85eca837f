"""What is kept of identifiers."""

import msgspec

from profiles.slots import Slot


class Known(msgspec.Struct, array_like=True):
    """The identifiers that events named.

    Attributes:
        seen: ``type:value`` to the time first seen, in microseconds; of a personal type the value is a token.
        sealed: personal identifiers, ``type:token`` to the sealed normal form; by the newest key of those that sealed it.
    """

    seen: dict[str, int] = {}
    sealed: dict[str, str] = {}


IDENTIFIERS = Slot("identifiers", Known)


def newer_seal(one: str, other: str) -> str:
    """Of two sealings of one value the one by the newer key: k10 after k9. They differ in their keys' names alone."""
    return max(one, other, key=lambda sealed: (len(sealed), sealed))
