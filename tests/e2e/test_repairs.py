"""A dead letter's whole way: refused, found, repaired by the command line, applied once, and the ledger balances."""

import json
import time
import urllib.request
import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from cdp.clickhouse import connect
from tests.conftest import Stack

WAIT_SECONDS = 90


def send(stack: Stack, *messages: dict[str, Any]) -> None:
    head = {"Authorization": f"Basic {b64encode(f'{stack.write_key}:'.encode()).decode()}", "Content-Type": "application/json"}
    body = json.dumps({"batch": list(messages)}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{stack.settings.api_url}/v1/batch", body, head), timeout=60) as answer:
        assert answer.status == 200


def said(stack: Stack, *arguments: str) -> dict[str, Any]:
    done = stack.cdp("dead-letters", *arguments, "--json")
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def wait_for(stack: Stack, count: int, *arguments: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found := said(stack, "list", *arguments)["letters"]) < count and time.monotonic() < deadline:
        time.sleep(1)
    assert len(found) == count
    return found


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_letter_is_repaired_and_counts_once(stack: Stack, tmp_path: Path) -> None:
    run = uuid.uuid4().hex[:8]
    before = json.loads(stack.cdp("ledger", "--json", "--wait", "60").stdout)
    assert before["balanced"], before  # or what other tests sent is counted as this one's
    order = {
        "type": "track",
        "event": "Order Completed",
        "userId": f"u-{run}",
        "properties": {"order_id": run, "total": "12,50"},
    }
    nobody = {"type": "track", "event": run, "messageId": f"n-{run}"}
    send(stack, {**order, "messageId": f"o-{run}"}, nobody, {**nobody, "userId": f"u-{run}", "messageId": f"x-{run}"})
    send(stack, {**nobody, "userId": f"u-{run}", "messageId": f"x-{run}", "properties": {"other": 1}})  # a conflict
    (inner,), (outer,) = wait_for(stack, 1, "--text", f"o-{run}"), wait_for(stack, 1, "--event", run)
    assert (inner["stage"], inner["reason"]) == ("profile", "invalid_number")
    assert (outer["stage"], outer["reason"]) == ("collect", "missing_identifier")

    rule = ("--text", f"o-{run}", "--cast", "properties.total=comma_number")
    assert said(stack, "replay", *rule, "--dry-run")["passed"] == 1
    assert said(stack, "replay", *rule)["replayed"] == 1
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps({**nobody, "userId": f"u-{run}"}))
    assert said(stack, "repair", outer["id"])["outcome"] == "refused"
    for _ in range(2):
        assert said(stack, "repair", outer["id"], "--payload", str(whole))["outcome"] in ("replayed", "skipped")
    send(stack, {**nobody, "userId": f"u-{run}"})  # the SDK tries it again, rightly now
    wait_for(stack, 2, "--text", run, "--status", "replayed")

    ledger = json.loads(stack.cdp("ledger", "--json", "--wait", "90").stdout)
    assert ledger["balanced"]
    grown = {name: ledger[name] - before[name] for name in ("applied", "dead_lettered", "conflicts", "replayed")}
    assert grown == {"applied": 3, "dead_lettered": 2, "conflicts": 1, "replayed": 2}
    rows = connect(stack.settings).query(
        "SELECT message_id, count(), max(replay_of != '') FROM events WHERE message_id LIKE {id:String} GROUP BY 1 ORDER BY 1",
        parameters={"id": f"%-{run}"},
    )
    assert [tuple(row[:2]) for row in rows.result_rows] == [(f"n-{run}", 1), (f"o-{run}", 1), (f"x-{run}", 1)]
    states = connect(stack.settings).query("SELECT net_amount, counts FROM order_states WHERE order_id = {o:String}", {"o": run})
    assert [(float(amount), counts) for amount, counts in states.result_rows] == [(12.5, 1)]
