"""Orders and members from servers: what becomes of them, and the endpoints with a fake Kafka."""

import asyncio
import base64
import gzip
import hmac
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest

from cdp.clock import Calendar
from cdp.errors import InvalidEvent, Unavailable
from cdp.orders import parse_order
from cdp.seal import LETTER, sealed_in
from cdp.settings import Settings
from cdp.topics import Names
from rules.identity import load_identity_rules
from serving.app import collector, create_app
from serving.collect.dialects.segment import Segment
from serving.collect.finish import Finish
from serving.dead_letters.intake import Intake
from serving.dead_letters.letters import Stored
from serving.definitions import mint_token, mint_write_key
from serving.definitions.cache import Credentials
from serving.imports.find import Mappers
from serving.imports.orders import member_messages, order_messages
from serving.imports.subjects import converters
from tests.sealing import RING, SEALER, sealing

NOW = 1_795_380_000_000_000
ORDER = {
    "order_id": "SO-1", "version": 2, "status": "paid", "placed_at": "2026-06-01T12:00:00+08:00",
    "paid_at": "2026-06-01T12:00:30+08:00", "currency": "cny", "total": 188.9, "discount": "19.10",
    "customer": {"member_id": "M-7", "phone": "138****0000", "wechat_unionid": "wx",
                 "ids": [{"type": "jd_open_id", "value": "j"}]},
    "store": "SH-1", "channel": "pos", "properties": {"cashier": 7},
    "lines": [{"sku": "A", "name": "a", "category": "c", "quantity": 2, "price": 104, "brand": "b"}],
}  # fmt: skip
PARTIAL = {"refund_id": "R-1", "amount": 20, "refunded_at": "2026-06-03T10:00:00Z", "reason": "late"}


def test_an_order_becomes_order_completed() -> None:
    (made,) = order_messages(ORDER)
    assert made == {
        "type": "track", "event": "Order Completed", "messageId": "order:SO-1:2:completed", "userId": "M-7",
        "timestamp": "2026-06-01T04:00:30.000000Z", "originalTimestamp": "2026-06-01T04:00:30.000000Z",
        "properties": {
            "order_id": "SO-1", "version": 2, "status": "paid", "currency": "CNY", "total": 188.9, "discount": 19.1, "cashier": 7,
            "placed_at": "2026-06-01T04:00:00.000000Z",
            "products": [{"sku": "A", "name": "a", "category": "c", "quantity": 2, "price": 104, "brand": "b"}],
        },
        "context": {
            "library": {"name": "cdp-server", "version": "1"}, "channel": "pos", "store": "SH-1",
            "externalIds": [{"type": "wechat_unionid", "id": "wx"}, {"type": "jd_open_id", "id": "j"}],
        },
    }  # fmt: skip
    read = parse_order("Order Completed", msgspec.json.encode(made["properties"]))
    assert (read.amount, read.quantity) == (1_889_000, 20_000)


@pytest.mark.parametrize(
    ("status", "event", "kind"),
    [
        ("placed", "Order Placed", "placed"), ("unpaid", "Order Placed", "placed"), ("paid", "Order Completed", "completed"),
        ("processing", "Order Completed", "completed"), ("shipped", "Order Completed", "completed"),
        ("delivered", "Order Completed", "completed"), ("completed", "Order Completed", "completed"),
        ("partially_refunded", "Order Completed", "completed"), ("refunded", "Order Completed", "completed"),
        ("cancelled", "Order Cancelled", "cancelled"),
    ],
)  # fmt: skip
def test_which_status_is_a_sale(status: str, event: str, kind: str) -> None:
    made = order_messages({**ORDER, "status": status, "updated_at": "2026-06-02T00:00:00Z"})
    assert (made[0]["event"], made[0]["messageId"]) == (event, f"order:SO-1:2:{kind}")
    assert made[0]["timestamp"][:10] == ("2026-06-02" if kind == "cancelled" else "2026-06-01")
    assert len(made) == (2 if status == "refunded" else 1)


def test_refunds_of_a_part_and_of_everything() -> None:
    placed, refund = order_messages({**ORDER, "status": "partially_refunded", "refunds": [PARTIAL]})
    assert (refund["event"], refund["messageId"], refund["timestamp"]) == (
        "Order Refunded", "refund:SO-1:R-1", "2026-06-03T10:00:00.000000Z",
    )  # fmt: skip
    assert refund["properties"] == {"order_id": "SO-1", "refund_id": "R-1", "currency": "CNY", "reason": "late", "total": 20}
    assert refund["userId"] == placed["userId"]
    assert parse_order("Order Refunded", msgspec.json.encode(refund["properties"])).amount == -200_000
    _, whole = order_messages({**ORDER, "status": "refunded"})
    assert (whole["messageId"], whole["properties"]["version"]) == ("refund:SO-1:all:2", 2)
    assert parse_order("Order Refunded", msgspec.json.encode(whole["properties"])).amount is None
    lined = {"refund_id": 2, "refunded_at": 1780300000, "lines": [{"sku": "A", "quantity": 1, "price": "104"}]}
    _, back = order_messages({**ORDER, "refunds": [lined]})
    assert parse_order("Order Refunded", msgspec.json.encode(back["properties"])).amount == -1_040_000


def test_a_guest_is_known_by_the_order() -> None:
    for event in order_messages({**ORDER, "customer": {"phone": "138****0000"}, "status": "placed"}):
        assert "userId" not in event
        assert event["context"]["externalIds"] == [{"type": "order_id", "id": "SO-1"}]
    both = order_messages({**ORDER, "customer": {"user_id": "u", "member_id": "M-7"}})[0]
    assert (both["userId"], both["context"]["externalIds"]) == ("u", [{"type": "member_id", "id": "M-7"}])


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"order_id": ""}, "invalid_value", "order_id"), ({"order_id": None}, "invalid_value", "order_id"),
        ({"status": "done"}, "invalid_value", "status"), ({"currency": "yuan"}, "invalid_value", "currency"),
        ({"total": -1}, "invalid_value", "total"), ({"total": "many"}, "invalid_value", "total"),
        ({"placed_at": "0001-01-01"}, "invalid_value", "placed_at"), ({"placed_at": "soon"}, "invalid_value", "placed_at"),
        ({"totl": 1}, "unknown_field", "totl"), ({"version": -1}, "invalid_value", "version"),
        ({"refunds": [PARTIAL, PARTIAL]}, "invalid_value", ""), ({"total": None, "lines": []}, "invalid_value", ""),
        ({"refunds": [{"refund_id": "1"}]}, "missing_field", "refunds.0.refunded_at"),
        ({"lines": [{"quantity": 0}]}, "invalid_value", "lines.0.quantity"),
        ({"refunds": [{**PARTIAL, "currency": "yuan"}]}, "invalid_value", "refunds.0.currency"),
        ({"refunds": ["R-1"]}, "invalid_value", "refunds.0"),
        ({"lines": [{"price": {}}]}, "invalid_value", "lines.0.price"),
    ],
)  # fmt: skip
def test_a_wrong_order_says_what_is_wrong(change: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        order_messages({**ORDER, **change})
    assert (caught.value.reason, caught.value.field) == (reason, field)


LEFT_OUT = [
    ({"phone": {"number": 1}}, "customer.phone"), ({"phone": ["13900019001"]}, "customer.phone"),
    ({"phone": "12"}, "customer.phone"), ({"wechat_openid": "a\0b"}, "customer.wechat_openid"),
    ({"phone": True}, "customer.phone"), ({"email": 7}, "customer.email"),
    ({"member_id": {}}, "customer.member_id"), ({"member_id": "x" * 513}, "customer.member_id"),
    ({"nickname": "Li"}, "customer.nickname"), ({"ids": [{"type": "a b", "value": "1"}]}, "customer.ids.0"),
    ({"ids": ["j"]}, "customer.ids.0"), ({"ids": "j"}, "customer.ids"),
    ({"ids": [{"type": "jd_open_id", "value": None}]}, "customer.ids.0"),
]  # fmt: skip


@pytest.mark.parametrize(("contact", "field"), LEFT_OUT)
def test_a_contact_that_cannot_be_read_is_said_and_never_costs_the_order(contact: Any, field: str) -> None:
    (guest,) = order_messages({**ORDER, "customer": contact})
    (warning,) = guest.pop("warnings")
    assert warning["field"] == field
    assert warning["message"].startswith(f"{field} is left out: ")
    assert guest["context"]["externalIds"] == [{"type": "order_id", "id": "SO-1"}]
    assert guest["context"]["ids_left_out"] == [field]
    if isinstance(contact, dict):
        (message,) = order_messages({**ORDER, "customer": {"wechat_unionid": "w", **contact}})
        assert message["context"]["externalIds"] == [{"type": "wechat_unionid", "id": "w"}]


@pytest.mark.parametrize("nobody", [{}, [], None, "", {"phone": None, "ids": []}, {"email": ""}, {"phone": "138****5678"}])
def test_a_guest_has_nothing_to_warn_about(nobody: Any) -> None:
    (guest,) = order_messages({**ORDER, "customer": nobody})
    assert guest["context"]["externalIds"] == [{"type": "order_id", "id": "SO-1"}]
    assert "warnings" not in guest


def test_a_refund_in_another_currency_is_told() -> None:
    told = {**PARTIAL, "currency": "usd"}
    placed, refund = order_messages({**ORDER, "status": "partially_refunded", "refunds": [told]})
    assert refund["properties"]["currency"] == "USD"
    assert [warning["field"] for warning in placed["warnings"]] == ["refunds.0.currency"]
    assert "ids_left_out" not in placed["context"]
    assert "warnings" not in order_messages({**ORDER, "customer": {}, "refunds": [{**PARTIAL, "currency": "RMB"}]})[0]


@pytest.mark.parametrize(
    "change",
    [
        {"version": None}, {"version": ""}, {"lines": "", "refunds": " ", "properties": ""},
        {"lines": None, "refunds": None}, {"properties": None}, {"discount": "", "tax": " ", "shipping": None},
        {"paid_at": "", "cancelled_at": None, "updated_at": "\u200b"}, {"lines": [{"sku": "A", "quantity": None, "price": None}]},
        {"lines": {"0": {"sku": "A"}, "2": {"sku": "B"}}, "refunds": {"1": PARTIAL}}, {"lines": {}, "refunds": {}},
        {"refunds": [{**PARTIAL, "currency": ""}]},
    ],
)  # fmt: skip
def test_what_is_not_filled_in_costs_no_order(change: dict[str, Any]) -> None:
    bare = {name: ORDER[name] for name in ("order_id", "status", "placed_at", "currency", "total", "customer")}
    said = {name: value for name, value in change.items() if isinstance(value, list | dict)}
    wanted = order_messages(bare)[0]["properties"] | {"products": []}
    made = order_messages({**bare, **change})
    assert made[0]["properties"] | {"products": []} == wanted
    assert len(made[0]["properties"]["products"]) == len(said.get("lines", []))
    assert len(made) == 1 + len(said.get("refunds", []))


@pytest.mark.parametrize("change", [{"lines": [{"price": ""}]}, {"refunds": [{**PARTIAL, "amount": ""}]}])
def test_an_amount_that_counts_is_not_worked_out_of_a_blank_one(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match="is not a number"):
        order_messages({**ORDER, **change})


MEMBER = {
    "member_id": "M-7", "phone": "13800000000", "email": "l***@example.com", "traits": {"name": "Li", "birthday": "1990-05-01"},
    "registered_at": "2026-06-01T12:00:00+08:00",
}  # fmt: skip


def test_members() -> None:
    (identify,) = member_messages(MEMBER)
    assert (identify["type"], identify["userId"], identify["timestamp"]) == ("identify", "M-7", "2026-06-01T04:00:00.000000Z")
    assert identify["traits"] == {
        "phone": "13800000000", "name": "Li", "birthday": "1990-05-01", "registered_at": "2026-06-01T04:00:00.000000Z",
    }  # fmt: skip
    assert identify["context"]["externalIds"] == [{"type": "phone", "id": "13800000000"}]
    assert identify["messageId"] == member_messages(dict(reversed(MEMBER.items())))[0]["messageId"]
    assert identify["messageId"] != member_messages({**MEMBER, "traits": {"name": "Wu"}})[0]["messageId"]
    _, signed_up = member_messages({**MEMBER, "registered": True, "version": 3})
    assert (signed_up["event"], signed_up["messageId"], signed_up["userId"]) == ("Signed Up", "signup:M-7", "M-7")
    assert member_messages({**MEMBER, "version": 3})[0]["messageId"] == "member:M-7:3"
    assert member_messages({**MEMBER, "updated_at": "", "version": None, "registered": None}) == [identify]
    assert member_messages({**MEMBER, "registered_at": " ", "traits": None})[0]["traits"] == {"phone": "13800000000"}
    (warned,) = member_messages({**MEMBER, "email": "l@example.com", "phone": {"no": 1}, "ids": [7]})
    assert [warning["field"] for warning in warned["warnings"]] == ["phone", "ids.0"]
    assert (warned["traits"]["email"], "phone" in warned["traits"]) == ("l@example.com", False)
    for wrong in ({"registered": True, "registered_at": None}, {"traits": {"birthday": "May"}}, {"member_id": " "}):
        with pytest.raises(InvalidEvent):
            member_messages({**MEMBER, **wrong})


def test_amounts_are_rounded_to_the_places_that_are_kept() -> None:
    lines = [{"sku": "a", "quantity": 10, "price": "14.309999999999999"}, {"sku": "b", "quantity": "1.5", "price": 8.264463}]
    (made,) = order_messages({**ORDER, "total": 143.1, "discount": "1,234.50", "shipping": 17.169999999999998, "lines": lines})
    said = made["properties"]
    assert [said[name] for name in ("total", "discount", "shipping")] == [143.1, 1234.5, 17.17]
    assert [(line["quantity"], line["price"]) for line in said["products"]] == [(10, 14.31), (1.5, 8.2645)]
    sdk = parse_order("Order Completed", msgspec.json.encode({"order_id": "1", "total": 143.1, "products": lines}))
    assert sdk == replace(parse_order("Order Completed", msgspec.json.encode(said)), order_id="1", currency="", version=0)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"total": "12,50"}, "total", "comma"),
        ({"total": True}, "total", "not a number"),
        ({"total": "1E+05"}, "total", "digits are lost"),
        ({"order_id": 2.98877e18}, "order_id", "digits are lost"),
        ({"order_id": "2.98877E+18"}, "order_id", "digits are lost"),
        ({"order_id": True}, "order_id", "not an id"),
        ({"version": True}, "version", "not a number"),
        ({"placed_at": 32994}, "placed_at", "nobody knows"),
        ({"placed_at": 0}, "placed_at", "0 is"),
        ({"version": 1.5}, "version", "whole"),
        ({"placed_at": "2026112010"}, "placed_at", "may count seconds"),
        ({"placed_at": "1969-12-31"}, "placed_at", "1970-01-02"),
        ({"lines": [{"sku": "1.5E+10"}]}, "lines.0.sku", "lost"),
    ],
)
def test_what_is_not_certain_is_refused(change: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says) as caught:
        order_messages({**ORDER, **change})
    assert caught.value.field == field


def test_ids_and_times_of_orders_are_read_as_everywhere() -> None:
    customer = {"member_id": "#N/A", "phone": "1.39E+10", "wechat_openid": "'77", "email": "a@example.com"}
    change = {
        "order_id": '="2988"',
        "placed_at": "19971120T100000Z",
        "paid_at": "880020001",
        "customer": customer,
        "version": "3",
    }
    (made,) = order_messages({**ORDER, **change})
    assert (made["messageId"], made["timestamp"]) == ("order:2988:3:completed", "1997-11-20T10:00:01.000000Z")
    assert made["context"]["externalIds"] == [{"type": "email", "id": "a@example.com"}, {"type": "wechat_openid", "id": "77"}]
    assert order_messages({**ORDER, "order_id": 7.0})[0]["properties"]["order_id"] == "7"


def test_birthdays_of_members_are_local_days_that_are_past() -> None:
    zone, today = ZoneInfo("Asia/Shanghai"), date(2026, 11, 20)
    for written in ("1990-05-01", "19900501", "1990-04-30T16:00:00.000Z", "1990-05-01T00:00:00Z", "1990/5/1"):
        made = member_messages({**MEMBER, "traits": {"birthday": written}}, zone=zone, today=today)[0]
        assert made["traits"]["birthday"] == "1990-05-01", written
    for wrong in (32994, 19900501, "32994", "0", True, "1890-05-01", "2026-11-21", "1990-02-29", {}):
        with pytest.raises(InvalidEvent) as caught:
            member_messages({**MEMBER, "traits": {"birthday": wrong}}, zone=zone, today=today)
        assert (caught.value.reason, caught.value.field) == ("invalid_value", "traits.birthday")
    assert "birthday" not in member_messages({**MEMBER, "traits": {}}, zone=zone, today=today)[0]["traits"]


def test_the_signup_trigger_knows_the_event() -> None:
    from rules.definitions.load import load_rules
    from serving.imports.orders import SIGNED_UP

    assert any(SIGNED_UP in trigger.on for trigger in load_rules().triggers)


# -- over HTTP -------------------------------------------------------------------------------------------------------------


class FakeRedis:
    """The few commands that idempotency keys need; the real ones are tried in the integration tests."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.away = False

    async def set(self, name: str, value: bytes, *, nx: bool, ex: int) -> bool:
        if self.away:
            raise ConnectionError
        if nx and name in self.values:
            return False
        self.values[name] = value
        return True

    async def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    async def eval(self, script: str, _: int, name: str, old: bytes, *new: Any) -> None:
        if self.values.get(name) == old:
            if new:
                self.values[name] = new[0]
            else:
                del self.values[name]


@pytest.mark.parametrize(
    ("contact", "why"),
    [
        ({"phone": "13800138000"}, "the identity rules block it"), ({"phone": "1234567"}, "no number of its country"),
        ({"email": "test@test.com"}, "the identity rules block it"), ({"member_id": "0"}, "the identity rules block it"),
        ({"user_id": "undefined"}, "the identity rules block it"),
    ],
)  # fmt: skip
def test_who_is_nobody_by_the_rules_in_force_is_said(contact: dict[str, str], why: str) -> None:
    (made,) = order_messages({**ORDER, "customer": contact}, load_identity_rules())
    (warning,) = made["warnings"]
    (name,) = contact
    assert warning["field"] == f"customer.{name}"
    assert why in warning["message"]
    assert "warnings" not in order_messages({**ORDER, "customer": {"phone": "13900019001"}}, load_identity_rules())[0]


@pytest.mark.parametrize("number", ["null", "undefined", "{{ order.id }}"])
def test_what_is_no_number_is_no_order(number: Any) -> None:
    with pytest.raises(InvalidEvent) as caught:
        order_messages({**ORDER, "order_id": number, "refunds": [PARTIAL]}, load_identity_rules())
    assert (caught.value.reason, caught.value.field) == ("missing_order_id", "order_id")


class Api:
    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        self.records: list[Any] = []
        self.rejected: dict[str, int] = {}
        self.away = False
        self.redis = FakeRedis()
        self.app = create_app(self.settings)
        parts: Any = SimpleNamespace(
            settings=self.settings, sealing=sealing(self.settings),
            names=Names("cdp"), clock=lambda: NOW, publisher=self, redis=self.redis,
            credentials=Credentials(self.settings), count_rejected=self.count,
            identity=SimpleNamespace(rules=load_identity_rules()),
        )  # fmt: skip
        self.app.state.parts = parts
        names = parts.names
        self.app.state.collector = collector(
            parts, Finish(names.events, names.items, self.settings.max_event_bytes, parts.sealing.sealer)
        )
        self.key = mint_write_key(self.settings, "erp")

    async def publish(self, records: Any) -> None:
        if self.away:
            raise Unavailable("Kafka did not take the events.")
        self.records += [json.loads(record.value) for record in records]

    async def count(self, reason: str, count: int = 1) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + count

    def post(self, path: str, body: Any, *, key: str | None = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = self.key if key is None else key
        auth = {"Authorization": f"Bearer {given}"} if given else {}

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.post(
                    path, content=content, headers=auth | {k.replace("_", "-"): v for k, v in headers.items()}
                )

        return asyncio.run(run())


def intake(api: Api) -> Intake:
    return Intake(
        api.app.state.collector.finish, {"segment": Segment("")}, converters(Mappers(api.settings), Calendar("UTC"), lambda: NOW)
    )


def stored(letter: dict[str, Any]) -> Stored:
    """A dead letter as it stands in ClickHouse."""
    names = ("stage", "reason", "field", "detail", "message_id", "source", "payload", "dialect")
    known = {name: letter.get(name, "") for name in names}
    return Stored(partition=3, offset=4, time=letter["time"], request="{}", replayed=0, **known)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


def test_one_bad_order_does_not_refuse_the_others(api: Api) -> None:
    answer = api.post("/v1/orders", {"orders": [{**ORDER, "refunds": [PARTIAL]}, {"order_id": "SO-2"}, 5, ORDER]})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [(r["order_id"], r["status"], r["events"]) for r in results] == [
        ("SO-1", "accepted", 2), ("SO-2", "rejected", 0), (None, "rejected", 0), ("SO-1", "accepted", 1),
    ]  # fmt: skip
    assert (results[1]["code"], results[1]["field"]) == ("missing_field", "status")
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 2)
    letters, events = api.records[:2], api.records[2:]
    assert [record["message_id"] for record in events] == [
        "order:SO-1:2:completed",
        "refund:SO-1:R-1",
        "order:SO-1:2:completed",
    ]
    assert [(one["stage"], one["dialect"], one["reason"], one.get("field", ""), one["message_id"]) for one in letters] == [
        ("collect", "orders", "missing_field", "status", "order:SO-2"),
        ("collect", "orders", "invalid_value", "", SEALER.message_id(results[2]["message_id"])),
    ]
    assert (results[1]["message_id"], api.rejected) == ("order:SO-2", {})
    assert "SO-2" not in letters[0]["payload"]  # it is sealed
    event = events[0]
    assert (event["event"], event["channel"], event["store"], event["source"]["name"]) == (
        "Order Completed",
        "pos",
        "SH-1",
        "erp",
    )
    assert (event["time"], event["received_at"]) == (1_780_286_430_000_000, NOW)
    assert {"type": "user_id", "value": "M-7"} in event["ids"]


def test_a_single_order_and_a_single_member(api: Api) -> None:
    assert api.post("/v1/orders", gzip.compress(json.dumps(ORDER).encode())).json()["accepted"] == 1
    answer = api.post("/v1/members", {**MEMBER, "registered": True}).json()
    assert answer["results"] == [{"member_id": "M-7", "status": "accepted", "events": 2}]
    assert [record["kind"] for record in api.records] == ["track", "identify", "track"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"), (b"[]", 400, "invalid_request"), (b'{"orders": 1}', 400, "invalid_request"),
        (b" " * 5_000_000, 413, "body_too_large"), (b'{"orders":[' + b"1," * 1000 + b"1]}", 422, "too_many_items"),
        (b"\x1f\x8bxx", 400, "invalid_gzip"),
    ],
)  # fmt: skip
def test_requests_that_are_refused_as_a_whole(api: Api, body: bytes, status: int, code: str) -> None:
    answer = api.post("/v1/orders", body)
    assert (answer.status_code, answer.json()["code"], api.rejected) == (status, code, {code: 1})


def test_only_write_keys_may(api: Api) -> None:
    for wrong in ("", "wk_x", mint_token(api.settings, "t", "admin")):
        assert api.post("/v1/orders", ORDER, key=wrong).status_code == 401
    assert api.post(f"/v1/orders?key={api.key}", ORDER, key="").status_code == 200


def test_kafka_away(api: Api) -> None:
    api.away = True
    answer = api.post("/v1/orders", ORDER, Idempotency_Key="k")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert api.redis.values == {}
    api.away = False
    assert api.post("/v1/orders", ORDER, Idempotency_Key="k").status_code == 200


def test_idempotency_keys(api: Api) -> None:
    first = api.post("/v1/orders", ORDER, Idempotency_Key="k")
    again = api.post("/v1/orders", ORDER, Idempotency_Key="k")
    assert (first.status_code, again.status_code, again.content == first.content) == (200, 200, True)
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert len(api.records) == 1
    other = api.post("/v1/orders", {**ORDER, "version": 3}, Idempotency_Key="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert api.post("/v1/members", MEMBER, Idempotency_Key="k").status_code == 409
    assert api.post("/v1/orders", ORDER, Idempotency_Key="x" * 300).status_code in (400, 422)
    api.redis.away = True
    assert api.post("/v1/orders", ORDER, Idempotency_Key="k2").status_code == 503
    assert api.post("/v1/orders", ORDER).status_code == 200


def test_a_webhook_goes_through_its_mapping(api: Api) -> None:
    from serving.imports.find import SHIPPED
    from serving.imports.mapping import load_mapping

    order = load_mapping(SHIPPED / "shopify.yaml").examples[0].input
    answer = api.post(f"/v1/mappings/shopify?key={api.key}", order, key="").json()
    assert answer["results"] == [{"index": 0, "status": "accepted", "events": 2}]
    many = api.post("/v1/mappings/shopify", [order, {"id": 1}, {**order, "total_price": "x"}, "text"]).json()
    assert [r["status"] for r in many["results"]] == ["accepted", "skipped", "rejected", "rejected"]
    assert (many["results"][2]["field"], many["results"][3]["code"]) == ("total_price", "not_an_object")
    assert api.post("/v1/mappings/nothing", order).status_code == 404
    own = api.settings.data_dir / "mappings"
    own.mkdir()
    (own / "mine.yaml").write_text("name: mine")
    answer = api.post("/v1/mappings/mine", order)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_mapping")


def test_a_webhooks_signature_is_checked_if_a_secret_is_kept(api: Api) -> None:
    api.settings.secrets_dir.mkdir(parents=True, exist_ok=True)
    (api.settings.secrets_dir / "webhook-shopify").write_text("hush\n")
    body = b'{"id": 1}'
    signed = base64.b64encode(hmac.digest(b"hush", body, "sha256")).decode()
    answer = api.post("/v1/mappings/shopify", body)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert api.post("/v1/mappings/shopify", body, X_Shopify_Hmac_Sha256=signed).status_code == 200
    assert api.post("/v1/mappings/shopify", body + b" ", X_Shopify_Hmac_Sha256=signed).status_code == 401


def test_the_openapi_document_is_complete(api: Api) -> None:
    paths = api.app.openapi()["paths"]
    for path in ("/v1/orders", "/v1/members", "/v1/mappings/{name}"):
        operation = paths[path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["example"]
        assert operation["security"] == [{"write_key": []}, {"write_key_bearer": []}, {"write_key_query": []}]
        assert {"200", "400", "401", "409", "413", "422", "429", "503"} <= set(operation["responses"])


@pytest.mark.parametrize(
    "order",
    [
        b'{"order_id": "\\ud800"}', b'{"order_id": 123456789012345678901234567890123}', b'{"total": 1e999}', b'{"total": NaN}',
        b'{"order_id": "\\u0000", "status": "paid", "placed_at": 0, "currency": "CNY", "total": 1}',
        b'{"order_id": "1", "status": "paid", "placed_at": 1780300000, "currency": "CNY", "total": 1, "channel": "\\u0000"}',
        b'{"order_id": "1", "status": "paid", "placed_at": 1780300000, "currency": "CNY", "total": 1, "properties": '
        + b'{"a":' * 200 + b"1" + b"}" * 201,
        b'{"order_id": "1", "status": "paid", "placed_at": 1e300, "currency": "CNY", "total": 1}', b"null", b'"x"',
        b'{"orders": [[], null, {"orders": []}, {"customer": []}]}', b'{"order_id": true}', b'{"orders": []}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/orders", "/v1/members", "/v1/mappings/tmall", "/v1/mappings/%00", "/v1/mappings/a%2Fb"])
def test_strange_bodies_never_break_it(api: Api, path: str, order: bytes) -> None:
    answer = api.post(path, order, Idempotency_Key="k")
    assert answer.status_code in (200, 400, 404, 413), answer.text
    assert answer.status_code == 200 or {"code", "message"} <= set(answer.json())


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5000, b"NaN"])
def test_what_cannot_be_decoded_costs_its_own_order_only(api: Api, number: bytes) -> None:
    good = b'{"order_id":"%b","status":"paid","placed_at":1780300000,"currency":"CNY","total":%b,"customer":[],"properties":[]}'
    body = b'{"orders":[%b,%b,%b]}' % (good % (b"a\\ud83d", b"1"), good % (b"b", number), good % (b"c", b"2"))
    for packed in (body, b"\xef\xbb\xbf" + body, gzip.compress(body[:50]) + gzip.compress(body[50:])):
        answer = api.post("/v1/orders", packed)
        assert answer.status_code == 200, answer.text
        fates = [(one["order_id"], one["status"]) for one in answer.json()["results"]]
        assert fates == [("a\ufffd", "accepted"), ("b", "rejected"), ("c", "accepted")]
        assert answer.json()["results"][1]["code"] in ("number_out_of_range", "invalid_json")
    assert api.post("/v1/orders", good % (b"b", number)).json()["rejected"] == 1


def test_a_list_with_something_in_it_is_no_customer() -> None:
    assert order_messages({**ORDER, "customer": [], "properties": []})[0]["context"]["externalIds"]
    for field in ("customer", "properties"):
        with pytest.raises(InvalidEvent) as caught:
            order_messages({**ORDER, field: ["x"]})
        assert (caught.value.reason, caught.value.field) == ("invalid_value", field)


def test_old_orders_count_then_and_what_lies_ahead_is_counted(api: Api) -> None:
    order = {"status": "paid", "currency": "CNY", "total": 1}
    items = [("a", "1997-02-01T00:00:00Z"), ("b", "2027-06-01T00:00:00Z"), ("c", "1969-01-01T00:00:00Z")]
    answer = api.post("/v1/orders", {"orders": [{**order, "order_id": id_, "placed_at": at} for id_, at in items]}).json()
    assert [one["status"] for one in answer["results"]] == ["accepted", "accepted", "rejected"]
    assert answer["corrected"] == answer["results"][1]["corrected"] == 1 and "corrected" not in answer["results"][0]
    letter, old, ahead = api.records
    assert letter["message_id"] == "order:c"
    assert (old["time"], ahead["time"]) == (854_755_200_000_000, NOW)
    assert ahead["context"]["time_corrected"] is True


def test_a_message_that_the_collector_refuses_is_a_dead_letter_too(api: Api) -> None:
    huge = {**ORDER, "properties": {"note": "x" * api.settings.max_event_bytes}, "refunds": [PARTIAL]}
    (result,) = api.post("/v1/orders", huge).json()["results"]
    assert (result["status"], result["code"], result["message_id"], result["events"]) == (
        "rejected", "too_large", "order:SO-1:2:completed", 1,
    )  # fmt: skip
    letter, refund = sorted(api.records, key=lambda record: "stage" not in record)
    assert (letter["dialect"], letter["reason"], letter["message_id"]) == ("segment", "too_large", "order:SO-1:2:completed")
    assert refund["message_id"] == "refund:SO-1:R-1"


@pytest.mark.parametrize(
    ("path", "wrong", "right", "ids"),
    [
        ("/v1/orders", {**ORDER, "currency": "yuan", "refunds": [PARTIAL]}, {"currency": "CNY"},
         ["order:SO-1:2:completed", "refund:SO-1:R-1"]),
        ("/v1/members", {**MEMBER, "version": 1, "registered_at": "soon"}, {"registered_at": None}, ["member:M-7:1"]),
        ("/v1/mappings/tmall",
         {"tid": "5", "status": "TRADE_FINISHED", "created": "2026-06-01 20:01:12", "modified": "m", "payment": "x"},
         {"payment": "9", "modified": "2026-06-01 20:01:13"}, ["tmall:5:completed:2026-06-01 20:01:13"]),
    ],
)  # fmt: skip
def test_a_rejected_item_is_repaired_and_read_as_it_was(
    api: Api, path: str, wrong: dict[str, Any], right: dict[str, Any], ids: list[str]
) -> None:
    (result,) = api.post(path, wrong).json()["results"]
    (kept,) = api.records
    assert (result["status"], kept["message_id"]) == ("rejected", SEALER.message_id(result["message_id"]))
    payload = json.loads(RING.open(LETTER, sealed_in(kept["payload"])))
    assert payload == wrong
    letter = stored(kept)
    for message, expected in ((payload, None), (payload | right, ids)):
        if expected is None:
            with pytest.raises(InvalidEvent) as caught:
                intake(api).read(letter, message)
            assert (caught.value.reason, caught.value.field) == (kept["reason"], kept["field"])
            continue
        events = [json.loads(record.value) for record in intake(api).read(letter, message)]
        assert [event["message_id"] for event in events] == expected
        assert all((event["source"]["name"], event["source"]["replay_of"]) == ("erp", "3:4") for event in events)
    unknown = letter._replace(dialect="mapping:none")
    with pytest.raises(InvalidEvent) as caught:
        intake(api).read(unknown, payload)
    assert caught.value.reason == "not_replayable"


@pytest.mark.parametrize("nothing", [None, "", " ", "\u200b"])
@pytest.mark.parametrize("field", ["total", "discount", "shipping", "tax", "paid_at", "cancelled_at", "updated_at"])
def test_what_need_not_be_there_may_be_blank(field: str, nothing: Any) -> None:
    without = {name: value for name, value in ORDER.items() if name != field}
    assert order_messages(ORDER | {field: nothing}) == order_messages(without)


@pytest.mark.parametrize("field", ["refunds", "properties", "customer"])
def test_what_need_not_be_there_may_be_null(field: str) -> None:
    without = {name: value for name, value in ORDER.items() if name != field}
    assert order_messages(ORDER | {field: None}) == order_messages(without)
    with pytest.raises(InvalidEvent, match="An order needs a total or lines"):
        order_messages(ORDER | {"lines": None, "total": ""})


@pytest.mark.parametrize("secret", ["wk_" + "a1-_" * 8, "tk_" + "Zz09" * 8])
@pytest.mark.parametrize("field", ["currency", "order_id", "status", "placed_at", "total"])
def test_a_rejected_order_with_a_secret_in_it_keeps_none_of_it(api: Api, secret: str, field: str) -> None:
    api.records.clear()
    broken = {**ORDER, "status": "no such status", field: secret}
    (result,) = api.post("/v1/orders", broken).json()["results"]
    assert result["status"] == "rejected"
    (letter,) = api.records
    assert secret[:11] not in json.dumps({name: value for name, value in letter.items() if name != "payload"})
    assert secret not in RING.open(LETTER, sealed_in(letter["payload"]))
