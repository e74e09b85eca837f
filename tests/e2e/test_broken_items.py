"""Orders and members with one broken field, against the whole platform: all others count, and each broken one is found.

The same as `tests/properties/test_broken_fields.py`, with the real broker, jobs, tables and ledger behind the API.
"""

import json
import random
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from cdp.clickhouse import connect
from loadtest.stack import access_to
from tests.conftest import Stack
from tests.properties.test_broken_fields import BROKEN, broken, member, order, paths

REQUESTS, ITEMS = 60, 4
PHONE = 13_900_000_000


def own_order(number: int, run: str) -> dict[str, Any]:
    """Nobody else's: no identifier is shared with another item, so a broken one says nothing about its neighbours."""
    customer = {"member_id": f"{run}-m{number}", "phone": str(PHONE + number), "email": f"{run}-{number}@shop.example"}
    return order(number) | {"order_id": f"{run}-o{number}", "customer": customer}


def own_member(number: int, run: str) -> dict[str, Any]:
    ids = {"phone": str(PHONE + number), "email": f"{run}-{number}@shop.example", "wechat_unionid": f"{run}-w{number}", "ids": []}
    return member(number) | {"member_id": f"{run}-m{number}"} | ids


def post(stack: Stack, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"Authorization": f"Basic {b64encode(f'{stack.write_key}:'.encode()).decode()}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{stack.settings.api_url}{path}", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return list(json.loads(answer.read())["results"])


@pytest.mark.stack
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "make"), [("orders", own_order), ("members", own_member)])
def test_every_other_item_counts_and_each_broken_one_is_found(
    stack: Stack, name: str, make: Callable[[int, str], dict[str, Any]]
) -> None:
    run, draw = uuid.uuid4().hex[:8], random.Random(7)
    before = json.loads(stack.cdp("ledger", "--json", "--wait", "60").stdout)
    assert before["balanced"], before
    events, letters, whole = 0, [], []
    for number in range(REQUESTS):
        items = [make(number * ITEMS + place, run) for place in range(ITEMS)]
        place = draw.randrange(ITEMS)
        whole += [item for index, item in enumerate(items) if index != place]
        items[place] = broken(items[place], draw.choice(list(paths(items[place]))), draw.choice(BROKEN))
        for index, result in enumerate(post(stack, f"/v1/{name}", {name: items})):
            assert result["status"] == "accepted" or index == place, (items[index], result)
            events += result["events"]
            letters += [result] if result["status"] == "rejected" else []
    assert letters
    after = json.loads(stack.cdp("ledger", "--json", "--wait", "90").stdout)
    assert after["balanced"], after
    grown = {word: after[word] - before[word] for word in ("received", "dead_lettered", "rejected")}
    assert grown == {"received": events + len(letters), "dead_lettered": len(letters), "rejected": 0}
    access = access_to(stack.settings, "test-broken-items")
    for result in letters:
        found = json.loads(access.get(f"/v1/dead-letters?message_id={quote(result['message_id'], safe='')}"))["letters"]
        assert (result["code"], name) in {(letter["reason"], letter["dialect"]) for letter in found}
    key = "order_id" if name == "orders" else "member_id"
    sql = {
        "orders": "SELECT DISTINCT order_id FROM order_states WHERE startsWith(order_id, {run:String}) AND counts",
        "members": "SELECT DISTINCT customer FROM (SELECT substring(arrayJoin(JSONExtract(ids, 'Array(String)')), 9) AS customer "
        "FROM events WHERE kind = 'identify') WHERE startsWith(customer, {run:String})",
    }[name]
    counted = {row[0] for row in connect(stack.settings).query(sql, parameters={"run": run}).result_rows}
    assert {item[key] for item in whole} <= counted
