"""PROFILE: one record after the other, applied to its person, exactly once, whatever is repeated or replayed.

A record at or below the profile's offset was handled before: what was put out then (the outbox knows) is emitted again, and
nothing is counted again. A message whose fingerprint is known came before under another position: it is a duplicate, and a
conflict if it said something else then. Everything else is applied by the kernel (`profiles.kernel`).
"""

from collections.abc import Callable

from cdp.rule_books import RulesRecord
from profiles.state import Person
from streams import records
from streams.commands import Command
from streams.profile import command, event, wake
from streams.profile.books import Books
from streams.profile.emit import dead_letter
from streams.profile.load import load_batch
from streams.profile.outbox import NOTHING_EMITTED, Emitted
from streams.profile.position import Position, Read
from streams.profile.recount import Recount
from streams.profile.refetch import Refetch
from streams.profile.store import Entry, ProfileStore
from streams.records import Output, ResolvedEvent, Tick, decode_record

Row = tuple[bytes, int, int]


class ProfileStep:
    """Processes batches of `resolved`.

    Args:
        books: which kernel, what happens to an event, holds for a record.
        committed: partition to committed offset; what was put out for records below it is not kept any longer.
        facts: reads the facts of fragments back: see `streams.profile.refetch`.
        now: the wall clock, for dead letters only.
    """

    def __init__(
        self, store: ProfileStore, books: Books, committed: dict[int, int], facts: Refetch, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._books = books
        self._committed = committed
        self._now = now
        self._recount = Recount(facts)
        self._recovered: dict[int, dict[int, Emitted]] = {}

    def process(self, rows: list[Row]) -> list[list[Output]]:
        """The outputs of each row. Raises only when Redis fails or another writer is at work."""
        try:
            return self._process([Read(value, Position(p, offset), decode_record(value)) for value, p, offset in rows])
        except BaseException:
            self._store.forget()
            raise

    def _process(self, read: list[Read]) -> list[list[Output]]:
        woken, entries = load_batch(self._store, self._books, read)
        self._recount.fetch(woken, entries)
        changed: dict[int, tuple[int, Entry]] = {}
        healed = 0
        for one in read:
            record, position = one.record, one.position
            if position.partition not in self._recovered:
                self._recovered[position.partition] = self._store.emitted_since(position.partition, position.offset)
            match record:
                case None:
                    self._refuse(one, "malformed", "not a record of this platform")
                case Tick():
                    self._re_emit(position)
                    due = [entries[person] for person in woken[position.partition, position.offset]]
                    healed += sum(self._wake(entry, record.time, position) for entry in due)
                    changed |= {entry.person.number: (position.partition, entry) for entry in due}
                case RulesRecord():
                    if wrong := self._books.advance(position.partition, position.offset, record.book):
                        self._refuse(one, "invalid_rules", wrong)
                case _:
                    changed[record.person] = position.partition, entries[record.person]
                    self._handle(entries[record.person], record, one)
            records.end_late_facts(position.outputs, position.offset, position.recovered)
        self._store.save(changed, _emitted(read), self._committed, healed, self._books.take_changes())
        return [[r.position.fact, *r.position.outputs] if r.position.fact is not None else r.position.outputs for r in read]

    def _handle(self, entry: Entry, record: ResolvedEvent | Command, one: Read) -> None:
        person, position = entry.person, one.position
        if position.offset <= person.offset:
            self._repeat(person, record, one)
            return
        entry.is_changed = True
        person.offset = position.offset
        kernel = self._books.kernel(position.partition, position.offset)
        if isinstance(record, ResolvedEvent):
            event.handle(kernel, person, record, one.value, position, self._now)
        else:
            command.handle(kernel, person, record, position, self._now)

    def _wake(self, entry: Entry, time: int, position: Position) -> bool:
        kernel = self._books.kernel(position.partition, position.offset)
        return wake.wake(kernel, self._recount, entry, time, position, self._now)

    def _repeat(self, person: Person, record: ResolvedEvent | Command, one: Read) -> None:
        """A record that was handled before comes again: emit again what was put out then."""
        position = one.position
        if any(offset == position.offset for offset, _ in person.log.pending):
            return
        position.refused = self._re_emit(position).refused
        if not position.refused and isinstance(record, ResolvedEvent):
            position.fact = records.fact(one.value, record.one_id, position.partition, position.offset)

    def _re_emit(self, position: Position) -> Emitted:
        earlier = self._recovered[position.partition].get(position.offset, NOTHING_EMITTED)
        position.outputs += earlier.outputs
        position.recovered = len(position.outputs)
        return earlier

    def _refuse(self, one: Read, reason: str, detail: str) -> None:
        one.position.outputs.append(dead_letter(one.value, self._now(), reason, "", detail))


def _emitted(read: list[Read]) -> dict[int, dict[int, Emitted]]:
    """What the outbox keeps, by partition and offset."""
    emitted: dict[int, dict[int, Emitted]] = {}
    for position in (one.position for one in read):
        if position.outputs or position.refused:
            emitted.setdefault(position.partition, {})[position.offset] = Emitted(position.outputs, position.refused)
        for waited in position.also_refused:
            emitted.setdefault(position.partition, {})[waited] = Emitted([], True)
    return emitted
