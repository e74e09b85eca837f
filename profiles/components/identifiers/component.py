"""Identifiers: when each was first seen, and what a personal one is, sealed. A fold."""

from typing import ClassVar

from cdp.events import ORDER_ID
from profiles.component import NOTHING, At, Component, Touched
from profiles.components.identifiers.state import IDENTIFIERS, Known, newer_seal
from profiles.event import ProfileEvent
from profiles.slots import Slot

Named = list[tuple[str, str]]
"""``type:value`` of each identifier, and its sealed form if there is one."""


class Identifiers(Component[Known, Named]):
    """Keeps the identifiers that events name."""

    slot: ClassVar[Slot[Known]] = IDENTIFIERS

    def read(self, event: ProfileEvent) -> Named | None:
        """All but the ids of orders beside others: there may be thousands, and the orders themselves are kept."""
        return [(f"{i.type}:{i.value}", i.sealed) for i in event.ids if i.type != ORDER_ID or len(event.ids) == 1] or None

    def read_silent(self, event: ProfileEvent) -> Named | None:
        """As of any event; but a decision names other people's identifiers as well."""
        return None if event.kind == "decision" else self.read(event)

    def apply(self, state: Known, delta: Named, at: At) -> Touched:
        """Keep the earliest time of each."""
        for key, sealed in delta:
            seen = state.seen.get(key)
            if seen is None or at.time < seen:
                state.seen[key] = at.time
            if sealed:
                known = state.sealed.get(key)
                state.sealed[key] = sealed if known is None else newer_seal(known, sealed)
        return NOTHING

    def merge(self, into: Known, other: Known) -> None:
        """Both are known by what either is."""
        for key, seen in other.seen.items():
            into.seen[key] = min(seen, into.seen.get(key, seen))
        for key, sealed in other.sealed.items():
            into.sealed[key] = newer_seal(sealed, into.sealed.get(key, sealed))

    def beside_facts(self, state: Known) -> Known:
        """Facts hold tokens only: what they stand for is nowhere else."""
        return Known(sealed=dict(state.sealed))

    def restore(self, state: Known, kept: Known) -> None:
        """Of the identifiers that the facts name."""
        for key in state.seen.keys() & kept.sealed.keys():
            state.sealed[key] = newer_seal(kept.sealed[key], state.sealed.get(key, kept.sealed[key]))
