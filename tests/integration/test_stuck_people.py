"""Ten people whose identity rules changed to and fro nine times in twenty seconds, and who once waited for each other for ever.

The records are what a run of the platform put onto `resolved` for them; see the README beside them. What RESOLVE had written is
played again: events, and what they changed about who is who. PROFILE's own answers are those of today.
"""

import gzip
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from cdp.people import one_id
from cdp.ranges import Range, find, note
from profiles.canonical import fingerprints
from streams import records
from tests.conftest import REPO
from tests.integration.test_exactly_once_steps import Platform
from tests.shop import folds

CASE = REPO.parent / "shared" / "cases" / "stuck-people.jsonl.gz"
BY_RESOLVE = {"await", "move", "expect", "carve"}
TICKS = 30

pytestmark = pytest.mark.skipif(not CASE.exists(), reason="the records are not here")


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """What RESOLVE wrote, in its order: an event of one origin that comes again was sent on by PROFILE."""
    with gzip.open(CASE) as lines:
        every = [msgspec.json.decode(line)["record"] for line in lines]
    found, origins = [], set()
    for record in every:
        if record["kind"] == "command":
            found += [record] if record["event"] in BY_RESOLVE else []
        elif (origin := tuple(record["origin"])) not in origins:
            origins.add(origin)
            found.append(record)
    return found


@dataclass
class Truth:
    """Who is who after all of it: the highest version stands."""

    owners: dict[int, tuple[int, int]] = field(default_factory=dict)
    ranges: dict[int, list[Range]] = field(default_factory=lambda: defaultdict(list))

    def take(self, record: dict[str, Any]) -> None:
        """A command to an old holder."""
        if record["event"] == "move":
            for part in record["parts"]:
                self.owners[part] = max(self.owners.get(part, (-1, part)), (record["version"], record["other"]))
        elif record["event"] == "carve":
            ((version, start, end, part, person),) = record["carved"]
            self.owners[part] = max(self.owners.get(part, (-1, part)), (version, person))
            for known in (record["parts"][0], part):
                self.ranges[known] = note(self.ranges[known], (start, end, version, part, person))

    def place(self, record: dict[str, Any]) -> tuple[int, int]:
        """In which fragment of whom an event counts."""
        part = record["part"]
        while (known := find(self.ranges[part], record["time"])) is not None and known[3] != part:
            part = known[3]
        return part, self.owners.get(part, (-1, record["person"]))[1]


def play(redis_url: str, told: list[dict[str, Any]], seed: int, crashes: float = 0.0) -> Platform:
    """PROFILE over the records; at once or little by little, ticks in between."""
    platform = Platform(redis_url, seed, crashes)
    time = max(record["time"] for record in told if record["kind"] != "command")
    for number, record in enumerate(told):
        platform.emit([(records.RESOLVED, record["one_id"], msgspec.json.encode(record))])
        if platform.random.random() < 0.4:
            platform.step("resolved")
        if platform.random.random() < 0.03:
            platform.tick(time + number)
    for number in range(TICKS):
        platform.drain()
        platform.tick(time + len(told) + number)
    platform.drain()
    return platform


def placed(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events alone, as if it had been known from the beginning who is who."""
    truth = Truth()
    for record in told:
        if record["kind"] == "command":
            truth.take(record)
    events = [record for record in told if record["kind"] != "command"]
    found = [record | dict(zip(("part", "person"), truth.place(record), strict=True)) for record in events]
    return [record | {"one_id": one_id(record["person"])} for record in found]


def counted(platform: Platform) -> dict[tuple[int, int], tuple[str, int]]:
    """What became of each event, by its origin: applied, in which fragment, or a duplicate."""
    found = {}
    for part, value in platform.counted():
        fact = msgspec.json.decode(value)
        assert tuple(fact["origin"]) not in found
        found[tuple(fact["origin"])] = ("applied", part)
    for value in platform.out[records.FACTS]:
        fact = msgspec.json.decode(value)
        if "outcome" in fact:
            found.setdefault(tuple(fact["origin"]), ("duplicate", 0))
    return found


def profiles(platform: Platform) -> dict[int, dict[str, object]]:
    """What the profiles say of those who have any event."""
    every = platform.every_profile()
    assert not [number for number, person in every.items() if person.log.is_waiting or person.log.pending]
    return {number: folds(person) for number, person in every.items() if fingerprints(person)}


@pytest.mark.parametrize("crashes", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_nobody_waits_and_every_event_counts(redis_url: str, told: list[dict[str, Any]], seed: int, crashes: float) -> None:
    platform = play(redis_url, told, seed, crashes)
    profiles(platform)
    origins = {tuple(record["origin"]) for record in told if record["kind"] != "command"}
    assert len(origins) == 390
    assert counted(platform).keys() == origins


@pytest.mark.parametrize("crashes", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_profiles_are_those_of_a_calm_run(redis_url: str, told: list[dict[str, Any]], seed: int, crashes: float) -> None:
    """Of messages with one id the first counts, and which that is depends on the order. Here each has an id of its own."""
    own = [record | ({"message_id": repr(record["origin"])} if record["kind"] != "command" else {}) for record in told]
    calm, stormy = play(redis_url, placed(own), 0), play(redis_url, own, seed, crashes)
    assert counted(stormy) == counted(calm)
    assert {what for what, _ in counted(calm).values()} == {"applied"}
    assert profiles(stormy) == profiles(calm)
