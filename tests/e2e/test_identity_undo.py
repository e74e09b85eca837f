"""On the whole platform: a login merges two people, a command takes them apart, and everything shows two people again."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from cdp.clickhouse import connect
from tests.conftest import Stack

WAIT_SECONDS = 90


def send(stack: Stack, write_key: str, *messages: dict[str, Any]) -> None:
    head = {"Authorization": f"Basic {b64encode(f'{write_key}:'.encode()).decode()}", "Content-Type": "application/json"}
    body = json.dumps({"batch": list(messages)}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{stack.settings.api_url}/v1/batch", body, head), timeout=60) as answer:
        assert answer.status == 200


def profile(stack: Stack, token: str, identifier: str) -> dict[str, Any]:
    url = f"{stack.settings.api_url}/v1/profiles?events=0&id={urllib.parse.quote(identifier)}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=60
        ) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return {"one_id": "", "events": 0, "identifiers": []}


def until(what: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := what()) != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == wanted


def identity(stack: Stack, *arguments: str) -> dict[str, Any]:
    done = stack.cdp("identity", *arguments, "--json", check=True)
    return dict(json.loads(done.stdout))


def squash(stack: Stack) -> int:
    """Squash what has moved until now; returns how many parts."""
    answer = json.loads(stack.cdp("squash", "--after-hours", "0", "--json").stdout)
    assert (answer["waits_for"], answer["left"]) == ("", 0)
    return int(answer["parts"])


@pytest.mark.stack
@pytest.mark.timeout(500)
def test_people_who_were_merged_by_a_login_are_two_again(stack: Stack) -> None:
    run = uuid.uuid4().hex[:8]
    write_key, token = stack.write_key, stack.token
    ann, device = f"user_id:ann-{run}", f"anonymous_id:d-{run}"
    known, unknown = {"userId": f"ann-{run}"}, {"anonymousId": f"d-{run}"}
    order = {"type": "track", "event": "Order Completed", "properties": {"order_id": run, "total": 20, "currency": "CNY"}}
    view = {"type": "track", "event": "Product Viewed", "properties": {"sku": run}}
    send(stack, write_key, {**order, **known}, {**view, **unknown}, {**view, **unknown})
    until(lambda: [profile(stack, token, key)["events"] for key in (ann, device)], [1, 2])
    former = {key: profile(stack, token, key)["one_id"] for key in (ann, device)}

    send(stack, write_key, {"type": "identify", **known, **unknown})
    until(lambda: [profile(stack, token, key)["events"] for key in (ann, device)], [4, 4])
    send(stack, write_key, {**view, **unknown})
    until(lambda: profile(stack, token, device)["events"], 5)
    assert profile(stack, token, device)["orders"]["count"] == 1
    who = "dictGetOrDefault('person_overrides', 'person', toUInt64(part), owner)"
    people = f"SELECT uniqExact({who}) FROM events WHERE ids LIKE {{id:String}} AND kind != 'decision'"

    def count_people() -> int:
        return int(connect(stack.settings).query(people, parameters={"id": f"%{run}%"}).result_rows[0][0])

    until(count_people, 1)
    assert squash(stack) > 0
    assert count_people() == 1
    until(lambda: identity(stack, "explain", ann)["links"][0]["messages"], 1)
    merge = identity(stack, "explain", ann)["history"][0]
    assert (merge["kind"], merge["moves"][0]["source"] in former.values()) == ("merged", True)
    survivor = profile(stack, token, ann)["one_id"]

    tried = identity(stack, "undo", survivor, str(merge["version"]), "--dry-run")
    assert profile(stack, token, device)["one_id"] == survivor
    done = identity(stack, "undo", survivor, str(merge["version"]), "--note", "a shared tablet")
    assert (tried["status"], done["status"], done["people"]) == ("would_change", "done", tried["people"])
    assert {tuple(person["identifiers"]): person["events"] for person in done["people"]} == {(ann,): 2, (device,): 3}
    assert isinstance(done["cannot_be_taken_back"], list)

    assert {key: profile(stack, token, key)["one_id"] for key in (ann, device)} == former
    left, right = profile(stack, token, ann), profile(stack, token, device)
    assert (left["events"], left["orders"]["count"], right["events"], right["orders"]["count"]) == (2, 1, 3, 0)
    assert [i["value"] for i in left["identifiers"] + right["identifiers"]] == [f"ann-{run}", f"d-{run}"]
    assert ("first_order" in left["tags"], "first_order" in right["tags"]) == (True, False)
    until(count_people, 2)
    assert squash(stack) > 0
    assert count_people() == 2
    assert "a shared tablet" in stack.cdp("identity", "explain", ann, check=True).stdout
    send(stack, write_key, {"type": "identify", **known, **unknown})  # the same login again
    until(lambda: [profile(stack, token, key)["events"] for key in (ann, device)], [3, 3])


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_rules_change_while_everything_runs(stack: Stack) -> None:
    run = uuid.uuid4().hex[:8]
    write_key, token = stack.write_key, stack.token
    shipped = stack.cdp("identity", "rules", "show", check=True).stdout
    members = [{"type": "identify", "userId": f"{name}-{run}", "anonymousId": f"d-{run}"} for name in "ab"]
    send(stack, write_key, members[0])
    until(lambda: profile(stack, token, f"user_id:a-{run}")["events"], 1)
    file = stack.settings.data_dir / "new.yaml"
    file.write_text(shipped.replace("    exclusive: true\n", ""))
    assert stack.cdp("identity", "rules", "put", str(file), check=True).stdout.endswith("is in force\n")
    try:
        send(stack, write_key, members[1])
        until(lambda: profile(stack, token, f"user_id:a-{run}")["events"], 2)
    finally:
        stack.cdp("identity", "rules", "rollback", "1", check=True)
    identity(stack, "regroup", f"user_id:a-{run}")
    until(lambda: [profile(stack, token, f"user_id:{name}-{run}")["events"] for name in "ab"], [1, 1])
    ledger = json.loads(stack.cdp("ledger", "--json", "--wait", "90").stdout)
    assert ledger["balanced"]
