"""PROFILE: one record after the other, applied to its person, exactly once, whatever is repeated or replayed.

A record at or below the profile's offset was handled before: what was said then (the outbox knows) is said again, and
nothing is counted again. A message among the marks came before under another position:
it is a duplicate, and a conflict if it said something else then. Everything else is applied; a bot's event is a fact, and
changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from cdp.clock import Calendar
from cdp.errors import InvalidEvent
from cdp.events import Action, DeadLetter, Outcome, TagChanges, message_id_in
from cdp.mask import mask_all
from cdp.people import one_id
from cdp.profile import AT_NEXT_TICK, Profile
from rules.definitions.book import CompiledRules
from rules.language.evaluate import Context
from streams import heal, reassign, records, transfer
from streams.measure import SILENT, Measure, Reading, add_mark, digest_of, find_mark, mark_of, note_silent
from streams.parts import open_all, open_part
from streams.records import Output, Resolved, decode_resolved
from streams.recount import Recount
from streams.refetch import Refetch
from streams.schedule import Schedule
from streams.store import Due, Entry, ProfileStore, Said
from streams.tag import Selection, Tagger
from streams.trigger import TIME, Cause, Trigger, action_id

Row = tuple[bytes, int, int]
EVERYTHING = None
_NOTHING_SAID = Said([])


@dataclass(slots=True)
class Position:
    """Where a record stands on `resolved`, and what it has put out so far; its own fact is kept apart from the rest.

    `recovered`: how many of the outputs were put out before a restart already.
    """

    partition: int
    offset: int
    outputs: list[Output] = field(default_factory=list)
    fact: Output | None = None
    refused: bool = False
    also_refused: list[int] = field(default_factory=list)
    recovered: int = 0
    seq: int = 0

    def next_seq(self, count: int = 1) -> int:
        """Numbers for the next outputs of the position; returns the first."""
        first = self.seq + 1
        self.seq += count
        return first


class ProfileStep:
    """Processes batches of `resolved`.

    Args:
        committed: partition to committed offset; what was said of records below it is not kept any longer.
        facts: reads the facts of parts back: see `streams.refetch`.
        now: the wall clock, for dead letters only.
    """

    def __init__(
        self,
        store: ProfileStore,
        rules: CompiledRules,
        calendar: Calendar,
        committed: dict[int, int],
        facts: Refetch,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._rules = rules
        self._calendar = calendar
        self._committed = committed
        self._now = now
        self._measure = Measure(rules, calendar)
        self._recount = Recount(facts, self._measure)
        self._tagger = Tagger(rules)
        self._trigger = Trigger(rules)
        self._schedule = Schedule(rules, calendar)
        self._recovered: dict[int, dict[int, Said]] = {}
        self._healed = 0

    def process(self, rows: list[Row]) -> list[list[Output]]:
        """The outputs of each row. Raises only when Redis fails or another writer is at work."""
        decoded = [_decode(value) for value, _, _ in rows]
        ticks = [Due(p, o, r.time) for (_, p, o), r in zip(rows, decoded, strict=True) if r is not None and r.kind == "tick"]
        woken = self._store.find_due(ticks) if ticks else {}
        people = {r.person for r in decoded if r is not None and r.kind != "tick"}
        entries = self._store.load(people.union(*woken.values()) if woken else people)
        if woken:
            self._recount.fetch(ticks, woken, entries)
        partitions: dict[int, int] = {}
        said: dict[int, dict[int, Said]] = {}
        outputs = []
        for (value, partition, offset), record in zip(rows, decoded, strict=True):
            if partition not in self._recovered:
                self._recovered[partition] = self._store.said_since(partition, offset)
            position = Position(partition, offset)
            if record is None:
                position.outputs.append(self._dead_letter(value, position, "malformed", "", "not a record of this platform"))
            elif record.kind == "tick":
                position.outputs += self._said_before(position)
                position.recovered = len(position.outputs)
                for person in woken[partition, offset]:
                    partitions[person] = partition
                    self._wake(entries[person], record.time, position)
            else:
                partitions[record.person] = partition
                self._handle(entries[record.person], record, value, position)
            records.end_late_facts(position.outputs, offset, position.recovered)
            if position.outputs or position.refused:
                said.setdefault(partition, {})[offset] = Said(position.outputs, position.refused)
            for waited in position.also_refused:
                said.setdefault(partition, {})[waited] = Said([], True)
            outputs.append([position.fact, *position.outputs] if position.fact is not None else position.outputs)
        healed, self._healed = self._healed, 0
        self._store.save({person: (p, entries[person]) for person, p in partitions.items()}, said, self._committed, healed)
        return outputs

    def _said_before(self, position: Position) -> list[Output]:
        earlier = self._recovered[position.partition].get(position.offset)
        return earlier.outputs if earlier is not None else []

    # -- one record ------------------------------------------------------------------------------------------------

    def _handle(self, entry: Entry, record: Resolved, value: bytes, position: Position) -> None:
        profile = entry.profile
        if position.offset <= profile.offset:
            self._repeat(profile, record, value, position)
            return
        entry.dirty = True
        profile.offset = position.offset
        if record.kind == "command":
            self._command(entry, record, position)
        elif record.part in profile.gone:
            position.refused = True
            position.outputs.append(records.forwarded(value, profile.gone[record.part].owner))
        elif profile.ranges and (elsewhere := reassign.diverted_to(profile, record)) is not None:
            position.refused = True
            position.outputs.append(records.diverted(value, elsewhere))
        else:
            self._event(entry, record, value, position)

    def _event(self, entry: Entry, record: Resolved, value: bytes, position: Position) -> None:
        profile = entry.profile
        mark = mark_of(record)
        if (earlier := find_mark(profile, mark)) is not None:
            position.refused = True
            position.outputs.append(_duplicate(record, position.partition, position.offset, conflict=earlier != mark))
        elif profile.awaiting:
            profile.pending.append((position.offset, value))
        elif (reading := self._read(record, value, position)) is None:
            position.refused = True
        else:
            position.fact = records.fact(value, record.one_id, position.partition, position.offset)
            self._apply(entry, record, reading, mark, position)
            self._note_fact(entry, record, value, position, position.offset)

    def _read(self, record: Resolved, value: bytes, position: Position) -> Reading | None:
        """What an event will change; None if it cannot be read, which makes a dead letter."""
        try:
            return self._measure.read(record)
        except InvalidEvent as error:
            letter = self._dead_letter(value, position, error.reason, error.field, error.message, record)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            letter = self._dead_letter(value, position, "malformed", "properties", str(error), record)
        position.outputs.append(letter)
        return None

    def _apply(self, entry: Entry, record: Resolved, reading: Reading, mark: bytes, position: Position) -> None:
        profile, part = entry.profile, open_part(entry, record.part)
        add_mark(profile, mark, record.received_at)
        if part is not None:
            add_mark(part, mark, record.received_at)
        if reading is SILENT:
            note_silent(profile, record)
            if part is not None:
                note_silent(part, record)
            return
        before = profile.as_of
        profile.as_of = max(before, min(record.time, record.received_at))
        today = self._calendar.day(profile.as_of)
        # A new day, or a moment that was waited for: time has passed as well.
        anew = not before or today != self._calendar.day(before) or 0 < profile.due <= profile.as_of
        touched = self._measure.apply(profile, record, reading, digest_of(mark), today)
        if part is not None:
            self._measure.apply(part, record, reading, digest_of(mark), today)
        if anew:
            self._measure.prune(profile, today)
        selection = EVERYTHING if anew else self._tagger.select(record.name, touched)
        names = [record.name] if record.name in self._trigger.watched else []
        if anew or self._trigger.asks_time(record.name, touched):
            names.append(TIME)
        renew = anew  # after what fired, too: a new day may bring it again; and for what the event was too old to fire
        if selection or names:
            context = self._context(profile)
            self._retag(profile, context, selection, record.message_id, position)
            order_id = reading.order.order_id if reading.order else ""
            for name in names:
                cause = Cause(name, record.time, record.received_at, record.message_id, order_id)
                renew |= self._emit_actions(entry, part, context, cause, position)
            renew |= TIME in names and self._trigger.has_unfired(profile, context)
        profile.due = self._next_due(profile) if renew else self._schedule.after(profile, record.name, touched)

    @staticmethod
    def _note_fact(entry: Entry, record: Resolved, value: bytes, position: Position, offset: int) -> None:
        """Remember how far the facts must have arrived for the part's last one to be there."""
        profile, part = entry.profile, entry.opened.get(record.part, entry.profile)
        part.fact_at[position.partition] = position.offset
        if profile.rebuild:
            reassign.keep_recent(profile, part, record.part, (position.partition, offset, value))

    def _repeat(self, profile: Profile, record: Resolved, value: bytes, position: Position) -> None:
        """A record that was handled before comes again: say again what was said then."""
        if any(offset == position.offset for offset, _ in profile.pending):
            return
        earlier = self._recovered[position.partition].get(position.offset, _NOTHING_SAID)
        position.refused = earlier.refused
        position.outputs += earlier.outputs
        position.recovered = len(position.outputs)
        if not earlier.refused and record.kind != "command":
            position.fact = records.fact(value, record.one_id, position.partition, position.offset)

    def _wake(self, entry: Entry, time: int, position: Position) -> None:
        """Time has passed for a person."""
        profile = entry.profile
        entry.dirty = True
        mine = Position(position.partition, position.offset, seq=profile.person << 16)
        if profile.is_waiting:
            self._healed += heal.is_stuck(profile, time)
            mine.outputs += self._recount.count(entry, time, self._calendar.day(profile.as_of))
            mine.outputs += heal.ask_again(entry, time)
            if not profile.awaiting:
                self._apply_pending(entry, mine)
        if profile.part_numbers:
            profile.as_of = max(profile.as_of, time)
            context = self._context(profile)
            self._measure.prune(profile, context.today)
            self._retag(profile, context, EVERYTHING, "", mine)
            self._emit_actions(entry, None, context, Cause(TIME, time, time), mine)
        profile.due = self._schedule.next_due(profile) if profile.part_numbers else 0
        position.outputs += mine.outputs
        position.also_refused += mine.also_refused

    # -- commands --------------------------------------------------------------------------------------------------

    def _command(self, entry: Entry, record: Resolved, position: Position) -> None:
        profile = entry.profile
        match record.event:
            case "await":
                position.outputs += transfer.await_parts(profile, record)
            case "move":
                self._release(entry, record, position)
            case "state" | "expect" | "carve" | "range" | "stretch" if (owner := transfer.passes_on(profile, record)) is not None:
                position.outputs.append(records.passed_on(record, owner))
            case "state":
                self._receive(entry, record, position)
            case "expect":
                reassign.expect(profile, record)
            case "carve":
                position.outputs += reassign.reassign(entry, record)
            case "range" | "stretch":
                position.outputs += reassign.receive_range(entry, record)
            case "rebuild":
                heal.rebuild_all(entry, record.time)
                position.outputs += heal.ask_again(entry, record.time, at_once=True)
            case _:
                pass

    def _release(self, entry: Entry, record: Resolved, position: Position) -> None:
        """Parts belong to another person now: send their states there, and forward what still comes."""
        leaving, sent = transfer.release(entry, record)
        position.outputs += sent
        stay = []
        for offset, value in entry.profile.pending:
            if decode_resolved(value).part in leaving:
                position.outputs.append(records.forwarded(value, record.other))
                position.also_refused.append(offset)
            else:
                stay.append((offset, value))
        entry.profile.pending = stay
        if leaving:
            self._look_anew(entry, record, position)

    def _receive(self, entry: Entry, record: Resolved, position: Position) -> None:
        """The state of a part that belongs to this person now."""
        is_new, answers = transfer.receive(entry, record)
        position.outputs += answers
        if is_new:
            self._look_anew(entry, record, position)

    def _look_anew(self, entry: Entry, record: Resolved, position: Position) -> None:
        """Parts have come or gone: tags and moments follow, and events that need not wait any longer have their turn."""
        profile = entry.profile
        if not profile.part_numbers and not profile.pending:
            profile.tags, profile.due = {}, 0
            return
        self._measure.prune(profile, self._calendar.day(profile.as_of))
        self._retag(profile, self._context(profile), EVERYTHING, record.message_id, position)
        if not profile.awaiting:
            self._apply_pending(entry, position)
        profile.due = self._next_due(profile)

    def _next_due(self, profile: Profile) -> int:
        """At the next tick, if a trigger has yet to fire; else when time alone will change something."""
        if not profile.awaiting and self._trigger.has_unfired(profile, self._context(profile)):
            return AT_NEXT_TICK
        return self._schedule.next_due(profile)

    def _apply_pending(self, entry: Entry, position: Position) -> None:
        """Nothing is awaited any more: the events that waited have their turn."""
        profile = entry.profile
        pending, profile.pending = profile.pending, []
        for offset, value in pending:
            record = decode_resolved(value)
            mark = mark_of(record)
            if (elsewhere := reassign.diverted_to(profile, record)) is not None:
                position.outputs.append(records.diverted(value, elsewhere))
                position.also_refused.append(offset)
            elif (earlier := find_mark(profile, mark)) is not None:
                position.outputs.append(_duplicate(record, position.partition, offset, conflict=earlier != mark))
                position.also_refused.append(offset)
            elif (reading := self._read(record, value, position)) is not None:
                key = one_id(profile.person)
                position.outputs.append(records.fact(value, key, position.partition, offset, position.offset - 1))
                self._apply(entry, record, reading, mark, position)
                self._note_fact(entry, record, value, position, offset)
            else:
                position.also_refused.append(offset)

    # -- what follows from a change --------------------------------------------------------------------------------

    def _context(self, profile: Profile) -> Context:
        return Context(profile, profile.as_of, self._calendar, self._rules.windows)

    def _retag(
        self, profile: Profile, context: Context, selection: Selection | None, message_id: str, position: Position
    ) -> None:
        changes = self._tagger.evaluate(profile, context, selection)
        if changes:
            key = one_id(profile.person)
            record = TagChanges(
                one_id=key, person=profile.person, tags=changes, time=context.now, message_id=message_id,
                p=position.partition, o=position.offset, seq=position.next_seq(len(changes)),
            )  # fmt: skip
            position.outputs.append(records.output(records.CHANGES, key, record))

    def _emit_actions(self, entry: Entry, part: Profile | None, context: Context, cause: Cause, position: Position) -> bool:
        """Fire what a cause fires. The occasion is kept with the part whose event it was, or, if it was time, with all of them:
        wherever a part goes, nobody gets it again. Returns whether anything fired.
        """
        profile = entry.profile
        key = one_id(profile.person)
        fired = self._trigger.fire(profile, context, cause)
        for trigger, occasion in fired:
            content = trigger.render(context)
            for channel in trigger.rule.channels:
                action = Action(
                    action_id=action_id(trigger.rule.name, key, occasion, channel), rule=trigger.rule.name,
                    rule_version=trigger.rule.version, one_id=key, person=profile.person, occasion=occasion, channel=channel,
                    content=content, time=cause.time, received_at=cause.received_at, message_id=cause.message_id,
                    p=position.partition, o=position.offset, seq=position.next_seq(),
                )  # fmt: skip
                position.outputs.append(records.output(records.ACTIONS, key, action))
            for state in open_all(entry) if cause.name == TIME else [part] if part is not None else ():
                state.occasions[f"{trigger.rule.name}|{occasion}"] = cause.time
        return bool(fired)

    def _dead_letter(
        self, value: bytes, position: Position, reason: str, where: str, detail: str, record: Resolved | None = None
    ) -> Output:
        origin = record.origin if record is not None else (-1, -1)
        letter = DeadLetter(
            stage="profile", reason=reason, field=where, detail=mask_all(detail[:500]), time=self._now(),
            payload=value.decode("utf-8", "replace"), message_id=message_id_in(value),
            p=origin[0], o=origin[1],
        )  # fmt: skip
        return records.output(records.DEAD_LETTERS, records.NO_KEY, letter)


def _decode(value: bytes) -> Resolved | None:
    try:
        record = decode_resolved(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record if record.person or record.kind == "tick" else None


def _duplicate(record: Resolved, partition: int, offset: int, *, conflict: bool) -> Output:
    outcome = Outcome(
        outcome="duplicate", message_id=record.message_id, one_id=record.one_id, person=record.person, time=record.time,
        origin=record.origin, p=partition, o=offset, conflict=conflict, replay_of=record.source.replay_of,
    )  # fmt: skip
    return records.output(records.FACTS, record.one_id, outcome)
