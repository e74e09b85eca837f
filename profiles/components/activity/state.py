"""What is kept of a person's activity."""

import msgspec

from profiles.slots import Slot


class Activity(msgspec.Struct, array_like=True):
    """Times in microseconds.

    Attributes:
        events: how many events were applied.
        first_seen, last_seen: the earliest and the latest time of them; 0 before the first.
        silent: how many messages were applied that change nobody (bots', unbindings, decisions ...).
    """

    events: int = 0
    first_seen: int = 0
    last_seen: int = 0
    silent: int = 0


ACTIVITY = Slot("activity", Activity)
