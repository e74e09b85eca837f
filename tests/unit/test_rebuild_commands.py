"""`cdp rebuild`, with answers of the API made up."""

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from serving.commands import register


class FakeApi:
    """Answers of the API, one after the other."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, _: Any, method: str, path: str, values: dict[str, Any], *, caller: str) -> dict[str, Any]:
        assert caller == "rebuild"
        self.calls.append((method, path, values))
        return dict(self.answers.pop(0))


SENT = {
    "one_id": "P0000000001", "asked": None, "status": "on_its_way", "offset": 7, "events_before": 3, "events": 3,
    "waits_for": None,
}  # fmt: skip
WAITS = {"one_id": "P0000000001", "asked": None, "status": "on_its_way", "events": 3, "waits_for": {"says": "P1 waits 1 s"}}
DONE = {"one_id": "P0000000001", "asked": None, "status": "done", "events": 17, "waits_for": None}


def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    return made


def run(monkeypatch: pytest.MonkeyPatch, api: FakeApi, *arguments: str) -> Any:
    monkeypatch.setattr("serving.client.call", api)
    monkeypatch.setattr("serving.profiles.commands.POLL_SECONDS", 0.01)
    return CliRunner().invoke(app(), ["rebuild", *arguments])


def test_rebuild_follows_the_command_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi(SENT, WAITS, WAITS, DONE)
    done = run(monkeypatch, api, "P0000000001")
    assert (done.exit_code, done.stdout) == (0, "P0000000001 is counted again: 17 events, 3 before\n")
    assert done.stderr.splitlines() == ["P0000000001 is asked for: PROFILE has not handled it yet", "P1 waits 1 s"]
    assert api.calls[0] == ("POST", "/v1/profiles/P0000000001/rebuild?wait=0", {})
    assert api.calls[1:] == [("GET", "/v1/profiles/P0000000001/waiting", {"offset": 7})] * 3


def test_rebuild_finds_a_person_by_identifier_and_follows_a_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = DONE | {"one_id": "P0000000002", "asked": "P0000000001"}
    api = FakeApi({"one_id": "P0000000001"}, SENT, WAITS | {"one_id": "P0000000002", "asked": "P0000000001"}, moved)
    done = run(monkeypatch, api, "phone:13800000000", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == SENT | moved
    assert api.calls[0] == ("GET", "/v1/profiles", {"id": "phone:13800000000", "events": 0})
    assert [path for _, path, _ in api.calls[2:]] == ["/v1/profiles/P0000000001/waiting"] * 2  # the command went there


def test_rebuild_gives_up_waiting_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, FakeApi(SENT), "P0000000001", "--wait", "0")
    assert done.exit_code == 1
    assert "has not handled it yet" in done.stdout
