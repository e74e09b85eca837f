"""A record that is taken out of the middle of `resolved`: whoever waits for it is listed, helped after a minute, and exact."""

import msgspec
import pytest

from cdp.clock import DAY, MINUTE
from loadtest.job_log import RESOLVED, JobLog, Misfortune
from profiles.canonical import fingerprints
from streams import records
from streams.commands import RebuildPerson
from streams.profile.outbox import Emitted
from streams.profile.store import ProfileStore
from tests import shop
from tests.shop import NOW, make_event, order

SECOND = 1_000_000
PHONE = "phone:+8613900000001"


def login() -> list:
    """A device looks around; somebody buys, and logs in with it."""
    return [
        make_event("m1", "Product Viewed", ids="anonymous_id:a", time=NOW),
        make_event("m2", "Product Added", ids="anonymous_id:a", time=NOW + 1),
        order("m3", "o1", 99.5, ids="user_id:u", time=NOW + 2),
        make_event("m4", "", kind="identify", ids="user_id:u anonymous_id:a", time=NOW + 3, traits={"name": "Li Na"}),
        order("m5", "o2", 10, ids="user_id:u", time=NOW + 4),
        make_event("m6", "Product Viewed", ids="anonymous_id:a", time=NOW + 5),
    ]


def late_knowledge() -> list:
    """A telephone looks around and buys; it is heard late that it had been given up before."""
    return [
        order("m1", "o1", 99.5, ids=PHONE, time=NOW - 9 * DAY),
        order("m2", "o2", 10, ids=PHONE, time=NOW - 3 * DAY),
        make_event("m3", "Product Viewed", ids=PHONE, time=NOW - 2 * DAY),
        make_event("m4", "", kind="unbind", ids=PHONE, time=NOW - 4 * DAY),
        order("m5", "o3", 5, ids=PHONE, time=NOW - DAY),
    ]


class Lossy(JobLog):
    """A log that loses the first command of a kind."""

    def __init__(self, redis_url: str, kind: str) -> None:
        super().__init__(redis_url, 1, Misfortune())
        self.kind = kind

    def _is_lost(self, value: bytes) -> bool:
        if self.lost or msgspec.json.decode(value).get("command") != self.kind:
            return False
        self.lost.append(value)
        return True

    def listed(self) -> dict[int, int]:
        """Who waits, and since when."""
        return {
            int(person): int(since)
            for partition in range(3)
            for person, since in self.redis.zrange(self.names.waiting_key(partition), 0, -1, withscores=True)
        }

    def healed(self) -> int:
        return int(self.redis.get(self.names.healed_key) or 0)


def play(platform: JobLog, events: list, ticks: int = 3) -> None:
    for event in events:
        platform.send(event)
        platform.drain()
    for _ in range(ticks):
        platform.now += SECOND
        platform.tick(platform.now)
        platform.drain()


def figures(platform: JobLog) -> list[str]:
    found = [person for person in platform.every_profile().values() if fingerprints(person)]
    assert not [person.number for person in found if person.log.is_waiting or person.log.pending]
    return sorted(repr(shop.figures(person)) for person in found)


def actions(platform: JobLog) -> set[tuple[str, str]]:
    """Which rules fired, and for which messages."""
    fired = map(msgspec.json.decode, platform.out[records.ACTIONS])
    return {(action["rule"], action["message_id"]) for action in fired}


def applied(platform: JobLog) -> list[tuple[str, int]]:
    return sorted((msgspec.json.decode(value)["message_id"], part) for part, value in platform.counted())


@pytest.mark.parametrize(
    ("story", "kind", "is_seen"),
    [
        (login, "expect_fragments", False),  # the fragment comes all the same; but events of its person had not waited for it
        (login, "transfer_fragments", True), (login, "fragment_state", True),
        (late_knowledge, "expect_range", False),  # the answer tells
        (late_knowledge, "reassign_range", True), (late_knowledge, "range_state", True),
    ],
)  # fmt: skip
def test_a_lost_command_is_seen_and_made_good(redis_url: str, story: object, kind: str, is_seen: bool) -> None:
    calm, lossy = JobLog(redis_url, 1, Misfortune()), Lossy(redis_url, kind)
    play(calm, story())
    play(lossy, story())
    assert len(lossy.lost) == 1
    assert bool(lossy.listed()) is is_seen
    assert lossy.healed() == 0  # not yet: it may still come
    lossy.now += MINUTE
    for _ in range(10):
        lossy.now += SECOND
        lossy.tick(lossy.now)
        lossy.drain()
    assert lossy.listed() == {}
    assert lossy.healed() == is_seen
    assert figures(lossy) == figures(calm)
    assert applied(lossy) == applied(calm)
    if kind != "expect_fragments":  # nobody knew that there was anything to wait for
        assert actions(lossy) == actions(calm)


def test_what_is_asked_for_though_it_is_on_its_way_does_no_harm(redis_url: str) -> None:
    """The old owner's partition is read late: its fragment is asked for again, and again, before it sends it."""
    calm, slow = JobLog(redis_url, 1, Misfortune()), JobLog(redis_url, 1, Misfortune())
    play(calm, login())
    first, last = login()[:3], login()[3:]
    play(slow, first)
    for event in last:
        slow.send(event)
    while slow.step("events"):
        pass
    expects = b'{"command":"expect_fragments"'
    waiting = [p for p, entries in enumerate(slow.log[RESOLVED]) if any(value.startswith(expects) for value in entries)]
    behind = {p: slow.log[RESOLVED][p][slow.read[RESOLVED][p] :] for p in range(3) if p not in waiting}
    for partition, entries in behind.items():
        del slow.log[RESOLVED][partition][slow.read[RESOLVED][partition] :]
        assert entries is not None
    for _ in range(10):
        slow.now += 2 * MINUTE
        slow.tick(slow.now)
        slow.drain()
    for partition, entries in behind.items():
        slow.log[RESOLVED][partition] += entries
    play(slow, [], ticks=5)
    assert figures(slow) == figures(calm)
    assert applied(slow) == applied(calm)


def test_a_tick_that_is_handled_three_times_puts_out_all_it_ever_did(redis_url: str) -> None:
    platform = JobLog(redis_url, 1, Misfortune())
    store = ProfileStore(platform.redis, platform.names)
    first, second = (records.MERGES, "k", b"1"), (records.MERGES, "k", b"2")
    for outputs, newest in (([first], 90), ([first, second], 80)):
        store.save({}, {1: {newest: Emitted([]), 75: Emitted(outputs)}}, {})
    assert store.emitted_since(1, 70)[75].outputs == [first, second]


def test_rebuilding_a_person_by_hand_changes_nothing(redis_url: str) -> None:
    platform = JobLog(redis_url, 1, Misfortune())
    play(platform, [*login(), *late_knowledge()])
    before, facts = figures(platform), applied(platform)
    for person in platform.every_profile():
        platform.emit([records.send(RebuildPerson(person=person, one_id=f"P{person:010d}", time=platform.now))])
    play(platform, [])
    assert figures(platform) == before
    assert applied(platform) == facts


def test_of_facts_that_waited_together_the_last_one_says_that_all_are_there(redis_url: str) -> None:
    """Until then a fragment that is counted again would lack the others."""
    platform = Lossy(redis_url, "fragment_state")
    play(platform, login(), ticks=0)
    platform.now += 2 * MINUTE
    for _ in range(2):
        platform.tick(platform.now)
        platform.drain()
    facts = [msgspec.json.decode(value) for value in platform.out[records.FACTS]]
    late = [(fact["o"], fact["e"]) for fact in facts if "e" in fact]
    assert len(late) == 3
    *others, (_, last) = late
    assert [emitted for _, emitted in others] == [last - 1, last - 1]
    platform.start(RESOLVED)  # it is put out again as it was
    platform.drain()
    again = [msgspec.json.decode(value) for value in platform.out[records.FACTS]][len(facts) :]
    assert {(fact["o"], fact["e"]) for fact in again if "e" in fact} <= {*late}
