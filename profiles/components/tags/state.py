"""What is kept of tags."""

import msgspec

from cdp.events import TagValue
from profiles.slots import Slot


class Tag(msgspec.Struct, array_like=True):
    """A tag's value, and the time of the event or tick that set it, in microseconds."""

    value: TagValue
    since: int


class Tags(msgspec.Struct, array_like=True):
    """By name, as the last evaluation found them; what has no value is not there."""

    by_name: dict[str, Tag] = {}


TAGS = Slot("tags", Tags)
