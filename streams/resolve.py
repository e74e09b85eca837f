"""RESOLVE: each event gets its person. Known identifiers are one read for the whole batch; only new links take the slow way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from cdp.errors import InvalidEvent
from cdp.events import DeadLetter, Identifier, decode_event, encode
from cdp.mask import mask_all
from rules.identity import normalise
from streams import records
from streams.graph import IdentityGraph, Linked, LinkRequest, Merged
from streams.records import Output

Row = tuple[bytes, int, int]

WEAKEST = 99

_MINIMUM_TIME = 0
_MAXIMUM_TIME = 4_102_444_800_000_000  # the year 2100


class _Envelope(msgspec.Struct):
    """The part of an event that RESOLVE looks at; the rest is passed on unread."""

    message_id: str
    kind: str
    time: int
    received_at: int
    ids: list[Identifier] = []


_read = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A valid event: its bytes, and its identifiers, strongest first."""

    value: bytes
    ids: tuple[str, ...]


class ResolveStep:
    """Processes batches of `events`.

    Args:
        priorities: identifier type to its priority, 1 the strongest.
        committed: partition to committed offset of this job.
        partitions: how many partitions `events` has.
        now: the wall clock, for dead letters only.
    """

    def __init__(
        self,
        graph: IdentityGraph,
        priorities: Mapping[str, int],
        committed: Mapping[int, int],
        partitions: int,
        now: Callable[[], int],
    ) -> None:
        self._graph = graph
        self._priorities = priorities
        self._committed = committed
        self._partitions = partitions
        self._now = now
        self._recovered = False
        self._normal = lru_cache(maxsize=200_000)(self._normal_form)

    def process(self, rows: list[Row]) -> list[list[Output]]:
        """The outputs of each row: its resolved event, commands of merges, or a dead letter. Raises only when Redis fails."""
        outputs: list[list[Output]] = [[] for _ in rows]
        accepted: dict[int, _Accepted] = {}
        if rows and not self._recovered:
            outputs[0] += self._recover()
        for index, (value, partition, offset) in enumerate(rows):
            try:
                accepted[index] = self._accept(value)
            except InvalidEvent as error:
                outputs[index].append(self._dead_letter(error, value, partition, offset))
        linked = self._link(rows, accepted)
        for index, event in accepted.items():
            _, partition, offset = rows[index]
            for merged in linked[index].merges:
                outputs[index] += _merge_commands(merged, self._now())
            outputs[index].append(records.resolved(event.value, linked[index].person, partition, offset))
        return outputs

    def _recover(self) -> list[Output]:
        """The merges that may have been made, but not said, before the start: say them again, before anything else.

        Those of every partition, whoever reads it: an event that is resolved anew goes to the survivor now, and the survivor
        must know first whose state is on its way, or it would apply what the loser has applied already.
        """
        self._recovered = True
        said: list[Output] = []
        for partition in range(self._partitions):
            offset = self._committed.get(partition, 0)
            self._graph.forget_merges(partition, offset)
            for merged in self._graph.merges_since(partition, offset):
                said += _merge_commands(merged, self._now())
        return said

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
        usable = sorted({form for form in forms if form is not None})
        if not usable:
            raise InvalidEvent("missing_identifier", "ids", "no identifier that identifies anybody.")
        if any(form is None or not form[2] for form in forms):
            value = self._rewrite(value)
        # To say that two identifiers part is not to say that they belong together: nothing is linked.
        linkable = usable[:1] if envelope.kind == "unbind" else usable
        return _Accepted(value, tuple(form[1] for form in linkable))

    def _normal_form(self, type_: str, value: str) -> tuple[int, str, bool] | None:
        """(priority, "type:value", unchanged); None if the identifier identifies nobody."""
        normal = normalise(type_, value)
        if normal is None or ":" in type_ or not type_:
            return None
        return self._priorities.get(type_, WEAKEST), f"{type_}:{normal}", normal == value

    def _rewrite(self, value: bytes) -> bytes:
        """The event with its identifiers in normal form, and without those that identify nobody."""
        event = decode_event(value)
        normal = [(one, normalise(one.type, one.value)) for one in event.ids]
        event.ids = [Identifier(one.type, form, one.sealed) for one, form in normal if form is not None]
        return encode(event)

    def _link(self, rows: list[Row], accepted: dict[int, _Accepted]) -> dict[int, Linked]:
        known = self._graph.look_up(list({key for event in accepted.values() for key in event.ids}))
        linked: dict[int, Linked] = {}
        slow: list[int] = []
        changed: set[str] = set()  # identifiers that a slower event of this batch may move: keep the order of events
        for index, event in accepted.items():
            people = {known.get(key) for key in event.ids}
            if len(people) == 1 and None not in people and changed.isdisjoint(event.ids):
                linked[index] = Linked(next(person for person in people if person is not None))
            else:
                slow.append(index)
                changed.update(event.ids)
        requests = [LinkRequest(accepted[index].ids, rows[index][1], rows[index][2]) for index in slow]
        linked.update(zip(slow, self._graph.link(requests), strict=True))
        return linked

    def _dead_letter(self, error: InvalidEvent, value: bytes, partition: int, offset: int) -> Output:
        letter = DeadLetter(
            stage="resolve", reason=error.reason, field=error.field, detail=mask_all(error.message[:500]), time=self._now(),
            payload=value.decode("utf-8", "replace"), p=partition, o=offset,
        )  # fmt: skip
        return records.output(records.DEAD_LETTERS, records.NO_KEY, letter)


def _merge_commands(merged: Merged, now: int) -> list[Output]:
    """The survivor learns whom to wait for before the loser learns where to go."""
    return [
        records.command("await", merged.survivor, merged.loser, now),
        records.command("merge", merged.loser, merged.survivor, now),
    ]
