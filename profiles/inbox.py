"""What was applied already: fingerprints of messages, and how far their facts have been written.

Of each message that was applied in the last 28 days the fragment in which it counts keeps a fingerprint of 12 bytes: a digest
of its id, and one of what it says. The id tells a duplicate; the other whether it is a conflict.

The first `RECENT` are kept in the inbox itself, by day of receipt. Of a fragment that gets more than that within 28 days, such
as a tablet on the counter or a crawler, further ones go into `BUCKETS` buckets by the digest, of which a message needs only
one. A bucket holds `BUCKET_KEPT` fingerprints, the newest: so at least about `RECENT + BUCKETS * BUCKET_KEPT` = 16,500 messages
of one fragment are known. A repetition of an older message than these counts again.
"""

from collections.abc import Iterable

import msgspec
import xxhash

from cdp.clock import DAY
from profiles.event import ProfileEvent
from profiles.slots import Slot
from profiles.state import Person, Slices

ID_DIGEST, PAYLOAD_DIGEST = 8, 4  # bytes; together they are a message's fingerprint
FINGERPRINT = ID_DIGEST + PAYLOAD_DIGEST
KEPT_DAYS = 28
RECENT, BUCKETS, BUCKET_KEPT = 128, 128, 128
_DAY_BYTES = 2
BUCKET_ENTRY = FINGERPRINT + _DAY_BYTES  # a fingerprint in a bucket, with its day


class Inbox(msgspec.Struct, array_like=True):
    """Of one fragment.

    Attributes:
        recent: day of receipt (UTC) to the fingerprints of messages, one after the other.
        applied: how many messages were ever applied, whatever they changed.
        first, last: the earliest and the latest time of them.
        fact_at: partition to the offset of the record with which the last fact was written for this fragment: facts of a
            partition are written in this order.
        has_buckets: there are fingerprints in buckets.
    """

    recent: dict[int, bytes] = {}
    applied: int = 0
    first: int = 0
    last: int = 0
    fact_at: dict[int, int] = {}
    has_buckets: bool = False


INBOX = Slot("inbox", Inbox)
BUCKET_SLOTS = tuple(Slot(f"inbox.{number:02x}", bytes) for number in range(BUCKETS))


def fingerprint_of(event: ProfileEvent) -> bytes:
    """A digest of a message's id, and one of what it says; a retry may have another time and context."""
    content = b"\0".join((event.kind.encode(), event.event.encode(), event.properties, event.traits))
    return xxhash.xxh3_64_digest(event.message_id.encode()) + xxhash.xxh3_64_digest(content)[:PAYLOAD_DIGEST]


def digest_of(fingerprint: bytes) -> int:
    """The number that breaks ties between events of one time."""
    return int.from_bytes(fingerprint[:ID_DIGEST])


def bucket_of(fingerprint: bytes) -> Slot[bytes]:
    """Where a fingerprint is kept if there are many."""
    return BUCKET_SLOTS[fingerprint[0] % BUCKETS]


def find(slices: Slices, fingerprint: bytes) -> bytes | None:
    """The fingerprint of the message that was applied to a fragment under the same id, if there is one."""
    inbox, wanted = slices.get(INBOX), fingerprint[:ID_DIGEST]
    for known in inbox.recent.values():
        at = _position(known, wanted, FINGERPRINT)
        if at >= 0:
            return known[at : at + FINGERPRINT]
    if not inbox.has_buckets:
        return None
    known = slices.get(bucket_of(fingerprint))
    at = _position(known, wanted, BUCKET_ENTRY)
    return known[at : at + FINGERPRINT] if at >= 0 else None


def has_buckets(person: Person) -> bool:
    """Whether some fingerprints of a person are in buckets."""
    return any(slices.get(INBOX).has_buckets for slices in inboxes(person))


def inboxes(person: Person) -> Iterable[Slices]:
    """The states that have an inbox: the fragments', or the whole's if it is the only one."""
    return person.fragments.values() or (person.whole,)


def load(slices: Slices) -> Slices:
    """The same states, with all buckets read: what is packed or copied has to be whole."""
    if slices.get(INBOX).has_buckets:
        for slot in BUCKET_SLOTS:
            slices.get(slot)
    return slices


def add(slices: Slices, fingerprint: bytes, event: ProfileEvent) -> None:
    """Note that a message was applied. It is known for 28 days of 24 hours at least, and not much longer."""
    inbox, day = slices.change(INBOX), event.received_at // DAY
    inbox.first = min(inbox.first, event.time) if inbox.applied else event.time
    inbox.last = max(inbox.last, event.time) if inbox.applied else event.time
    inbox.applied += 1
    keep(slices, fingerprint, day)


def merge(into: Slices, other: Slices) -> None:
    """Put what was applied to another fragment to what was applied to this one."""
    ours, theirs = into.change(INBOX), other.get(INBOX)
    if theirs.applied:
        ours.first = min(ours.first, theirs.first) if ours.applied else theirs.first
        ours.last = max(ours.last, theirs.last) if ours.applied else theirs.last
        ours.applied += theirs.applied
    for partition, offset in theirs.fact_at.items():
        ours.fact_at[partition] = max(offset, ours.fact_at.get(partition, -1))
    for day in sorted(theirs.recent):
        for at in range(0, len(theirs.recent[day]), FINGERPRINT):
            keep(into, theirs.recent[day][at : at + FINGERPRINT], day)
    if theirs.has_buckets:
        for slot in BUCKET_SLOTS:
            known = other.get(slot)
            for at in range(0, len(known), BUCKET_ENTRY):
                entry = known[at : at + BUCKET_ENTRY]
                keep(into, entry[:FINGERPRINT], int.from_bytes(entry[FINGERPRINT:]))


def keep(slices: Slices, fingerprint: bytes, day: int) -> None:
    """Keep the fingerprint of a message that was received on a day."""
    inbox = slices.change(INBOX)
    recent = inbox.recent
    if day not in recent and recent:
        oldest = max((day, *recent)) - KEPT_DAYS
        for old in [known for known in recent if known < oldest]:
            del recent[old]
        if day < oldest:
            return
    if inbox.has_buckets or sum(map(len, recent.values())) >= RECENT * FINGERPRINT:
        inbox.has_buckets = True
        _keep_in_bucket(slices, fingerprint, day)
    else:
        recent[day] = recent.get(day, b"") + fingerprint


def _keep_in_bucket(slices: Slices, fingerprint: bytes, day: int) -> None:
    slot = bucket_of(fingerprint)
    known = slices.get(slot) + fingerprint + day.to_bytes(_DAY_BYTES)
    if len(known) > BUCKET_KEPT * BUCKET_ENTRY:
        known = known[-BUCKET_KEPT * BUCKET_ENTRY :]
    oldest = day - KEPT_DAYS
    while int.from_bytes(known[FINGERPRINT:BUCKET_ENTRY]) < oldest:
        known = known[BUCKET_ENTRY:]
    slices.put(slot, known)


def _position(known: bytes, wanted: bytes, width: int) -> int:
    """Where an entry begins whose id is wanted; -1: nowhere. What is found across entries is none."""
    at = known.find(wanted)
    while at >= 0 and at % width:
        at = known.find(wanted, at + 1)
    return at
