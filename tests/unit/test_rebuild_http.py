"""Counting a person again over HTTP: a fake Redis, and a PROFILE that answers at once, later or never."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp.clock import SECOND
from cdp.errors import Unavailable
from cdp.settings import Settings
from profiles.components.activity.state import ACTIVITY, Activity
from profiles.state import Person, pack
from profiles.transfer_log import TRANSFER, Awaited, Gone, Rebuild, TransferLog
from serving.definitions import mint_token
from serving.profiles import rebuild
from tests.shop import make_person
from tests.unit.test_serving_http import NAMES, NOW, Api

OFFSET = 40


class Desk(Api):
    """The API, and what a command does to Redis."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.app.state.parts.check = asyncio.to_thread
        self.sent: list[int] = []
        self.handle: Callable[[], None] = lambda: None
        self.reads = 0
        self.later: tuple[int, Person] | None = None

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        """Also counts, so that something can happen in between."""
        self.reads += 1
        if self.later is not None and self.reads >= self.later[0]:
            self.put(self.later[1])
        return await super().mget(keys)

    def send(self, _: Settings, person: int, now: int) -> int:
        assert now == NOW
        self.sent.append(person)
        self.handle()
        return OFFSET

    def put(self, *profiles: Person) -> None:
        self.store |= {NAMES.profile_key(profile.number): pack(profile).head for profile in profiles}

    def ask(self, method: str, path: str, role: str = "ops") -> httpx.Response:
        token = mint_token(self.settings, role, role)
        return self.call(method, f"/v1/profiles/{path}", headers={"Authorization": f"Bearer {token}"})

    def ok(self, method: str, path: str) -> dict[str, Any]:
        answer = self.ask(method, path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path / "data")
    monkeypatch.setattr(rebuild, "send", made.send)
    monkeypatch.setattr(rebuild, "POLL_SECONDS", 0.01)
    return made


def person(number: int, *, events: int = 0, log: TransferLog | None = None, fragment: int = 0, offset: int = -1) -> Person:
    states = {ACTIVITY: Activity(events), TRANSFER: log or TransferLog()}
    return make_person(number, states, fragment=fragment, offset=offset)


AWAITS = TransferLog(awaiting={9: {5: Awaited(9, NOW - 12 * SECOND)}}, pending=[(1, b""), (2, b"")])
STUCK = person(1, fragment=1, events=3, offset=OFFSET - 1, log=AWAITS)


def test_it_is_done_when_the_command_was_handled_and_nothing_is_waited_for(desk: Desk) -> None:
    desk.put(STUCK)
    desk.handle = lambda: desk.put(person(1, fragment=1, offset=OFFSET, events=3, log=TransferLog(rebuild={1: Rebuild(NOW)})))
    desk.later = (5, person(1, fragment=1, offset=OFFSET, events=17))
    assert desk.ok("POST", "P0000000001/rebuild") == {
        "one_id": "P0000000001", "asked": None, "status": "done", "offset": OFFSET, "events_before": 3, "events": 17,
        "waits_for": None,
    }  # fmt: skip
    assert desk.sent == [1]
    assert desk.reads >= 5


def test_an_event_that_comes_before_the_command_does_not_count_as_done(desk: Desk) -> None:
    desk.put(person(1, fragment=1, events=3, offset=7))
    desk.handle = lambda: desk.put(person(1, fragment=1, events=4, offset=OFFSET - 1))
    found = desk.ok("POST", "P0000000001/rebuild?wait=0.1")
    assert (found["status"], found["events"], found["waits_for"]) == ("on_its_way", 4, None)


def test_what_is_still_waited_for_is_in_the_answer(desk: Desk) -> None:
    desk.put(STUCK)
    found = desk.ok("POST", "P0000000001/rebuild?wait=0")
    assert found["status"] == "on_its_way"
    assert found["waits_for"]["says"] == "P0000000001 waits 12 s for part 9 of P0000000009, 2 events held back"
    assert [(w["kind"], w["part"], w["giver"]) for w in found["waits_for"]["waits"]] == [("part", 9, "P0000000009")]


def test_a_merged_person_leads_to_the_survivor(desk: Desk) -> None:
    desk.put(person(2, log=TransferLog(gone={2: Gone(1, 9)})), person(1, fragment=1, events=3, offset=OFFSET))
    found = desk.ok("POST", "P0000000002/rebuild")
    assert (found["one_id"], found["asked"], found["status"], desk.sent) == ("P0000000001", "P0000000002", "done", [1])


def test_a_person_who_is_merged_meanwhile_is_followed(desk: Desk) -> None:
    desk.put(person(2, fragment=2, events=3, offset=7), person(1, fragment=1, events=8, offset=3))
    desk.handle = lambda: desk.put(person(2, log=TransferLog(gone={2: Gone(1, 9)}), offset=OFFSET))
    found = desk.ok("POST", "P0000000002/rebuild")
    assert (found["one_id"], found["asked"], found["status"], desk.sent) == ("P0000000001", "P0000000002", "done", [2])
    assert (found["events_before"], found["events"]) == (3, 8)


def test_what_a_person_waits_for_can_be_asked_at_any_time(desk: Desk) -> None:
    desk.put(STUCK, person(3, fragment=3, events=2, offset=7))
    assert desk.ok("GET", "P0000000001/waiting")["waits_for"]["held_back"] == 2
    assert desk.ok("GET", "P0000000003/waiting") == {
        "one_id": "P0000000003", "asked": None, "status": "done", "events": 2, "waits_for": None,
    }  # fmt: skip
    assert desk.ok("GET", "P0000000003/waiting?offset=7")["status"] == "done"
    assert desk.ok("GET", "P0000000003/waiting?offset=8")["status"] == "on_its_way"


def test_nobody_is_404_and_nothing_is_sent(desk: Desk) -> None:
    for method, path in (("POST", "P0000000001/rebuild"), ("GET", "P0000000001/waiting")):
        answer = desk.ask(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert desk.sent == []


def test_it_takes_the_role_ops(desk: Desk) -> None:
    desk.put(STUCK)
    assert desk.ask("POST", "P0000000001/rebuild", role="analyst").status_code == 403
    assert desk.ask("GET", "P0000000001/waiting", role="analyst").status_code == 200
    assert desk.sent == []


@pytest.mark.parametrize("query", ["wait=-1", "wait=61", "wait=x"])
def test_a_wait_out_of_range_is_refused(desk: Desk, query: str) -> None:
    desk.put(STUCK)
    assert desk.ask("POST", f"P0000000001/rebuild?{query}").status_code == 422
    assert desk.sent == []


def test_kafka_away_means_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path / "data")
    desk.settings = desk.app.state.parts.settings = Settings(data_dir=desk.settings.data_dir, kafka="127.0.0.1:1")
    monkeypatch.setattr(rebuild, "SEND_SECONDS", 0.5)
    desk.put(STUCK)
    answer = desk.ask("POST", "P0000000001/rebuild")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "1", "unavailable")
    with pytest.raises(Unavailable, match="Kafka did not take the command"):
        rebuild.send(desk.settings, 1, NOW)
