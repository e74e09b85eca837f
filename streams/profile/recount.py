"""Count fragments again from their facts, at ticks, as soon as the facts have arrived."""

from collections.abc import Mapping

from cdp.events import Assignment, Outcome
from cdp.people import one_id
from profiles.kernel import Kernel
from profiles.state import Person
from streams import records
from streams.profile.rebuild import Rebuilt, Repeated, rebuild_fragment
from streams.profile.refetch import Fact, Refetch, Wanted
from streams.profile.store import Entry
from streams.records import Output

ASSIGNED_TOGETHER = 2_000  # facts that are assigned by one record


class Recount:
    """Reads the facts of all fragments of a batch in one go, and counts them at the batch's ticks.

    A batch may change what it reads facts for: then they are read for the next tick.
    """

    def __init__(self, facts: Refetch) -> None:
        self._facts = facts
        self._wanted: dict[int, Wanted] = {}
        self._found: dict[int, list[Fact]] = {}

    def fetch(self, woken: Mapping[tuple[int, int], list[int]], entries: Mapping[int, Entry]) -> None:
        """Read what the people whom ticks wake need."""
        self._wanted, self._found = {}, {}
        for people in woken.values():
            for number in people:
                self._wanted |= _wanted(entries[number].person)
        if self._wanted:
            self._found = self._facts(self._wanted)

    def count(self, kernel: Kernel, person: Person, time: int) -> list[Output]:
        """Count the fragments of a person whose facts were read, at a tick's time. Returns what changes for the facts."""
        outputs: list[Output] = []
        today = kernel.calendar.day(person.as_of)
        for number, wanted in _wanted(person).items():
            facts = self._found.get(number)
            if facts is None or self._wanted[number] != wanted:
                continue
            del self._found[number]
            log = person.open_log
            recent = log.rebuild.pop(number).recent
            rebuilt = rebuild_fragment(number, log.ranges.get(number, []), facts, recent, kernel, today)
            kernel.replace(person, number, rebuilt.slices)
            outputs += _assignments(person, number, rebuilt, time)
            outputs += [_retraction(person, repeated) for repeated in rebuilt.repeated]
        return outputs


def _wanted(person: Person) -> dict[int, Wanted]:
    """What is needed to count the fragments of a person again; one that is on its way has to come first."""
    log = person.log
    return {
        number: Wanted(frozenset({number, *log.family.get(number, ())}), frozenset(rebuild.needs))
        for number, rebuild in log.rebuild.items()
        if number not in log.awaiting
    }


def _assignments(person: Person, number: int, rebuilt: Rebuilt, time: int) -> list[Output]:
    key = one_id(person.number)
    assignments = [
        Assignment(one_id=key, person=person.number, part=number, facts=some, version=version, time=time)
        for version, positions in sorted(rebuilt.assigned.items())
        for some in (positions[first : first + ASSIGNED_TOGETHER] for first in range(0, len(positions), ASSIGNED_TOGETHER))
    ]
    return [records.output(records.MERGES, key, assignment) for assignment in assignments]


def _retraction(person: Person, repeated: Repeated) -> Output:
    record, (partition, offset) = repeated.record, repeated.position
    outcome = Outcome(
        outcome="duplicate", message_id=record.message_id, one_id=one_id(person.number), person=person.number, time=record.time,
        origin=record.origin, p=partition, o=offset, conflict=repeated.conflict, replay_of=record.source.replay_of, retracts=True,
    )  # fmt: skip
    return records.output(records.FACTS, outcome.one_id, outcome)
