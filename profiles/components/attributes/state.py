"""What is kept of attributes."""

from typing import Any

import msgspec

from profiles.slots import Slot


class Attribute(msgspec.Struct, array_like=True):
    """A trait: the value as it is now, and the event that gave it.

    Without `operations` it was only ever set and unset, and the latest (time, digest) wins.

    Attributes:
        gone: it was unset or deleted: the person has not got it, and `value` is None.
        operations: what it is worked out from, if more was done to it: see `operations`.
    """

    value: Any
    time: int
    digest: int
    gone: bool = False
    operations: "Operations | None" = None


class Operations(msgspec.Struct, array_like=True):
    """Everything that was done to one trait, kept so that the order of arrival makes no difference.

    Attributes:
        base: the latest set or unset: (time, digest, gone, value).
        first, last: the earliest and the latest set_once: (time, digest, value).
        added: the newest increments, ascending: (time, digest, amount in 1/10,000).
        older: the increments before those as one: (time and digest of the newest of them, sum); None: there are none.
        items: appended values as JSON, with when each was appended last: (time, digest, place in the list).
    """

    base: tuple[int, int, bool, Any] | None = None
    first: tuple[int, int, Any] | None = None
    last: tuple[int, int, Any] | None = None
    added: list[tuple[int, int, int]] = []
    older: tuple[int, int, int] | None = None
    items: dict[str, tuple[int, int, int]] = {}


class Attributes(msgspec.Struct, array_like=True):
    """All attributes of a person.

    Attributes:
        values: by name.
        deleted: (time, digest) of the latest event that deleted all attributes: older ones are gone.
    """

    values: dict[str, Attribute] = {}
    deleted: tuple[int, int] = (0, 0)


ATTRIBUTES = Slot("attributes", Attributes)
