"""An order is never lost for its contact: its number is among its identifiers, the last of them, in every dialect."""

import json
from typing import Any

import pytest

from cdp.errors import InvalidEvent
from cdp.events import ORDER_EVENTS, Identifier
from serving.collect.dialects.jitsu import Jitsu
from serving.collect.dialects.mparticle import MParticle
from serving.collect.dialects.posthog import PostHog
from serving.collect.dialects.segment import Segment
from serving.collect.dialects.sensors import Sensors
from serving.collect.dialects.snowplow import Snowplow
from serving.collect.draft import Dialect, Draft, Opened
from serving.collect.finish import Arrival
from serving.collect.quick import Quick
from tests.sealing import opened
from tests.unit.dialect_requests import NOW, finish, incoming, taken

ARRIVAL = Arrival("shop", NOW)
NUMBER = Identifier("order_id", "o-1")
ORDER = {"order_id": "o-1", "total": 5}


def mparticle(**identities: Any) -> dict[str, Any]:
    data = {"product_action": {"action": "purchase", "transaction_id": "o-1", "total_amount": 5}, "event_id": 1}
    return {"events": [{"event_type": "commerce_event", "data": data}], "user_identities": identities}


# What a guest's order looks like, and the same with a contact.
DIALECTS: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any], Identifier]] = {
    "segment": (
        Segment("track"), {"event": "Order Completed", "properties": ORDER}, {"userId": "0"}, Identifier("user_id", "0"),
    ),
    "jitsu": (
        Jitsu("track"), {"type": "track", "event": "Order Completed", "properties": ORDER}, {"anonymousId": "null"},
        Identifier("anonymous_id", "null"),
    ),
    "posthog": (
        PostHog(), {"event": "Order Completed", "properties": ORDER}, {"distinct_id": "buyer"}, Identifier("user_id", "buyer"),
    ),
    "sensors": (
        Sensors(), {"type": "track", "event": "OrderCompleted", "properties": ORDER}, {"login_id": "0"},
        Identifier("user_id", "0"),
    ),
    "snowplow": (Snowplow(), {"e": "tr", "tr_id": "o-1", "tr_tt": "5"}, {"uid": "null"}, Identifier("user_id", "null")),
    "mparticle": (
        MParticle(many=False), mparticle(), {"user_identities": {"customer_id": "0"}}, Identifier("user_id", "0"),
    ),
}  # fmt: skip


def ids(draft: Any) -> list[Identifier]:
    return opened(finish(draft, ARRIVAL).value).ids


@pytest.mark.parametrize("number", ["undefined", "null", "{{order.id}}", "(null)", "[object Object]"])
@pytest.mark.parametrize("event", ["Order Completed", "Order Refunded", "Order Cancelled"])
def test_orders_without_a_number_are_not_one_order(number: Any, event: str) -> None:
    """Of two orders of one customer that are both called undefined the later one would replace the earlier."""
    message = {"event": event, "userId": "u", "properties": {"order_id": number, "total": 5}}
    _, drafts, refused, _ = taken(Segment("track"), incoming("POST", "/v1/track", message))
    assert drafts == []
    assert [(error.reason, error.field) for _, error in refused] == [("missing_order_id", "properties.order_id")]
    message["properties"]["order_id"] = "null-17"
    assert len(taken(Segment("track"), incoming("POST", "/v1/track", message))[1]) == 1


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_tells_the_orders_number_last(name: str) -> None:
    dialect, guest, contact, identifier = DIALECTS[name]
    said = Opened("", [])
    assert ids(dialect.read(guest, said)) == [NUMBER]
    found = ids(dialect.read(guest | contact, said))
    assert (identifier in found, found[-1], found.count(NUMBER)) == (True, NUMBER, 1)


@pytest.mark.parametrize("event", sorted(ORDER_EVENTS))
def test_every_order_event_has_it_also_on_the_hot_path(event: str) -> None:
    request = {"type": "track", "messageId": "m", "userId": "u", "event": event, "properties": ORDER}
    segment = Segment("")
    batch = segment.open(_batch(request))
    (message,) = batch.messages
    assert Quick(finish).of("", batch, ARRIVAL)(message) is None  # it is left to the general way
    assert ids(segment.read(message, batch)) == [Identifier("user_id", "u"), NUMBER]


def _batch(*messages: dict[str, Any]) -> Any:
    from tests.unit.dialect_requests import incoming

    return incoming("POST", "/v1/batch", {"batch": messages})


@pytest.mark.parametrize("order_id", [None, "", "  ", "x" * 513, "a\0b", True, {}, []])
def test_what_cannot_be_a_number_is_none(order_id: Any) -> None:
    draft = Draft("track", "Order Completed", ids=[("user_id", "u", "userId")], properties={"order_id": order_id})
    assert ids(draft) == [Identifier("user_id", "u")]


def test_pages_and_other_events_have_none() -> None:
    for kind, event in (("page", "Order Completed"), ("track", "Order Viewed")):
        assert ids(Draft(kind, event, ids=[("user_id", "u", "userId")], properties=ORDER)) == [Identifier("user_id", "u")]  # type: ignore[arg-type]


def test_the_strongest_contact_chooses_the_partition() -> None:
    contacts = [("anonymous_id", "a", "anonymousId"), ("order_id", "o-1", "context.externalIds")]
    assert finish(Draft("track", "Order Completed", ids=contacts, properties=ORDER), ARRIVAL).key == "anonymous_id:a"
    assert finish(Draft("track", "Order Completed", properties=ORDER), ARRIVAL).key == "order_id:o-1"


UNREADABLE = [
    ({"userId": {"id": 7}}, "userId"), ({"userId": ["u"]}, "userId"), ({"userId": "x" * 513}, "userId"),
    ({"anonymousId": True}, "anonymousId"), ({"context": {"externalIds": ["a"]}}, "context.externalIds"),
    ({"context": {"externalIds": {"type": "a b", "id": "1"}}}, "context.externalIds"),
    ({"context": {"externalIds": "a"}}, "context.externalIds"),
    ({"context": {"externalIds": [{"type": "phone", "id": {"n": 1}}]}}, "context.externalIds"),
]  # fmt: skip


@pytest.mark.parametrize(("contact", "field"), UNREADABLE)
def test_an_identifier_that_cannot_be_read_never_costs_the_order(contact: dict[str, Any], field: str) -> None:
    track = Segment("track")
    event = opened(
        finish(track.read({"event": "Order Completed", "properties": ORDER, **contact}, Opened("", [])), ARRIVAL).value
    )
    assert event.ids == [NUMBER]
    assert json.loads(bytes(event.context))["ids_left_out"] == [field]
    for other in ({"event": "Product Viewed"}, {"event": "Order Completed", "properties": {"total": 5}}):
        with pytest.raises(InvalidEvent) as caught:
            finish(track.read({**other, **contact}, Opened("", [])), ARRIVAL)
        assert caught.value.field == field
