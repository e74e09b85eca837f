"""What a capability of a profile is: a component, with a state of its own.

The kernel knows no orders, no tags and no triggers. It runs the components of `profiles.components.COMPONENTS` in their order
and keeps their states. There are three kinds, which keep different laws:

fold     A function of the set of events that were applied: not of their order, and not of their number of repetitions. It is
         kept for each fragment, and the person's is the fold (`merge`) of the fragments'. So taking a fragment out leaves
         nothing behind, and putting it back restores everything.
derived  What follows from the others at a moment, such as tags. It is kept for the person only, and evaluated again whenever
         something changes.
once     What has happened and may not happen again. Merging is the union; what leaves with a fragment stays with the person as
         well, so that nobody gets a thing twice. Each entry has its own horizon of pruning.

`tests/properties/test_component_laws.py` holds each component to the laws of its kind.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import msgspec

from cdp.clock import Calendar
from profiles.event import ProfileEvent
from profiles.slots import Slot
from rules.definitions.book import CompiledRules
from rules.language.functions import Function

if TYPE_CHECKING:
    from profiles.context import Context
    from profiles.state import Person

S = TypeVar("S")
D = TypeVar("D")

Kind = Literal["fold", "derived", "once"]
Touched = frozenset[str]
"""What an event touched, in the words of `rules.language.dependencies.touches`: ``any``, its name, and what components add."""
NOTHING: Touched = frozenset()

TIME = "time"
"""The name of the cause that is no event."""


class At(NamedTuple):
    """When something happened: no two messages have the same time and digest.

    Attributes:
        time: of the event, in microseconds.
        digest: of the message's id; it breaks ties.
        today: day number of the person's clock, for what keeps a horizon.
    """

    time: int
    digest: int
    today: int


class Cause(msgspec.Struct, frozen=True):
    """Why something is evaluated: an event by its name, or ``time``. Times in microseconds.

    Attributes:
        fragment: the number of the fragment in which the event counts; None: it is no event, or the person has only one.
        order_id: of the order that the event is about; empty: it is about none.
    """

    name: str
    time: int
    received_at: int
    message_id: str = ""
    order_id: str = ""
    fragment: int | None = None


class Component(Generic[S, D]):
    """One capability. Made once for each rule book; it holds nothing of a person.

    Attributes:
        slot: name, type and format of its state.
        kind: see the module.
        functions: what it adds to the rule language.
        vocabulary: by name, the functions of a context (and arguments) that compiled rules call.
    """

    slot: ClassVar[Slot[Any]]
    kind: ClassVar[Kind] = "fold"
    functions: ClassVar[tuple[Function, ...]] = ()
    vocabulary: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def __init__(self, book: CompiledRules, calendar: Calendar) -> None:
        self.book = book
        self.calendar = calendar

    def read(self, event: ProfileEvent) -> D | None:
        """What an event will change, decoded; None: nothing. Changes nothing. Raises InvalidEvent or msgspec.MsgspecError."""
        return None

    def read_silent(self, event: ProfileEvent) -> D | None:
        """The same of an event that is kept and changes nobody: a bot's, say. Raises nothing."""
        return None

    def apply(self, state: S, delta: D, at: At) -> Touched:
        """Take an event in, into the state of a person or of a fragment; says what it touched besides its name."""
        return NOTHING

    def merge(self, into: S, other: S) -> None:
        """Put another state to this one, which may hold on to it. Both took in different messages."""

    def is_concerned(self, event: str, touched: Touched) -> bool:
        """Whether `evaluate` can have an effect after an event of a name that touched this. Only derived and once."""
        return False

    def is_timed_by(self, touched: Touched) -> bool:
        """Whether an event that touched this, and no state but by its name, can bring a timer forward."""
        return False

    def evaluate(self, person: "Person", context: "Context", touched: Touched | None, cause: Cause) -> list[Any]:
        """Bring the person's state up to date, and return the effects. Only derived and once.

        Args:
            touched: what may have changed since the last time; None: anything, time has passed as well.
        """
        return []

    def next_timer(self, person: "Person", context: "Context", touched: Touched | None) -> int:
        """The first moment after the person's clock at which time alone may change something, in microseconds; 0: never.

        Args:
            touched: look only for what an event that touched this has brought, which is asked of a component that `is_timed_by`
                it; None: for everything.
        """
        return 0

    def beside_facts(self, state: S) -> S | None:
        """What of a fragment's state does not follow from its facts; None: all of it does. Not shared with the state."""
        return None

    def restore(self, state: S, kept: S) -> None:
        """Put what `beside_facts` kept to a state that was counted from facts."""

    def prune(self, state: S, today: int) -> bool:
        """Forget what is beyond every horizon. Returns whether there was something."""
        return False
