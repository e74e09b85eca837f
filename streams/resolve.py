"""RESOLVE: each event gets its person. Known identifiers are one read for the whole batch; only new links take the slow way."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec

from cdp.errors import CdpError, InvalidEvent
from cdp.events import EMPTY_OBJECT, DeadLetter, Identifier, decode_event, encode, message_id_in
from cdp.identity import IdRecord, Seen
from cdp.mask import mask_all
from rules.identity import normalise, number_identity_rules
from rules.identity.combine import choose
from rules.identity.decide import bar
from rules.identity.derive import derive_values
from rules.identity.match_people import record_key
from rules.identity.model import IdentityRules
from rules.identity.place import Carve, Move, Placed, is_ahead
from rules.identity.read import Told, read_identifier, read_sighting, strongest_first
from rules.identity.sight import Sighting, says_nothing_new
from streams import records
from streams.commands import for_carve, for_move
from streams.graph import IdentityGraph, Located
from streams.records import Output

log = logging.getLogger(__name__)

Row = tuple[bytes, int, int]

LARGE = 1 << 27  # people: what names one of them in any population
REMEMBERED = 200_000  # links whose evidence is known to be in the graph

_MINIMUM_TIME = 0
_MAXIMUM_TIME = 4_102_444_800_000_000  # the year 2100


class _Source(msgspec.Struct, frozen=True):
    name: str = ""


class _Envelope(msgspec.Struct):
    """The part of an event that RESOLVE looks at; the rest is passed on unread."""

    message_id: str
    kind: str
    time: int
    received_at: int
    event: str = ""
    ids: list[Identifier] = []
    traits: msgspec.Raw = EMPTY_OBJECT
    source: _Source = _Source()


_read_traits = msgspec.json.Decoder(dict[str, Any]).decode
_read = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A valid event: its bytes, and what it says about who is who."""

    value: bytes
    sighting: Sighting


class ResolveStep:
    """Processes batches of `events`.

    The identity rules that are published in Redis hold from the next batch on; until any are, those that are given.

    Args:
        committed: partition to committed offset of this job.
        partitions: how many partitions `events` has.
        now: the wall clock, for dead letters and commands only.
        open_: opens sealed traits.
    """

    def __init__(
        self,
        graph: IdentityGraph,
        rules: IdentityRules,
        committed: Mapping[int, int],
        partitions: int,
        now: Callable[[], int],
        open_: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        self._graph = graph
        self._shipped = self._rules = rules
        self._seen = 0
        self._committed = committed
        self._partitions = partitions
        self._now = now
        self._recovered = False
        self._normal = lru_cache(maxsize=200_000)(lambda type_, value: read_identifier(type_, value, self._rules))
        self._open = open_
        self._evidence: dict[tuple[str, str, str], Seen | None] = {}
        self._said: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def process(self, rows: list[Row]) -> list[list[Output]]:
        """The outputs of each row: its resolved event and what it changed for others, or a dead letter.

        Raises only when Redis fails.
        """
        outputs: list[list[Output]] = [[] for _ in rows]
        if not rows:
            return outputs
        if not self._recovered:
            outputs[0] += self._recover()
        accepted, refused, known = self._read(rows)
        for index, letter in refused.items():
            outputs[index].append(letter)
        placed = self._place(rows, accepted, known)
        for index, event in accepted.items():
            _, partition, offset = rows[index]
            place = placed[index]
            for change in place.changes:
                outputs[index] += _commands(change, self._now())
            outputs[index].append(records.resolved(event.value, place.person, place.part, partition, offset))
        return outputs

    def _recover(self) -> list[Output]:
        """What may have been changed, but not said, before the start: say them again, before anything else.

        Those of every partition, whoever reads it: an event that is resolved anew goes to the new owner now, and that owner
        must know first what is on its way, or it would apply what the old one has applied already.
        """
        self._recovered = True
        changes: list[Move | Carve] = []
        for partition in range(self._partitions):
            offset = self._committed.get(partition, 0)
            self._graph.forget_changes(partition, offset)
            changes += self._graph.changes_since(partition, offset)
        changes.sort(key=lambda change: change.version)
        return [command for change in changes for command in _commands(change, self._now())]

    def _read(self, rows: list[Row]) -> tuple[dict[int, _Accepted], dict[int, Output], dict[str, IdRecord]]:
        """What each row says, by the rules in force, and what is known of its identifiers."""
        while True:
            accepted: dict[int, _Accepted] = {}
            refused: dict[int, Output] = {}
            for index, (value, partition, offset) in enumerate(rows):
                try:
                    accepted[index] = self._accept(value)
                except InvalidEvent as error:
                    refused[index] = self._dead_letter(error, value, partition, offset)
            known = self._graph.look_up(list({key for event in accepted.values() for key in event.sighting.keys}))
            if self._graph.published == self._seen:
                return accepted, refused, known
            self._take_rules()

    def _take_rules(self) -> None:
        """Other rules are in force: take them, and forget what was worked out by the old ones."""
        self._seen = self._graph.published
        published = self._graph.published_rules() if self._seen else None
        try:
            self._rules = number_identity_rules(published.text, published.version) if published else self._shipped
        except CdpError as error:  # they were checked by whoever published them, perhaps by a newer version of the platform
            log.error("identity rules of version %s cannot be used, version %s stays: %s", self._seen, self._rules.version, error)
            return
        self._graph.use(self._rules)
        self._normal.cache_clear()
        self._evidence.clear()
        log.info("identity rules of version %s are in force", self._rules.version)

    def _accept(self, value: bytes) -> _Accepted:
        try:
            envelope = _read(value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidEvent("malformed", "", f"not an event of the contract: {error}") from None
        if not envelope.message_id:
            raise InvalidEvent("missing_message_id", "message_id", "message_id is empty.")
        for name, time in (("time", envelope.time), ("received_at", envelope.received_at)):
            if not _MINIMUM_TIME <= time <= _MAXIMUM_TIME:
                raise InvalidEvent("invalid_time", name, f"{name} is not in microseconds between 1970 and 2100.")
        forms = [self._normal(identifier.type, identifier.value) for identifier in envelope.ids]
        ids = strongest_first(forms)
        record = self._record(envelope) if self._rules.matching is not None else {}
        if not ids and record:
            ids = (self._name_of(record, envelope.message_id),)
        if not ids:
            raise InvalidEvent("missing_identifier", "ids", "no identifier that identifies anybody.")
        if any(form is None or not form.is_unchanged for form in forms):
            value = self._rewrite(value)
        sighting = _sighting(envelope, ids, value, self._rules)
        sealed = {f"{one.type}:{one.value}": one.sealed for one in envelope.ids if one.sealed}
        return _Accepted(value, replace(sighting, record=record, sealed=sealed) if record or sealed else sighting)

    def _record(self, envelope: _Envelope) -> dict[str, str]:
        """The traits of an event as they are compared; {} if they say nothing."""
        raw = bytes(envelope.traits)
        if len(raw) <= len(EMPTY_OBJECT) or self._rules.matching is None or envelope.kind not in ("identify", "order", "track"):
            return {}
        try:
            traits = _read_traits(raw)
        except msgspec.MsgspecError:
            return {}  # PROFILE says what is wrong with them
        return derive_values(self._open(traits), self._rules.matching)

    def _name_of(self, record: Mapping[str, str], message_id: str) -> str:
        """The identifier that stands for an event which names none."""
        matching = self._rules.matching
        assert matching is not None  # noqa: S101 - there is no record without
        return record_key(record, message_id, matching, bar(matching, LARGE))

    def _rewrite(self, value: bytes) -> bytes:
        """The event with its identifiers in normal form, and without those that identify nobody."""
        event = decode_event(value)
        normal = [(one, normalise(one.type, one.value, self._rules)) for one in event.ids]
        event.ids = [Identifier(one.type, form, one.sealed) for one, form in normal if form is not None]
        return encode(event)

    def _place(self, rows: list[Row], accepted: dict[int, _Accepted], known: dict[str, IdRecord]) -> dict[int, Placed]:
        """Whose each event is. What the graph knows already is one read for the batch; only what is new is linked."""
        placed: dict[int, Placed] = {}
        slow: list[int] = []
        changed: set[str] = set()  # identifiers that a slower event of this batch may move: keep the order of events
        for index, event in accepted.items():
            sighting = event.sighting
            found = self._find(sighting, known) if changed.isdisjoint(sighting.ids) else None
            if found is not None:
                placed[index] = found
            else:
                slow.append(index)
                changed.update(sighting.keys)
                changed.update(known[key].reported_by for key in sighting.ids if key in known)
        located = [Located(accepted[index].sighting, rows[index][1], rows[index][2]) for index in slow]
        places, evidence = self._graph.place(located, known, self._now())
        placed.update(zip(slow, places, strict=True))
        if len(self._evidence) > REMEMBERED:
            self._evidence.clear()  # cheaper than keeping an order
        self._evidence.update(evidence)
        return placed

    def _find(self, sighting: Sighting, known: Mapping[str, IdRecord]) -> Placed | None:
        """Whose an event is that tells the graph nothing new; None if it may tell something."""
        if sighting.unbinds or sighting.decisions or sighting.regroups or is_ahead(sighting):
            return None
        if not self._traits_known(sighting):
            return None
        if not all(key in known for key in sighting.ids):
            return None
        for key in sighting.ids[1:]:
            pair = sighting.source, sighting.ids[0], key
            if pair not in self._evidence or not says_nothing_new(self._evidence[pair], sighting):
                return None
        record = known.get(self._counted_under(sighting, known))
        if record is None or not (span := record.at(sighting.time)).part:
            return None
        return Placed(span.part, span.person)

    def _counted_under(self, sighting: Sighting, known: Mapping[str, IdRecord]) -> str:
        """The identifier, or combination, under which an event counts that tells nothing new."""
        if not sighting.combined:
            return sighting.ids[0]
        strongest, *others = sighting.combined
        if all(self._evidence[sighting.source, strongest, other] is None for other in others):  # too much hangs together
            return choose(sighting.combined, lambda key: known[key].at(sighting.time))
        return sighting.combination

    def _traits_known(self, sighting: Sighting) -> bool:
        """Whether the graph has an event's traits; they are taken for known from then on."""
        if not sighting.record:
            return True
        said = (sighting.ids[0], tuple(sighting.record.items()))
        if (since := self._said.get(said)) is not None and since <= sighting.time:
            return True
        if len(self._said) > REMEMBERED:
            self._said.clear()
        self._said[said] = sighting.time
        return False

    def _dead_letter(self, error: InvalidEvent, value: bytes, partition: int, offset: int) -> Output:
        letter = DeadLetter(
            stage="resolve", reason=error.reason, field=error.field, detail=mask_all(error.message[:500]), time=self._now(),
            payload=value.decode("utf-8", "replace"), message_id=message_id_in(value), p=partition, o=offset,
        )  # fmt: skip
        return records.output(records.DEAD_LETTERS, records.NO_KEY, letter)


def _commands(change: Move | Carve, now: int) -> list[Output]:
    """The new owner learns what to wait for before the old one learns where to send it; the facts need not wait for either."""
    if isinstance(change, Carve):
        commands = [*map(records.send, for_carve(change, now))]
    else:
        commands = [*map(records.send, for_move(change, now))]
    return [*commands, *records.merges(change, now)]


def _sighting(envelope: _Envelope, ids: tuple[str, ...], value: bytes, rules: IdentityRules) -> Sighting:
    told = Told(envelope.kind, envelope.event, bytes(decode_event(value).properties) if envelope.kind == "decision" else b"")
    return read_sighting(ids, told, envelope.time, envelope.received_at, rules, envelope.source.name, envelope.message_id)
