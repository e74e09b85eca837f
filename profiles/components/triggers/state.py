"""What is kept of triggers."""

import msgspec

from profiles.slots import Slot


class Occasions(msgspec.Struct, array_like=True):
    """``rule|occasion`` to when it fired, by the person's clock, in microseconds: what may happen once, has happened."""

    fired: dict[str, int] = {}


OCCASIONS = Slot("occasions", Occasions)
