"""Snowplow's dialect: what its trackers send, read by the dialect and finished as an event."""

import base64
import json
import warnings
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snowplow_tracker import Emitter, SelfDescribingJson, Subject, Tracker
from snowplow_tracker.events import PagePing, PageView, ScreenView, SelfDescribing, StructuredEvent

from cdp.errors import InvalidEvent
from cdp.orders import parse_order
from serving.collect.dialects.pixel import PIXEL
from serving.collect.dialects.snowplow import POST_PATH, ROUTES, Snowplow, title
from serving.collect.draft import Answer, Broken, Draft, Incoming, Opened, RefusedError
from serving.collect.finish import Arrival, Finish, text
from tests.sealing import sealer

FINISH = Finish("events", "items", 262_144, sealer)
ARRIVAL = Arrival("shop", 1_795_391_017_000_000)
SHOP = "iglu:com.snowplowanalytics.snowplow.ecommerce"

# seen on the wire from @snowplow/node-tracker 4.8.0
NODE_PAGE = (
    b'{"schema":"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4","data":[{"e":"pv","url":"http://a/b",'
    b'"page":"T","eid":"bbd2d6cc-8686-4337-9269-e35d3df46109","p":"srv","tv":"node-4.8.0","tna":"n","aid":"shop","uid":"u1",'
    b'"dtm":"1795391036279","stm":"1795391036311"}]}'
)
NODE_PIXEL = (
    "/i?stm=1795391036282&e=pv&url=http%3A%2F%2Fa%2Fb&page=T&eid=9dee031b-38a9-4f7d-887f-b47695b6e01f&p=srv&tv=node-4.8.0"
    "&tna=n&aid=shop&dtm=1795391036280"
)


def request(target: str, body: bytes = b"", method: str = "") -> Incoming:
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Incoming(method or ("POST" if body else "GET"), url.path, query, {}, "", body)


def take(incoming: Incoming) -> tuple[Opened, list[Draft], Answer]:
    """What the endpoint does: open, read each, finish each, answer."""
    dialect = ROUTES[incoming.path]
    opened = dialect.open(incoming)
    drafts: list[Draft] = []
    refused: list[tuple[int, InvalidEvent]] = []
    for index, message in enumerate(opened.messages):
        try:
            if isinstance(message, Broken):
                raise message.error
            drafts.append(dialect.read(message, opened))
            FINISH(drafts[-1], ARRIVAL)
        except InvalidEvent as error:
            refused.append((index, error))
    return opened, drafts, dialect.answer(opened, refused)


class Session:
    """Stands in for the network of the vendor's package."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []

    def post(self, url: str, data: str, **_: Any) -> Any:
        _, drafts, answer = take(request(urlsplit(url).path, data.encode()))
        self.drafts += drafts
        return SimpleNamespace(status_code=answer.status)

    def get(self, url: str, params: dict[str, Any], **_: Any) -> Any:
        _, drafts, answer = take(request(f"{urlsplit(url).path}?{urlencode(params)}"))
        self.drafts += drafts
        return SimpleNamespace(status_code=answer.status)


@pytest.fixture(params=[("post", True), ("post", False), ("get", True), ("get", False)])
def tracker(request: pytest.FixtureRequest) -> tuple[Tracker, Session]:
    method, encoded = request.param
    session = Session()
    emitter = Emitter("collector", protocol="http", method=method, session=session, batch_size=50 if method == "post" else 1)
    subject = Subject()
    subject.set_platform("mob").set_user_id("u1").set_lang("zh-CN").set_timezone("Asia/Shanghai").set_ip_address("1.2.3.4")
    subject.set_useragent("UA").set_domain_user_id("d1").set_network_user_id("n1").set_screen_resolution(100, 200)
    subject.set_domain_session_id("s1").set_domain_session_index(3)
    return Tracker("ns", emitter, subject, app_id="shop", encode_base64=encoded), session


def ids(draft: Draft) -> set[tuple[str, Any]]:
    return {(type_, value) for type_, value, _ in draft.ids}


def read(**message: Any) -> Draft:
    return Snowplow().read({"uid": "u1", **message}, Opened("", []))


def unstruct(uri: str, data: Any, *entities: tuple[str, Any]) -> Draft:
    """A self-describing event as a tracker encodes it."""
    event = {
        "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
        "data": {"schema": uri, "data": data},
    }
    contexts = {
        "schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1",
        "data": [{"schema": entity, "data": value} for entity, value in entities],
    }
    encoded = base64.urlsafe_b64encode(json.dumps(event).encode()).decode().rstrip("=")
    return read(e="ue", ue_px=encoded, co=json.dumps(contexts)) if entities else read(e="ue", ue_px=encoded)


def action(type_: str, *entities: tuple[str, Any], **data: Any) -> Draft:
    named = [(f"{SHOP}/{name}/jsonschema/1-0-0", value) for name, value in entities]
    return unstruct(f"{SHOP}/snowplow_ecommerce_action/jsonschema/1-0-2", {"type": type_, **data}, *named)


def test_the_bytes_that_were_seen_on_the_wire() -> None:
    opened, [page], answer = take(request(POST_PATH, NODE_PAGE))
    assert (opened.app, opened.key, answer.body, answer.status) == ("shop", "", b"ok", 200)
    assert (page.kind, page.event, page.message_id) == ("page", "T", "bbd2d6cc-8686-4337-9269-e35d3df46109")
    assert (page.timestamp, page.sent_at, page.corrected) == (1795391036279, 1795391036311, False)
    assert (page.library, page.version, page.channel) == ("snowplow-node", "4.8.0", "srv")
    opened, [page], answer = take(request(NODE_PIXEL))
    assert (page.kind, opened.app, answer) == ("page", "shop", PIXEL)


def test_every_event_of_the_python_package(tracker: tuple[Tracker, Session]) -> None:
    snowplow, session = tracker
    kind = SelfDescribingJson("iglu:com.acme/user_type/jsonschema/1-0-0", {"名": "中"})
    snowplow.track(PageView("http://a/b?utm_source=x", "T", "http://r", context=[kind]))
    snowplow.track(PagePing("http://a/b", "T", min_x=1))
    snowplow.track(StructuredEvent("cat", "act", "lab", "prop", 1.5, true_timestamp=1767225600123))
    snowplow.track(SelfDescribing(SelfDescribingJson("iglu:com.acme/viewed_thing/jsonschema/1-0-0", {"a": 1})))
    snowplow.track(ScreenView("00000000-0000-4000-8000-000000000000", "Home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snowplow.track_add_to_cart("p1", 2, unit_price=3.5, currency="CNY")
        snowplow.track_site_search(["red", "shoe"])
        snowplow.track_link_click("http://l")
    snowplow.flush()
    drafts = session.drafts
    assert [(draft.kind, draft.event) for draft in drafts] == [
        ("page", "T"),
        ("track", "Page Ping"),
        ("track", "act"),
        ("track", "Viewed Thing"),
        ("screen", "Home"),
        ("track", "Product Added"),
        ("track", "Products Searched"),
        ("track", "Link Click"),
    ]
    for draft in drafts:
        assert ids(draft) == {("user_id", "u1"), ("anonymous_id", "d1"), ("cookie", "n1")}
        assert (draft.channel, draft.library, draft.version) == ("app", "snowplow-py", "1.1.0")
        assert draft.message_id and isinstance(draft.sent_at, int)
    page, ping, structured, own, _, added, search, _ = drafts
    context = page.context
    assert context["page"] == {
        "url": "http://a/b?utm_source=x",
        "title": "T",
        "referrer": "http://r",
        "path": "/b",
        "search": "?utm_source=x",
    }
    assert (context["userAgent"], context["ip"], context["locale"], context["timezone"]) == (
        "UA",
        "1.2.3.4",
        "zh-CN",
        "Asia/Shanghai",
    )
    assert context["screen"] == {"width": 100, "height": 200}
    assert context["snowplow"]["session"] == {"id": "s1", "index": 3}
    assert context["snowplow"]["entities"] == {"user_type": [{"名": "中"}]}
    assert ping.properties["min_x"] == 1
    assert structured.properties == {"category": "cat", "action": "act", "label": "lab", "property": "prop", "value": 1.5}
    assert (structured.timestamp, structured.corrected) == (1767225600123, True)
    assert own.properties == {"a": 1} and own.context["snowplow"]["schema"] == "iglu:com.acme/viewed_thing/jsonschema/1-0-0"
    assert added.properties == {"sku": "p1", "quantity": 2, "price": 3.5, "currency": "CNY"}
    assert search.properties["query"] == "red shoe"


def test_a_transaction_of_the_python_package_is_one_order(tracker: tuple[Tracker, Session]) -> None:
    snowplow, session = tracker
    lines = [{"sku": "p1", "price": 9.5, "quantity": 2}, {"sku": "p2", "price": 1, "quantity": 1}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snowplow.track_ecommerce_transaction("o-1", 20, currency="CNY", items=lines)
    snowplow.flush()
    assert [draft.event for draft in session.drafts] == ["Order Completed", "Order Item", "Order Item"]
    order = parse_order("Order Completed", json.dumps(session.drafts[0].properties).encode())
    assert (order.order_id, order.amount, order.currency) == ("o-1", 200_000, "CNY")
    if len(order.lines) == 2:  # they came in one request
        assert [(line.sku, line.amount) for line in order.lines] == [("p1", 190_000), ("p2", 10_000)]
    assert session.drafts[1].properties["order_id"] == "o-1" and session.drafts[1].properties["sku"] == "p1"


def test_orders_and_refunds() -> None:
    product = ("product", {"id": "p1", "category": "c", "price": 10, "currency": "CNY", "quantity": 2})
    order = action("transaction", ("transaction", {"transaction_id": "o-2", "revenue": 20, "currency": "CNY"}), product)
    assert order.event == "Order Completed"
    parsed = parse_order(order.event, json.dumps(order.properties).encode())
    assert (parsed.order_id, parsed.amount, parsed.currency, parsed.lines[0].sku) == ("o-2", 200_000, "CNY", "p1")
    refund = action("refund", ("refund", {"transaction_id": "o-2", "refund_amount": 10, "currency": "CNY"}))
    assert refund.event == "Order Refunded"
    assert parse_order(refund.event, json.dumps(refund.properties).encode()).amount == -100_000


def test_other_actions_of_the_shop() -> None:
    product = {"id": "p1", "category": "c", "price": 10, "currency": "CNY"}
    view = action("product_view", ("product", product))
    assert (view.event, view.properties["product_id"], view.properties["price"]) == ("Product Viewed", "p1", 10)
    added = action("add_to_cart", ("product", product), ("cart", {"total_value": 30, "currency": "CNY"}))
    assert (added.event, added.properties["cart_value"], added.properties["product_id"]) == ("Product Added", 30, "p1")
    listed = action("list_view", ("product", product), ("product", {"id": "p2"}), name="sale")
    assert (listed.event, listed.properties["list"], len(listed.properties["products"])) == ("Product List Viewed", "sale", 2)
    assert action("promo_click", ("promotion", {"id": "x"})).properties["promotion_id"] == "x"
    assert action("checkout_step", ("checkout_step", {"step": 2})).properties["step"] == 2
    assert action("trns_error").event == "Transaction Error"


def test_entities_say_who_and_where() -> None:
    mobile = {
        "osType": "iOS",
        "osVersion": "17",
        "deviceModel": "X",
        "appleIdfv": "v",
        "appleIdfa": "00000000-0000-0000-0000-000000000000",
    }
    draft = unstruct(
        "iglu:com.acme/e/jsonschema/1-0-0",
        {},
        ("iglu:com.snowplowanalytics.snowplow/mobile_context/jsonschema/1-0-3", mobile),
        ("iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2", {"userId": "d9", "sessionId": "s"}),
        ("iglu:com.snowplowanalytics.snowplow/geolocation_context/jsonschema/1-1-0", {"latitude": 1.0, "longitude": 2.0}),
        ("iglu:com.snowplowanalytics.mobile/application/jsonschema/1-0-0", {"version": "1", "build": "2"}),
        ("iglu:com.snowplowanalytics.snowplow/gdpr/jsonschema/1-0-0", {"basisForProcessing": "consent"}),
        (f"{SHOP}/user/jsonschema/1-0-0", {"id": "u1", "email": "a@b.cn"}),
    )
    assert ids(draft) == {("user_id", "u1"), ("device_id", "v"), ("anonymous_id", "d9"), ("email", "a@b.cn")}
    context = draft.context
    assert (context["os"], context["device"]) == ({"name": "iOS", "version": "17"}, {"model": "X", "id": "v"})
    assert (context["app"], context["location"]["latitude"]) == ({"version": "1", "build": "2"}, 1.0)
    assert context["consent"] == {"gdpr": {"basisForProcessing": "consent"}}
    assert context["snowplow"]["session"] == {"id": "s", "index": None}


def test_consent() -> None:
    uri = "iglu:com.snowplowanalytics.snowplow/consent_preferences/jsonschema/1-0-0"
    given_ = unstruct(uri, {"eventType": "allow_selected", "consentScopes": ["ads"]})
    assert given_.context["consent"] == {"categoryPreferences": {"ads": True}}
    old = "iglu:com.snowplowanalytics.snowplow/consent_withdrawn/jsonschema/1-0-0"
    assert unstruct(old, {"all": True}).context["consent"] == {"categoryPreferences": {"all": False}}


def test_keys() -> None:
    assert ROUTES["/i"].open(request("/i?e=pv&aid=wk_9")).key == "wk_9"
    opened = ROUTES["/i/"].open(request("/i?e=pv&aid=shop&key=wk_1"))
    assert (opened.key, opened.app, opened.messages) == ("wk_1", "shop", [{"e": "pv", "aid": "shop"}])


@pytest.mark.parametrize(
    ("name", "expected"), [("video_started", "Video Started"), ("videoStarted", "Video Started"), ("é", "é"), ("A", "A")]
)
def test_titles(name: str, expected: str) -> None:
    assert title(name) in (expected, expected.upper())


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        ({}, "missing_type", "e"),
        ({"e": "zz"}, "unsupported_type", "e"),
        ({"e": "se"}, "missing_event", "se_ac"),
        ({"e": "ue"}, "wrong_type", "ue_pr"),
        ({"e": "ue", "ue_px": "%%%"}, "invalid_base64", "ue_px"),
        ({"e": "ue", "ue_px": "bm90"}, "invalid_json", "ue_px"),
        ({"e": "ue", "ue_pr": '{"schema":"x","data":{}}'}, "invalid_schema", "ue_pr.schema"),
        ({"e": "pv", "co": "[]"}, "wrong_type", "co"),
        ({"e": "pv", "co": '{"schema":"iglu:a/contexts/jsonschema/1-0-0","data":{}}'}, "wrong_type", "co.data"),
        ({"e": "pv", "co": '{"schema":"iglu:a/contexts/jsonschema/1-0-0","data":[5]}'}, "wrong_type", "co.data[0]"),
    ],
)
def test_errors_name_the_field(message: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read(**message)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(
    "incoming", [request(POST_PATH, b"[]"), request(POST_PATH, b"{}"), request(POST_PATH, b"x"), request("/i")]
)
def test_requests_that_are_none(incoming: Incoming) -> None:
    with pytest.raises(RefusedError):
        ROUTES[incoming.path].open(incoming)


def test_a_dead_letter_is_reported() -> None:
    _, _, answer = take(request(POST_PATH, b'{"data":[{"e":"pp","uid":"u"},5,{"e":"pp","uid":NaN}]}'))
    said = json.loads(answer.body)
    assert (answer.status, said["accepted"]) == (200, 1)
    assert [(letter["index"], letter["reason"]) for letter in said["dead_lettered"]] == [(1, "wrong_type"), (2, "invalid_json")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "uid",
        "duid",
        "eid",
        "p",
        "tv",
        "url",
        "page",
        "dtm",
        "stm",
        "ttm",
        "res",
        "se_ac",
        "se_va",
        "tr_id",
        "ti_id",
        "tr_tt",
        "items",
        "aid",
    ]
)
SCHEMA = st.sampled_from(
    [
        "product",
        "refund",
        "transaction",
        "user",
        "client_session",
        "mobile_context",
        "web_page",
        "gdpr",
        "snowplow_ecommerce_action",
        "screen_view",
        "site_search",
        "consent_preferences",
        "consent_given",
        "unstruct_event",
        "add_to_cart",
    ]
)
FIELDS = st.dictionaries(st.sampled_from(["type", "id", "data", "schema", "userId", "terms", "name", "consentScopes"]), JSON)
DESCRIBED = st.builds(lambda name, data: {"schema": f"{SHOP}/{name}/jsonschema/1-0-0", "data": data}, SCHEMA, FIELDS | JSON)


KINDS = st.sampled_from(["pv", "pp", "se", "ue", "tr", "ti"])
PATHS, METHODS = st.sampled_from(sorted(ROUTES)), st.sampled_from(["GET", "POST"])


@given(
    st.dictionaries(NAMES, JSON),
    KINDS,
    DESCRIBED | JSON,
    st.lists(DESCRIBED) | JSON,
    JSON,
)
def test_read_raises_nothing_but_what_it_may(message: dict[str, Any], e: str, event: Any, entities: Any, junk: Any) -> None:
    contexts = {"schema": "iglu:a/contexts/jsonschema/1-0-0", "data": entities}
    for given_ in (
        junk,
        {**message, "e": junk},
        {**message, "e": e, "ue_pr": event, "co": contexts},
        {**message, "e": e, "ue_px": json.dumps(event)},
    ):
        with suppress(InvalidEvent):
            draft = Snowplow().read(given_, Opened("", []))
            assert text(draft.event) == draft.event


@given(st.binary(max_size=200), st.dictionaries(NAMES, JSON), JSON, PATHS, METHODS)
def test_open_raises_nothing_but_what_it_may(junk: bytes, event: Any, value: Any, path: str, method: str) -> None:
    events = [{**event, "e": "tr", "tr_id": "1"}, {**event, "e": "ti", "ti_id": "1"}, value]
    for body in (junk, json.dumps(value).encode(), json.dumps({"data": events}).encode()):
        with suppress(RefusedError):
            take(request(f"{path}?{junk.decode('latin-1')}", body, method=method))
