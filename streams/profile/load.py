"""What a batch is about, read from Redis in one round trip, or two where a profile has outgrown its string."""

from cdp.rule_books import RulesRecord
from profiles.inbox import bucket_of, fingerprint_of, has_buckets
from profiles.state import Person
from streams.profile.books import Books
from streams.profile.position import Read
from streams.profile.store import Due, Entry, ProfileStore
from streams.records import Record, ResolvedEvent, Tick

Woken = dict[tuple[int, int], list[int]]
"""For each tick, by partition and offset, the people to look at."""


def load_batch(store: ProfileStore, books: Books, read: list[Read]) -> tuple[Woken, dict[int, Entry]]:
    """Whom ticks wake, and everybody's profile whom the batch is about."""
    about: dict[int, list[Record]] = {}
    ticks: list[Due] = []
    marks: list[tuple[int, int, int | None]] = []
    for one in read:
        record, position = one.record, one.position
        if isinstance(record, Tick):
            ticks.append(Due(position.partition, position.offset, record.time))
            marks.append((position.partition, position.offset, None))
        elif isinstance(record, RulesRecord):
            marks.append((position.partition, position.offset, record.book))
        elif record is not None:
            about.setdefault(record.person, []).append(record)
    if not marks:
        return {}, store.load(about, lambda number, person: _wanted(person, about[number]))
    woken, pages = store.find_due(ticks), books.plan(marks)
    people = about.keys() | {person for some in (woken, pages) for found in some.values() for person in found}
    entries = store.load(people, lambda number, person: _wanted(person, about.get(number, [])))
    for place, page in pages.items():
        known = set(woken[place])
        woken[place] += [number for number in page if number not in known and entries[number].person.fragment_numbers]
    return woken, entries


def _wanted(person: Person, batch: list[Record]) -> set[str]:
    """The fields of a person that are outside of the envelope and that a batch will need; for commands they are fetched later."""
    events = [record for record in batch if isinstance(record, ResolvedEvent)]
    fragments = {f"{one.part}/" for one in events} if person.fragments else {""}
    names = {
        prefix + name for prefix, slices in person.parts() if not prefix or prefix in fragments for name in slices.outside
    }  # fmt: skip
    if has_buckets(person):
        names |= {prefix + bucket_of(fingerprint_of(one)).name for prefix in fragments for one in events}
    return names
