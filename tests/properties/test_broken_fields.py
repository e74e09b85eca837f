"""One field of one item is broken: every other item counts, and the broken one is found with its reason.

Whatever is broken, each item is accepted (a contact perhaps left out, and said) or one dead letter with its own message id.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.errors import InvalidEvent
from cdp.seal import LETTER, sealed_in
from tests.sealing import RING, SEALER
from tests.unit.test_orders_and_members import Api, intake, stored

ITEMS = 3
BROKEN: list[Any] = [
    None, "", " ", "?", "x" * 600, "a\0b", "\u200f", "#REF!", "12,50", "1.5.2", "2026-13-40", "1e999", 10**400, -1, 1.5, 0, True,
    [], {}, [None], {"a": 1}, [[]], {"": {}}, "null", "***", 1e300, 2**63,
]  # fmt: skip


def order(number: int) -> dict[str, Any]:
    return {
        "order_id": f"O-{number}", "version": 1, "status": "paid", "placed_at": "2026-06-01T12:00:00Z", "currency": "CNY",
        "paid_at": "2026-06-01T12:01:00Z", "total": 90, "discount": 1, "shipping": "2.50", "tax": 0, "coupon": "C", "store": "S",
        "channel": "pos", "properties": {"note": "n"}, "updated_at": 1780300000,
        "customer": {
            "member_id": f"M-{number}", "phone": f"1390001900{number}", "email": f"a{number}@shop.example",
            "wechat_openid": "w", "ids": [{"type": "jd_open_id", "value": f"j{number}"}],
        },
        "lines": [{"sku": "A", "name": "a", "category": "c", "quantity": 2, "price": "45"}],
        "refunds": [{"refund_id": "R", "amount": 5, "refunded_at": "2026-06-02T12:00:00Z", "reason": "r", "currency": "CNY"}],
    }  # fmt: skip


def member(number: int) -> dict[str, Any]:
    return {
        "member_id": f"M-{number}", "phone": f"1390001900{number}", "email": f"a{number}@shop.example", "wechat_unionid": "w",
        "ids": [{"type": "jd_open_id", "value": f"j{number}"}], "traits": {"name": "Li", "birthday": "1990-05-01"},
        "registered_at": "2026-06-01T12:00:00Z", "registered": True, "updated_at": "2026-06-01T12:00:00Z", "version": 1,
        "store": "S", "channel": "pos",
    }  # fmt: skip


def trade(number: int) -> dict[str, Any]:
    return {
        "tid": f"T-{number}", "status": "TRADE_FINISHED", "seller_nick": "s", "buyer_open_uid": f"b{number}", "payment": "90",
        "created": "2026-06-01 20:01:12", "pay_time": "2026-06-01 20:01:40", "modified": "2026-06-01 20:01:41", "post_fee": "1",
        "receiver_mobile": f"1390001900{number}",
        "orders": {"order": [{"outer_sku_id": "A", "title": "a", "price": "9", "num": 1}]},
    }  # fmt: skip


KINDS = {"orders": order, "members": member, "mappings/tmall": trade}


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something may be broken: the fields of an item, and what is in them."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from paths(inner, (*at, key))


def broken(item: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    holder = item = copy.deepcopy(item)
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return item


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(Path(tmp_path_factory.mktemp("broken")) / "data")


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_broken_field_costs_its_item_only(api: Api, kind: str, data: st.DataObject) -> None:
    items = [KINDS[kind](number) for number in range(ITEMS)]
    place = data.draw(st.integers(0, ITEMS - 1))
    path = data.draw(st.sampled_from(list(paths(items[place]))))
    items[place] = broken(items[place], path, data.draw(st.sampled_from(BROKEN)))
    api.records.clear()
    answer = api.post(f"/v1/{kind}", items if "/" in kind else {kind: items})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    for index, result in enumerate(results):
        assert result["status"] == "accepted" or index == place, (path, items[place], result)
    letters = [record for record in api.records if "stage" in record]
    events = [record for record in api.records if "stage" not in record]
    assert len(events) == sum(result["events"] for result in results)
    assert len(letters) == sum(result["status"] == "rejected" for result in results)
    assert answer.json()["accepted"] + answer.json()["rejected"] + [r["status"] for r in results].count("skipped") == ITEMS
    for letter in letters:
        result = results[place]
        told = SEALER.message_id(result["message_id"]), result["code"], result["field"]
        assert (letter["message_id"], letter["reason"], letter.get("field", "")) == told
        assert letter["message_id"]
        payload = json.loads(RING.open(LETTER, sealed_in(letter["payload"])))
        with pytest.raises(InvalidEvent):  # it is still broken
            intake(api).read(stored(letter), payload)
        if letter["dialect"] != "segment":
            repaired = intake(api).read(stored(letter), KINDS[kind](place))
            assert len(repaired) == len(events) // (ITEMS - 1)
