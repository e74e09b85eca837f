"""mParticle's dialect: batches as its documentation shows them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import InvalidEvent
from cdp.orders import parse_order
from serving.collect.dialects.mparticle import ACTIONS, ROUTES
from serving.collect.draft import Answer, Draft, Opened, RefusedError
from tests.unit.dialect_requests import bodies, ids_of, incoming, junk, never_raises, taken

AT = 1_795_377_600_000
PRODUCT = {
    "id": "sku-1",
    "name": "Shirt",
    "brand": "B",
    "category": "Tops",
    "price": 50.0,
    "quantity": 2,
    "custom_attributes": {"size": "L"},
}


def custom(**data: Any) -> dict[str, Any]:
    return {
        "event_type": "custom_event",
        "data": {"event_name": "Coupon Seen", "custom_event_type": "other", "timestamp_unixtime_ms": AT, **data},
    }


def commerce(action: str = "purchase", **more: Any) -> dict[str, Any]:
    asked = {"action": action, "transaction_id": "o-1", "total_amount": 100.0, "tax_amount": 9.5, "products": [PRODUCT], **more}
    return {
        "event_type": "commerce_event",
        "data": {"currency_code": "CNY", "timestamp_unixtime_ms": AT, "product_action": asked},
    }


def batch(*events: Any, **fields: Any) -> dict[str, Any]:
    return {
        "user_identities": {"customer_id": "u-1", "email": "a@b.cn"},
        "environment": "production",
        "events": list(events),
        **fields,
    }


def send(body: Any, target: str = "/v2/events") -> tuple[Opened, list[Draft], list[Any], Answer]:
    request = incoming("POST", target, body, {"Authorization": "Basic d2s6c2VjcmV0"})
    return taken(ROUTES[target], request)


def one(event: Any, **fields: Any) -> Draft:
    _, [draft], refused, _ = send(batch(event, **fields))
    assert not refused
    return draft


def test_a_batch() -> None:
    body = batch(
        custom(custom_attributes={"coupon": "c-1"}), commerce(),
        {"event_type": "screen_view", "data": {"screen_name": "Home", "event_id": 77}},
        mpid=123456789012345678, source_request_id="r-1", ip="1.2.3.4", timestamp_unixtime_ms=AT,
        user_attributes={"$FirstName": "Li", "$Mobile": "13800000000", "vip": True}, deleted_user_attributes=["old"],
        user_identities={"customer_id": "u-1", "email": "a@b.cn", "mobile_number": "13900000000", "other": "x-1"},
        device_info={
            "platform": "iOS", "os_version": "17.1", "device_manufacturer": "Apple", "locale_language": "zh",
            "locale_country": "CN", "screen_width": 390, "device_application_stamp": "das-1", "http_header_user_agent": "UA",
        },
        application_info={"application_name": "Shop", "application_version": "2.0"},
        consent_state={"gdpr": {"ads": {"consented": False}}}, attribution_info={"publisher": "baidu", "campaign": "c11"},
    )  # fmt: skip
    opened, drafts, refused, answer = send(body)
    assert (opened.key, refused, answer) == ("wk", [], Answer(b"", status=202))
    assert [(draft.kind, draft.event) for draft in drafts] == [
        ("identify", ""), ("profile", "unset"), ("track", "Coupon Seen"), ("track", "Order Completed"), ("screen", "Home"),
    ]  # fmt: skip
    assert [draft.message_id for draft in drafts] == ["r-1:user", "r-1:unset", "r-1:0", "r-1:1", "77"]
    person, gone, coupon, order, _ = drafts
    assert person.traits == {"first_name": "Li", "phone": "13800000000", "vip": True, "email": "a@b.cn"}
    assert gone.traits == {"old": True}
    for draft in drafts:
        assert ids_of(draft) == {
            "user_id": "u-1", "email": "a@b.cn", "phone": "13900000000", "other": "x-1", "mpid": 123456789012345678,
            "anonymous_id": "das-1",
        }  # fmt: skip
        assert draft.channel == "app"
    assert coupon.properties == {"event_type": "other", "coupon": "c-1"} and coupon.timestamp == AT
    assert order.context == {
        "device": {"manufacturer": "Apple", "type": "iOS", "id": "das-1"}, "app": {"name": "Shop", "version": "2.0"},
        "screen": {"width": 390}, "os": {"name": "iOS", "version": "17.1"}, "campaign": {"name": "c11", "source": "baidu"},
        "consent": {"gdpr": {"ads": {"consented": False}}},
        "mparticle": {"mpid": 123456789012345678, "environment": "production"},
        "ip": "1.2.3.4", "userAgent": "UA", "locale": "zh-CN",
    }  # fmt: skip


def test_orders() -> None:
    for action, amount in (("purchase", 1_000_000), ("refund", -1_000_000)):
        draft = one(commerce(action))
        order = parse_order(draft.event, json.dumps(draft.properties).encode())
        assert (order.order_id, order.amount, order.currency) == ("o-1", amount, "CNY")
        [line] = order.lines
        assert (line.sku, line.name, line.category, line.unit_price) == ("sku-1", "Shirt", "Tops", 500_000)
    guest = batch(commerce(), user_identities=None, device_info={"android_uuid": "d-1"})
    assert ids_of(send(guest)[1][0]) == {"anonymous_id": "d-1"}


@pytest.mark.parametrize(("action", "name"), list(ACTIONS.items()))
def test_product_actions(action: str, name: str) -> None:
    draft = one(commerce(action, transaction_id=None))
    assert draft.event == name
    assert draft.properties["products"][0] == {
        "size": "L", "product_id": "sku-1", "name": "Shirt", "brand": "B", "category": "Tops", "price": 50.0, "quantity": 2,
    }  # fmt: skip
    assert ("product_id" in draft.properties) is name.startswith("Product ")


def test_promotions_and_impressions() -> None:
    data = {"promotion_action": {"action": "view", "promotions": [{"id": "pr-1", "name": "11.11", "creative": "red"}]}}
    draft = one({"event_type": "commerce_event", "data": data})
    assert (draft.event, draft.properties["promotion_id"], draft.properties["creative"]) == ("Promotion Viewed", "pr-1", "red")
    shown = {"product_impressions": [{"product_impression_list": "search", "products": [PRODUCT]}]}
    draft = one({"event_type": "commerce_event", "data": shown})
    assert (draft.event, draft.properties["list"], len(draft.properties["products"])) == ("Product List Viewed", "search", 1)


@pytest.mark.parametrize(
    ("event", "kind", "name"),
    [
        ({"event_type": "session_start", "data": {"session_id": 5}}, "track", "Session Started"),
        ({"event_type": "session_end"}, "track", "Session Ended"),
        ({"event_type": "first_run"}, "track", "Application Installed"),
        (
            {"event_type": "application_state_transition", "data": {"application_transition_type": "application_background"}},
            "track", "Application Backgrounded",
        ),
        ({"event_type": "user_attribute_change", "data": {"user_attribute_name": "vip", "new": "yes"}}, "identify", ""),
        ({"event_type": "user_attribute_change", "data": {"user_attribute_name": "vip", "deleted": True}}, "profile", "unset"),
    ],
)  # fmt: skip
def test_other_events(event: Any, kind: str, name: str) -> None:
    draft = one(event)
    assert (draft.kind, draft.event) == (kind, name)


def test_ids_of_messages() -> None:
    assert one(custom(event_id=5)).message_id == "5"
    assert one(custom(source_message_id="s-1"), source_request_id="r").message_id == "s-1"
    assert one(custom(), source_request_id="r").message_id == "r:0"
    assert one(custom()).message_id == one(custom()).message_id != one(custom(event_name="X")).message_id
    assert one(custom(timestamp_unixtime_ms=None)).message_id == ""
    assert one(custom(timestamp_unixtime_ms=str(AT))).timestamp == AT
    assert one(custom(timestamp_unixtime_ms=None), timestamp_unixtime_ms=AT).timestamp == AT


def test_bulk() -> None:
    _, drafts, refused, answer = send([batch(custom()), batch({"event_type": "x"}), 5], "/v2/bulkevents")
    assert len(drafts) == 1 and [error.reason for _, error in refused] == ["unsupported_type", "wrong_type"]
    assert answer.status == 202
    assert [letter["index"] for letter in json.loads(answer.body)["dead_lettered"]] == [1, 2]
    with pytest.raises(RefusedError):
        send(batch(custom()), "/v2/bulkevents")


def test_a_message_can_be_read_again_by_itself() -> None:
    request = incoming("POST", "/v2/events", batch(custom(), custom(), source_request_id="r", user_attributes={"vip": 1}))
    opened = ROUTES["/v2/events"].open(request)
    again = [ROUTES["/v2/events"].open(incoming("POST", "/v2/events", message)).messages for message in opened.messages]
    assert again == [[message] for message in opened.messages]


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (batch(custom(), user_identities=None), "missing_identifier", "user_identities"),
        (batch(custom(event_name=None)), "missing_event", "events[0].data.event_name"),
        (batch({"data": {}}), "missing_type", "events[0].event_type"),
        (batch({"event_type": "dance"}), "unsupported_type", "events[0].event_type"),
        (batch({"event_type": "custom_event", "data": 5}), "wrong_type", "events[0].data"),
        (batch(5), "wrong_type", "events[0]"),
        (batch(commerce("dance")), "unsupported_type", "events[0].data.product_action.action"),
        (batch(commerce(products=[5])), "wrong_type", "events[0].data.product_action.products"),
        (batch({"event_type": "commerce_event", "data": {}}), "missing_event", "events[0].data.product_action"),
        (batch(custom(), device_info=5), "wrong_type", "device_info"),
        ({"events": 5}, "wrong_type", "events"),
        (batch(deleted_user_attributes="x"), "wrong_type", "deleted_user_attributes"),
        (batch(custom(), user_identities={"a b": "x"}), "invalid_identifier", "user_identities.a b"),
    ],
)
def test_what_cannot_be_used_is_named(body: Any, reason: str, field: str) -> None:
    _, drafts, [(_, error)], _ = send(body)
    assert not drafts and (error.reason, error.field) == (reason, field)


WORDS = (
    "events", "event_type", "data", "custom_event", "commerce_event", "screen_view", "product_action", "products", "action",
    "purchase", "user_identities", "user_attributes", "deleted_user_attributes", "device_info", "application_info",
    "consent_state", "mpid", "source_request_id", "event_id", "timestamp_unixtime_ms", "custom_attributes", "promotion_action",
    "product_impressions", "user_attribute_change", "user_attribute_name", "session_start", "customer_id", "platform",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(junk(WORDS), st.sampled_from(WORDS), st.sampled_from(sorted(ROUTES)))
def test_never_raises_anything_else(value: Any, name: str, path: str) -> None:
    data = {"event_name": "E", name: value}
    events = [custom(**{name: value}), {"event_type": "commerce_event", "data": data}, commerce(**{name: value}), value]
    for message in (value, batch(value), {**batch(*events), name: value}, [{**batch(*events), name: value}]):
        for body in bodies(message):
            never_raises(ROUTES[path], incoming("POST", path, body))


@settings(max_examples=150, deadline=None)
@given(junk(WORDS), st.sampled_from(WORDS))
def test_read_never_raises_anything_else(value: Any, name: str) -> None:
    for message in (value, batch(value), {**batch(custom(**{name: value})), name: value}, {**batch(), name: value}):
        try:
            ROUTES["/v2/events"].read(message, Opened("k", []))
        except InvalidEvent:
            continue
