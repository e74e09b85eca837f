"""An event as the kernel reads it."""

import msgspec

from cdp.events import EMPTY_OBJECT, NAMED_KINDS, UNNAMED_KINDS, Identifier


class ProfileEvent(msgspec.Struct, kw_only=True):
    """What the kernel reads of an event; times in microseconds.

    Attributes:
        event: its name, or of a page its title.
        part: the number of the fragment in which it counts.
        bot: it was sent by a program: it is kept, and changes nobody.
    """

    kind: str
    time: int
    message_id: str = ""
    event: str = ""
    received_at: int = 0
    ids: list[Identifier] = []
    properties: msgspec.Raw = EMPTY_OBJECT
    traits: msgspec.Raw = EMPTY_OBJECT
    bot: bool = False
    part: int = 0

    @property
    def name(self) -> str:
        """The event's name as rules know it: what somebody did; a page's own name is no event's."""
        return self.event if self.kind in NAMED_KINDS else UNNAMED_KINDS.get(self.kind, "")
