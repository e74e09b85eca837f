"""A profile in one spelling: what it says of its person, whatever the order in which it was put together.

Two profiles that took in the same events under the same rules are equal in this spelling, fold by fold. It is for tests, drills
and for comparing whole data folders: MessagePack keeps the order of insertion.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from profiles.components import COMPONENTS, Kinds
from profiles.inbox import BUCKET_ENTRY, BUCKET_SLOTS, FINGERPRINT, INBOX, inboxes
from profiles.state import Person


def spell(person: Person, *, without: Collection[str] = (), kinds: Kinds = COMPONENTS) -> dict[str, Any]:
    """The states of a person by component, and the fingerprints of all that was applied, sorted.

    Args:
        without: components that are left out.
    """
    said = {
        kind.slot.name: msgspec.to_builtins(person.whole.get(kind.slot), str_keys=True, order="deterministic")
        for kind in kinds
        if kind.slot.name not in without
    }
    return said | {"fingerprints": fingerprints(person)}


def fingerprints(person: Person) -> list[str]:
    """Of all messages that are known to have been applied, in hexadecimal."""
    found = []
    for slices in inboxes(person):
        inbox = slices.get(INBOX)
        for known in inbox.recent.values():
            found += [known[at : at + FINGERPRINT].hex() for at in range(0, len(known), FINGERPRINT)]
        for known in (slices.get(slot) for slot in BUCKET_SLOTS if inbox.has_buckets):
            found += [known[at : at + FINGERPRINT].hex() for at in range(0, len(known), BUCKET_ENTRY)]
    return sorted(found)
