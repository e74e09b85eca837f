"""Count parts again from their facts, at ticks, as soon as the facts have arrived."""

from collections.abc import Iterable, Mapping

from cdp.events import Assignment, Outcome
from cdp.people import one_id
from cdp.profile import Profile
from streams import records
from streams.measure import Measure
from streams.parts import replace, state_of
from streams.rebuild import Rebuilt, Repeated, rebuild
from streams.records import Output
from streams.refetch import Fact, Refetch, Wanted
from streams.store import Due, Entry

ASSIGNED_TOGETHER = 2_000  # facts that are assigned by one record


class Recount:
    """Reads the facts of all parts of a batch in one go, and counts them at the batch's ticks.

    A batch may change what it reads facts for: then they are read for the next tick.
    """

    def __init__(self, facts: Refetch, measure: Measure) -> None:
        self._facts = facts
        self._measure = measure
        self._wanted: dict[int, Wanted] = {}
        self._found: dict[int, list[Fact]] = {}

    def fetch(self, ticks: Iterable[Due], woken: Mapping[tuple[int, int], list[int]], entries: Mapping[int, Entry]) -> None:
        """Read what the people whom ticks wake need."""
        self._wanted, self._found = {}, {}
        for tick in ticks:
            for person in woken[tick.partition, tick.offset]:
                self._wanted |= _wanted(entries[person].profile)
        if self._wanted:
            self._found = self._facts(self._wanted)

    def count(self, entry: Entry, time: int, today: int) -> list[Output]:
        """Count the parts of a person whose facts were read. Returns what changes for the facts.

        Args:
            time: the tick's.
            today: as for `Measure.apply`.
        """
        outputs: list[Output] = []
        profile = entry.profile
        for number, wanted in _wanted(profile).items():
            facts = self._found.get(number)
            if facts is None or self._wanted[number] != wanted:
                continue
            del self._found[number]
            recent = profile.rebuild.pop(number).recent
            rebuilt = rebuild(number, profile.ranges.get(number, []), facts, recent, self._measure, today)
            _put(entry, number, rebuilt.state)
            outputs += _assignments(profile, number, rebuilt, time)
            outputs += [_retraction(profile, repeated) for repeated in rebuilt.repeated]
        return outputs


def _wanted(profile: Profile) -> dict[int, Wanted]:
    """What is needed to count the parts of a person again; a part that is on its way has to come first."""
    return {
        number: Wanted(frozenset({number, *profile.family.get(number, ())}), frozenset(rebuild.needs))
        for number, rebuild in profile.rebuild.items()
        if number not in profile.awaiting
    }


def _put(entry: Entry, number: int, state: Profile) -> None:
    """Let a part be what its facts say, with what does not follow from them."""
    before = state_of(entry, number)
    if before is not None:
        state.occasions = dict(before.occasions)
        state.fact_at = dict(before.fact_at)
    sealed = entry.profile.sealed
    state.sealed = {key: sealed[key] for key in state.identifiers if key in sealed}
    state.as_of = entry.profile.as_of
    replace(entry, number, state)


def _assignments(profile: Profile, number: int, rebuilt: Rebuilt, time: int) -> list[Output]:
    key = one_id(profile.person)
    assignments = [
        Assignment(one_id=key, person=profile.person, part=number, facts=some, version=version, time=time)
        for version, positions in sorted(rebuilt.assigned.items())
        for some in (positions[first : first + ASSIGNED_TOGETHER] for first in range(0, len(positions), ASSIGNED_TOGETHER))
    ]
    return [records.output(records.MERGES, key, assignment) for assignment in assignments]


def _retraction(profile: Profile, repeated: Repeated) -> Output:
    record, (partition, offset) = repeated.record, repeated.position
    outcome = Outcome(
        outcome="duplicate", message_id=record.message_id, one_id=one_id(profile.person), person=profile.person, time=record.time,
        origin=record.origin, p=partition, o=offset, conflict=repeated.conflict, replay_of=record.source.replay_of, retracts=True,
    )  # fmt: skip
    return records.output(records.FACTS, outcome.one_id, outcome)
