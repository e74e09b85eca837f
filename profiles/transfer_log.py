"""What a person's profile remembers of fragments that come and go: see `streams.profile.transfer`."""

import msgspec

from cdp.ranges import Range
from profiles.slots import Slot

Position = tuple[int, int]
"""Where a record stands on a topic: (partition, offset)."""

STUCK_AFTER = 60_000_000  # microseconds after which what did not come is asked for again


class Gone(msgspec.Struct, array_like=True):
    """To whom a fragment went, by which version."""

    owner: int
    version: int


class Remainder(msgspec.Struct, array_like=True):
    """What of a fragment does not follow from its facts, as slices by name, and how far the facts must have arrived."""

    slices: dict[str, bytes] = {}
    fact_at: dict[int, int] = {}


class Awaited(msgspec.Struct, array_like=True):
    """What a person waits for from another one.

    Attributes:
        giver: the person who has to send it; 0: unknown (a profile of an older format).
        since: when that was decided, in microseconds.
        part: of a range: the fragment in which it counted before; 0: a whole fragment is awaited.
        asked: when it was asked for again; 0: it was not.
        range: what was reassigned then, whatever was since.
    """

    giver: int
    since: int
    part: int = 0
    asked: int = 0
    range: Range | None = None

    @property
    def wake_at(self) -> int:
        """When it has to be asked for (again)."""
        return max(self.since, self.asked) + STUCK_AFTER


class Rebuild(msgspec.Struct, array_like=True):
    """A fragment has to be counted again from its facts.

    Attributes:
        since: when that was found, in microseconds.
        needs: how far the facts must have arrived before, as in `Inbox.fact_at`.
        recent: (partition, offset, record) of events applied since then: their facts may be on their way.
        is_overdue: it has waited for too long, and was counted among those.
    """

    since: int
    needs: list[Position] = []
    recent: list[tuple[int, int, bytes]] = []
    is_overdue: bool = False


class TransferLog(msgspec.Struct, array_like=True):
    """One for each person; empty for those of whom nothing ever moved.

    Attributes:
        gone: fragments that went to another person.
        handed: what is kept of fragments that were handed over. If one is lost on its way, it is put together of that.
        awaiting: fragments on their way to this person, by number and version of the move. Events wait in `pending` until they
            are here.
        received: the versions of the moves by which a fragment came, the newest 32.
        brought: of these, the ones whose answers brought something that was counted.
        pending: (offset, record) of events that wait.
        ranges: of a fragment, the ranges of time that were reassigned to it or away from it, ascending: see `cdp.ranges`.
        family: of a fragment, the others of its identifier in which something of its ranges may have been counted.
        expected: ranges that were reassigned to a fragment, and about which the former holder has not answered yet. No event
            waits for that.
        answered: the versions of reassignments about which it has, the newest 64.
        unanswered: reassignments of ranges of a fragment that is on its way: by version, the other fragment and its person.
            What was counted of them is known, and answered, when the fragment has come.
        rebuild: fragments that have to be counted again from their facts. No event waits for that.
    """

    gone: dict[int, Gone] = {}
    handed: dict[int, Remainder] = {}
    awaiting: dict[int, dict[int, Awaited]] = {}
    received: dict[int, list[int]] = {}
    brought: dict[int, list[int]] = {}
    pending: list[tuple[int, bytes]] = []
    ranges: dict[int, list[Range]] = {}
    family: dict[int, list[int]] = {}
    expected: dict[int, dict[int, Awaited]] = {}
    answered: dict[int, list[int]] = {}
    unanswered: dict[int, dict[int, tuple[int, int]]] = {}
    rebuild: dict[int, Rebuild] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether something is on its way, or has to be counted again."""
        return bool(self.awaiting or self.expected or self.rebuild)

    @property
    def waits_since(self) -> int:
        """Since when something is waited for, in microseconds; 0: nothing is."""
        if not self.is_waiting:
            return 0
        return min((*(wait.since for wait in self.waits()), *(one.since for one in self.rebuild.values())), default=0)

    def waits(self) -> list[Awaited]:
        """What is waited for from other people."""
        return [wait for some in (self.awaiting, self.expected) for waits in some.values() for wait in waits.values()]


TRANSFER = Slot("transfer", TransferLog)
NOTHING_UNDER_WAY = TransferLog()
"""For reading only: the log of everybody who has none."""
