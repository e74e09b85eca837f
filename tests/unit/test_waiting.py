"""What a person waits for, in figures and in words; what status, ledger and command line make of it."""

import json
from dataclasses import replace

import pytest
import typer
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from cdp.clock import DAY, HOUR, MINUTE, SECOND
from cdp.topics import Names
from infra.show import waiting_lines as status_lines
from infra.status import READY, JobStatus, PartStatus, Status
from profiles.components.activity.state import ACTIVITY, Activity
from profiles.state import Person, pack
from profiles.transfer_log import TRANSFER, Awaited, Rebuild, TransferLog
from serving import metrics
from serving.commands import register
from serving.operations import ledger as ledger_module
from serving.operations.ledger import Ledger, waiting_lines
from serving.waiters import GONE, NOBODY, Wait, Waiter, Waiters, as_json, read_waiters, say, seconds_until, waiter, waits_of
from tests.shop import make_person

NAMES = Names("cdp")
NOW = 1_795_380_000_000_000
LOG = TransferLog(
    awaiting={9994: {17: Awaited(9994, NOW - 12 * SECOND)}},
    expected={3: {8: Awaited(0, NOW - 20 * SECOND), 7: Awaited(4, NOW - 20 * SECOND)}},
    rebuild={2: Rebuild(NOW - 40 * SECOND, needs=[(0, 5), (1, 9)])},
    pending=[(n, b"") for n in range(14)],
)
PROFILE = make_person(9986, {TRANSFER: LOG})
PERSON = Waiter("P0000009986", NOW - 12 * SECOND, 14, (Wait("part", 9994, 17, "P0000009994", NOW - 12 * SECOND),))
WORDS = "P0000009986 waits 12 s for part 9994 of P0000009994, 14 events held back"


def test_who_waits_for_nothing_is_no_waiter() -> None:
    assert waits_of(make_person(1, {ACTIVITY: Activity(events=5)})) == ()


def test_everything_that_is_waited_for_is_named_the_worst_first() -> None:
    found = waiter(PROFILE)
    assert found.waits == (
        Wait("part", 9994, 17, "P0000009994", NOW - 12 * SECOND),
        Wait("range", 3, 7, "P0000000004", NOW - 20 * SECOND),
        Wait("range", 3, 8, None, NOW - 20 * SECOND),
        Wait("facts", 2, 0, None, NOW - 40 * SECOND, needs=2),
    )
    assert (found.one_id, found.since, found.held_back, found.kind) == ("P0000009986", NOW - 40 * SECOND, 14, "part")


def test_people_are_counted_by_the_worst_of_what_they_wait_for() -> None:
    facts = Waiter("P0000000001", NOW, 0, (Wait("facts", 1, 0, None, NOW),))
    lost = Waiter("P0000000002", NOW, amiss=GONE)
    found = Waiters(count=10, since=NOW, first=(waiter(PROFILE), PERSON, facts, lost)).by_kind()
    assert found == {"part": 2, "facts": 1, "unknown": 7}
    assert NOBODY.by_kind().total() == 0


@pytest.mark.parametrize(
    ("wait", "held_back", "words"),
    [
        (Wait("part", 9994, 17, "P0000009994", 0), 14, "waits 12 s for part 9994 of P0000009994, 14 events held back"),
        (Wait("part", 5, 17, None, 0), 1, "waits 12 s for part 5 of somebody unknown, 1 event held back"),
        (Wait("range", 5, 17, "P0000000004", 0), 0, "waits 12 s for a range of time for part 5 from P0000000004"),
        (Wait("facts", 5, 0, None, 0, needs=2), 0, "waits 12 s for the facts of part 5, 2 positions of them"),
        (Wait("facts", 5, 0, None, 0), 0, "waits 12 s for the facts of part 5"),
    ],
)
def test_a_wait_in_words(wait: Wait, held_back: int, words: str) -> None:
    assert say(Waiter("P0000000001", NOW - 12 * SECOND, held_back, (wait,)), NOW) == f"P0000000001 {words}"


def test_further_waits_and_profiles_that_cannot_be_read_in_words() -> None:
    assert say(waiter(PROFILE), NOW).startswith("P0000009986 waits 40 s for part 9994 of P0000009994 and 3 more, 14 events")
    assert say(Waiter("P0000000001", NOW - SECOND, amiss=GONE), NOW) == "P0000000001 waits 1 s but its profile is not there"


@pytest.mark.parametrize(
    ("micros", "words"), [(119 * SECOND, "119 s"), (2 * MINUTE, "2 min"), (30 * HOUR, "30 h"), (3 * DAY, "3 d"), (-SECOND, "0 s")]
)
def test_lengths_in_words(micros: int, words: str) -> None:
    assert f"waits {words} for" in say(replace(PERSON, since=NOW - micros), NOW)


class FakeRedis:
    """What is read of people who wait: one partition of them, their profiles, and what lies beside these."""

    def __init__(self, *people: Person) -> None:
        stored = {person.number: pack(person) for person in people}
        self.heads = {NAMES.profile_key(number): one.head for number, one in stored.items()}
        self.beside = {NAMES.slices_key(number): one.fields for number, one in stored.items()}
        self.listed = [(str(person.number).encode(), float(person.log.waits_since)) for person in people]

    def pipeline(self, *, transaction: bool) -> "FakeRedis":
        assert not transaction
        return self

    def zcount(self, *_: object) -> None:
        """See `execute`."""

    def zrangebyscore(self, *_: object, **__: object) -> None:
        """See `execute`."""

    def execute(self) -> list[object]:
        return [len(self.listed), self.listed]

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.heads.get(key) for key in keys]

    def hget(self, key: str, name: str) -> bytes | None:
        return self.beside[key].get(name)


def test_however_many_events_are_held_back_they_are_seen() -> None:
    held_back = [(n, b'{"kind":"track"}' * 20) for n in range(100)]
    person = make_person(7, {TRANSFER: TransferLog(awaiting=LOG.awaiting, pending=held_back)})
    redis = FakeRedis(person, PROFILE)
    assert list(redis.beside[NAMES.slices_key(7)]) == ["transfer"]
    found = read_waiters(redis, NAMES, 1, NOW)  # type: ignore[arg-type]
    assert [(one.one_id, one.held_back, one.kind) for one in found.first] == [
        ("P0000009986", 14, "part"), ("P0000000007", 100, "part"),
    ]  # fmt: skip


def test_for_machines() -> None:
    found, since = as_json(PERSON, NOW + 140_000), "2026-11-22T20:39:48.000000Z"
    assert found == {
        "one_id": "P0000009986", "since": since, "seconds": 12.1, "held_back": 14, "says": WORDS,
        "waits": [{"kind": "part", "part": 9994, "version": 17, "giver": "P0000009994", "since": since, "needs": 0}],
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == found
    assert seconds_until(NOW, NOW + SECOND) == 0.0


# -- status --------------------------------------------------------------------------------------------------------------

PART = PartStatus("redis", READY, "", "embedded", 1, 1, "7", "")
JOB = JobStatus("profile", "RUNNING", 0, 1, 0)


def test_status_is_well_only_while_nobody_waits() -> None:
    status = Status("d", [PART], [JOB], at=NOW)
    assert (status.ok, status.as_json()["waiting"], status_lines(status)) == (True, [], [])
    waited = replace(status, waiters=Waiters(3, PERSON.since, (PERSON,)))
    assert not waited.ok
    assert status_lines(waited) == [WORDS, "2 more people wait"]
    found = waited.as_json()
    assert (found["ok"], found["people_waiting"], found["waiting"]) == (False, 3, [as_json(PERSON, NOW)])


# -- the ledger ----------------------------------------------------------------------------------------------------------

LATE = Ledger(105, 80, 6, 7, 2, 10, 0, False, waiting=1, waiting_for=(PERSON,), counted_at=NOW)


def test_people_who_wait_change_no_entry_of_the_ledger() -> None:
    alone = replace(LATE, waiting=0, waiting_for=())
    assert LATE.entries == alone.entries
    assert LATE.entries["difference"] == 10
    found = LATE.as_json()
    assert (found["balanced"], found["waiting"], found["waiting_for"]) == (False, 1, [as_json(PERSON, NOW)])


def test_the_remedy_is_named_when_the_ledger_does_not_balance() -> None:
    lines = waiting_lines(LATE)
    assert lines[:2] == ["1 person waits for more than 5 s:", f"  {WORDS}"]
    assert "`cdp rebuild P0000009986`" in lines[2]
    assert waiting_lines(replace(LATE, balanced=True)) == lines[:2]
    assert waiting_lines(replace(LATE, waiting=0, waiting_for=())) == []


@pytest.mark.parametrize("option", ["", "--json"])
def test_the_command_shows_who_waits(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdp.clickhouse.connect", lambda _: None)
    monkeypatch.setattr(ledger_module, "gather", lambda *_: LATE)
    done = CliRunner().invoke(app(), ["ledger", *option.split()])
    assert done.exit_code == 1
    if option:
        assert json.loads(done.output) == LATE.as_json()
    else:
        assert f"  {WORDS}\n" in done.output
        assert "cdp rebuild" in done.output


# -- metrics -------------------------------------------------------------------------------------------------------------


def test_metrics_are_missing_while_redis_is_away() -> None:
    registry, waiting = CollectorRegistry(), metrics.Waiting()
    registry.register(waiting)
    assert b"cdp_people" not in generate_latest(registry)
    waiting.now = metrics.WaitingNow({"part": 2, "unknown": 0}, 12.5, 3)
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if line.startswith("cdp_")] == [
        'cdp_people_waiting{for="part"} 2.0', 'cdp_people_waiting{for="range"} 0.0', 'cdp_people_waiting{for="facts"} 0.0',
        'cdp_people_waiting{for="unknown"} 0.0', "cdp_people_waiting_seconds 12.5", "cdp_people_healed_total 3.0",
    ]  # fmt: skip


def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    return made
