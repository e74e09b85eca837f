"""Sensors Analytics' dialect: what its SDKs send, read by the dialect and finished as an event."""

import base64
import gzip
import io
import json
import urllib.error
from contextlib import suppress
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensorsanalytics import sdk
from sensorsanalytics.sdk import SensorsAnalyticsIdentity as Identity

from cdp.errors import InvalidEvent
from serving.collect.dialects.pixel import PIXEL
from serving.collect.dialects.sensors import NOBODY, ROUTES, Sensors
from serving.collect.draft import Answer, Broken, Draft, Incoming, ItemDraft, Opened, RefusedError
from serving.collect.finish import Arrival, Finish
from tests.sealing import sealer

# seen on the wire; only the caller's path was replaced
PYTHON_TRACK = (
    b"data=H4sIAAAAAAACA42O0QqDMAxF%2FyXdoxTrUMHH%2FcYY0tmAYWpLm8mK%2BO%2BLG3vfS8i9ObnJBpwDQgcc7fCAAphmkaZt2qqqm7I01"
    b"bkAR4lpGbgnJ6g1woXoA0YmTNBtcJroLpOQefSLTA%2FdrxgTiezAaGN0Kf5LonVdwATdFSzcdmmPzf8TPv6MQh2vDN7hz3TIliQYZkuLUt%2B"
    b"aRh90yEq1ILdwxYWFuDwz7G%2FJfKBM%2BwAAAA%3D%3D&gzip=1"
)
NODE_DRY_RUN = (
    b"data_list=W3siX3RyYWNrX2lkIjo0NDUxNTA1NDMwLCJ0eXBlIjoidHJhY2siLCJldmVudCI6IlgiLCJ0aW1lIjoxNzk1MzkxNTM0OTQyLCJk"
    b"aXN0aW5jdF9pZCI6ImExIiwicHJvcGVydGllcyI6eyIkbGliIjoiTm9kZSIsIiRsaWJfdmVyc2lvbiI6IjEuMi42In0sImxpYiI6eyIkbGliIj"
    b"oiTm9kZSIsIiRsaWJfdmVyc2lvbiI6IjEuMi42IiwiJGxpYl9tZXRob2QiOiJjb2RlIiwiJGxpYl9kZXRhaWwiOiJtYWluIyNtYWluIyNzaG9w"
    b"LnB5IyM3In19XQ%3D%3D&gzip=0"
)
NODE_SIGNUP = (
    b"data_list=H4sIAAAAAAACA43OQQ6CMBAF0LsMLgmhoqAcwo1xZQypMMGJ0DbtSEIId7eFjS5M3DTp%2B78zvU5QsZX1s6IGykOWiVQUu0MRA4"
    b"8GoYQ1dNSql4EYcEDFnjdnL5cgTL3vieK4z44izfJtnsfQkGNSNS9T4SV8T1tqScluJRnIWG3QMqGDcoJNR3efnHSDPgu3akDrSCuvItkmeWBp"
    b"zBenMMewvPx3QuAe%2BaHDP%2BqPboMsqfPYS1JRtJ7uoU1ixigqfmyfb2%2F7dpguRAEAAA%3D%3D&gzip=1"
)

FINISH = Finish("events", "items", 262_144, sealer)
ARRIVAL = Arrival("shop", 1_795_391_017_000_000)


def request(target: str, body: bytes = b"", headers: dict[str, str] | None = None, method: str = "") -> Incoming:
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Incoming(method or ("POST" if body else "GET"), url.path, query, headers or {}, "", body)


def take(incoming: Incoming) -> tuple[Opened, list[Any], Answer]:
    """What the endpoint does: open, read each, finish each, answer."""
    dialect = ROUTES[incoming.path]
    opened = dialect.open(incoming)
    drafts: list[Any] = []
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


def one(**message: Any) -> Draft:
    draft = Sensors().read({"type": "track", "event": "E", "distinct_id": "a1", **message}, Opened("", []))
    assert isinstance(draft, Draft)
    return draft


def ids(draft: Draft) -> set[tuple[str, Any]]:
    return {(type_, value) for type_, value, _ in draft.ids if value not in (None, "")}


def packed(value: Any, *, zipped: bool = True) -> str:
    plain = json.dumps(value).encode()
    return quote(base64.b64encode(gzip.compress(plain) if zipped else plain).decode(), safe="")


class Wire:
    """Stands in for the network of the vendor's package: hands its requests to the dialect, and its answers back."""

    def __init__(self) -> None:
        self.drafts: list[Any] = []
        self.opened: list[Opened] = []

    def urlopen(self, sent: Any, timeout: float | None = None) -> Any:
        url = urlsplit(sent.full_url)
        headers = {name.lower(): value for name, value in sent.header_items()}
        opened, drafts, answer = take(request(f"{url.path}?{url.query}", sent.data, headers))
        self.opened.append(opened)
        self.drafts += drafts
        if answer.status >= 300:
            raise urllib.error.HTTPError(sent.full_url, answer.status, "", Message(), io.BytesIO(answer.body))
        reply = io.BytesIO(answer.body)
        reply.code = answer.status  # type: ignore[attr-defined]
        return reply


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(sdk.urllib2, "urlopen", wire.urlopen)
    return wire


HOST = "http://collector/sa?project=shop&token=wk_1"


def test_the_bytes_that_were_seen_on_the_wire() -> None:
    opened, [buy], answer = take(request("/sa?project=shop&token=tk", PYTHON_TRACK))
    assert (opened.key, opened.app, answer.status) == ("tk", "shop", 200)
    assert (buy.kind, buy.event, buy.timestamp) == ("track", "Buy", 1767225600123)
    assert (buy.library, buy.version) == ("sensors-python", "1.11.0")
    opened, [event], _ = take(request("/debug?project=shop", NODE_DRY_RUN, {"dry-run": "true"}))
    assert opened.dry_run and event.event == "X"
    _, [signup], _ = take(request("/sa/?project=shop", NODE_SIGNUP))
    assert ids(signup) == {("user_id", "u1"), ("anonymous_id", "a1"), ("anonymous_id", "u1")}


def test_every_call_of_the_python_package(wire: Wire) -> None:
    consumer = sdk.BatchConsumer(HOST, 50)
    shop = sdk.SensorsAnalytics(consumer, "shop")
    shop.track("a1", "view_item", {"price": 1.5, "$utm_source": "wx", "$ip": "1.2.3.4"})
    shop.track_signup("u1", "a1")
    shop.bind(Identity(Identity.LOGIN_ID, "u1"), Identity(Identity.MOBILE, "13800000000"))
    shop.unbind(Identity(Identity.MOBILE, "13800000000"))
    shop.track_by_id("E", {}, Identity(Identity.EMAIL, "a@b.cn"), Identity("$identity_mp_openid", "oX"))
    shop.profile_set("u1", {"$name": "Li", "phone": "13800000000"}, is_login_id=True)
    shop.profile_set_once("u1", {"first": "x"}, is_login_id=True)
    shop.profile_increment("u1", {"n": 2}, is_login_id=True)
    shop.profile_append("u1", {"l": ["a"]}, is_login_id=True)
    shop.profile_unset("u1", ["x"], is_login_id=True)
    shop.profile_delete("u1", is_login_id=True)
    shop.item_set("sku", "p1", {"price": 3})
    shop.item_delete("sku", "p1")
    shop.flush()
    kinds = [(draft.kind, draft.event) for draft in wire.drafts if isinstance(draft, Draft)]
    assert kinds == [
        ("track", "view_item"),
        ("track", "$SignUp"),
        ("track", "$BindID"),
        ("unbind", "$UnbindID"),
        ("track", "E"),
        ("identify", ""),
        ("profile", "set_once"),
        ("profile", "increment"),
        ("profile", "append"),
        ("profile", "unset"),
        ("profile", "delete"),
    ]
    view, _, bind, unbind, by_id, identify = wire.drafts[:6]
    assert view.context["campaign"] == {"source": "wx"} and view.context["ip"] == "1.2.3.4"
    assert view.properties["$utm_source"] == "wx"
    assert ids(bind) == {("user_id", "u1"), ("phone", "13800000000")}
    assert ids(unbind) == {("phone", "13800000000")}
    assert ids(by_id) == {("email", "a@b.cn"), ("wechat_openid", "oX")}
    assert ids(identify) == {("user_id", "u1"), ("phone", "13800000000")}
    assert identify.traits == {"name": "Li", "$name": "Li", "phone": "13800000000"}
    assert [draft.traits for draft in wire.drafts[6:11]] == [{"first": "x"}, {"n": 2}, {"l": ["a"]}, {"x": True}, {}]
    items = wire.drafts[11:]
    assert [(item.item_type, item.item_id, item.operation) for item in items] == [("sku", "p1", "set"), ("sku", "p1", "delete")]
    assert all(isinstance(item, ItemDraft) for item in items)


def test_an_order_by_the_python_package(wire: Wire) -> None:
    lines = ['{"sku": "p1", "price": 9.5, "quantity": 2}']
    order = {"order_id": "o-1", "total": 19, "currency": "CNY", "products": lines}
    sdk.SensorsAnalytics(sdk.DefaultConsumer(HOST)).track("u1", "OrderCompleted", order, is_login_id=True)
    [draft] = wire.drafts
    assert (draft.event, draft.context["sensors"]) == ("Order Completed", {"event": "OrderCompleted"})
    assert draft.properties["products"] == [{"sku": "p1", "price": 9.5, "quantity": 2}]
    assert one(event="OrderCompleted").event == "OrderCompleted"  # without a number it is no order


def test_one_message_with_nan_does_not_take_its_batch_with_it(wire: Wire) -> None:
    shop = sdk.SensorsAnalytics(sdk.BatchConsumer(HOST, 50))
    shop.track("a1", "Good", {})
    shop.track("a1", "Bad", {"v": float("nan")})
    shop.flush()
    assert [draft.event for draft in wire.drafts] == ["Good"]


def test_debug_mode_says_what_is_wrong(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    consumer = sdk.DebugConsumer(HOST, False)
    sdk.SensorsAnalytics(consumer).track("a1", "Fine", {})
    assert wire.opened[-1].dry_run and "valid message" in capsys.readouterr().out
    with pytest.raises(sdk.SensorsAnalyticsDebugException):
        consumer.send('{"type": "track", "event": "E", "properties": [1]}')
    assert "properties must be an object" in capsys.readouterr().out
    sdk.SensorsAnalytics(sdk.DebugConsumer(HOST, True)).track("a1", "Fine", {})
    assert not wire.opened[-1].dry_run


def browser(**more: Any) -> dict[str, Any]:
    return {
        "identities": {"$identity_cookie_id": "c1", "$identity_login_id": "u1"},
        "distinct_id": "u1",
        "login_id": "u1",
        "anonymous_id": "c1",
        "lib": {"$lib": "js", "$lib_method": "code", "$lib_version": "1.27.11"},
        "type": "track",
        "event": "$pageview",
        "time": 1767225600000,
        "_track_id": 12345,
        "_flush_time": 1767225600001,
        "properties": {
            "$title": "Home",
            "$url": "https://shop.cn/a?utm_source=x",
            "$referrer": "",
            "$screen_width": 100,
            "$latest_utm_source": "wx",
            "$is_first_day": True,
        },
        **more,
    }


def test_the_image_that_the_browser_asks_for() -> None:
    data = packed(browser(), zipped=False)
    opened, [page], answer = take(request(f"/sa.gif?project=shop&data={data}&ext=crc%3D-1"))
    assert answer is PIXEL and answer.content_type == "image/gif" and "no-store" in answer.headers[0][1]
    assert (page.kind, page.event, page.channel, page.sent_at) == ("page", "Home", "web", 1767225600001)
    assert page.context["page"] == {"url": "https://shop.cn/a?utm_source=x", "title": "Home", "path": "/a"}
    assert page.context["sensors"] == {"latest": {"utm_source": "wx"}}
    assert ids(page) == {("user_id", "u1"), ("anonymous_id", "c1")}
    assert opened.app == "shop"


def test_a_list_of_the_browser_does_not_say_when_it_was_sent() -> None:
    body = f"data_list={packed([browser()], zipped=False)}".encode()
    _, [page], answer = take(request("/sa?project=shop", body))
    assert (page.sent_at, answer.status) == (None, 200)
    _, [page], _ = take(request("/sa?project=shop", f"data={packed(browser())}".encode()))
    assert page.sent_at == 1767225600001


@pytest.mark.parametrize(
    "body", [b'{"type":"track","event":"E","distinct_id":"a"}', b' [{"type":"track","event":"E","distinct_id":"a"}]']
)
def test_plain_json_is_taken(body: bytes) -> None:
    _, [draft], _ = take(request("/sa", body))
    assert draft.event == "E"


def test_keys() -> None:
    body = b'{"type":"track","event":"E","distinct_id":"a","token":"wk_t","project":"p"}'
    opened = ROUTES["/sa"].open(request("/sa", body))
    assert (opened.key, opened.app, opened.messages[0].get("token")) == ("wk_t", "p", None)
    assert ROUTES["/sa"].open(request("/sa?project=wk_2", b"[{}]")).key == "wk_2"


def test_a_message_sent_again_has_the_same_id() -> None:
    first = one(_track_id=1, _flush_time=5, time=9)
    assert first.message_id == one(time=9, _flush_time=6, _track_id=1).message_id
    assert first.message_id != one(time=9, _track_id=2).message_id


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({}, {("anonymous_id", "a1")}),
        ({"properties": {"$is_login_id": True}}, {("user_id", "a1")}),
        ({"distinct_id": "$identity_mobile+138"}, {("phone", "138")}),
        ({"distinct_id": "no+7", "identities": {"no": "7"}}, {("no", "7")}),
        (
            {"distinct_id": "d", "login_id": "no+7", "anonymous_id": "d", "identities": {"no": "7"}},
            {("no", "7"), ("anonymous_id", "d")},
        ),
        ({"identities": {"$identity_email": ["a@b", "c@d"]}, "distinct_id": "a@b"}, {("email", "a@b"), ("email", "c@d")}),
        ({"identities": {"$identity_idfa": NOBODY[-1], "$identity_idfv": "v"}, "distinct_id": "v"}, {("device_id", "v")}),
        ({"identities": {"会员 no": "7"}, "distinct_id": 7}, {("no", "7")}),
    ],
)
def test_who_it_was(message: dict[str, Any], expected: set[tuple[str, Any]]) -> None:
    assert ids(one(**message)) == expected


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        ({"type": None}, "missing_type", "type"),
        ({"type": "nonsense"}, "unsupported_type", "type"),
        ({"event": None}, "missing_event", "event"),
        ({"event": 5}, "wrong_type", "event"),
        ({"properties": ["x"]}, "wrong_type", "properties"),
        ({"identities": "x"}, "wrong_type", "identities"),
        ({"distinct_id": None}, "missing_identifier", "distinct_id"),
        ({"identities": {"会员": "1"}}, "invalid_identifier", "identities.会员"),
        ({"type": "track_id_unbind", "distinct_id": ""}, "missing_identifier", "identities"),
        ({"type": "item_set", "item_id": "1"}, "invalid_item", "item_type"),
        ({"type": "item_set", "item_type": "sku"}, "invalid_item", "item_id"),
    ],
)
def test_errors_name_the_field(message: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        one(**message)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(
    "body", [b"x=1", b"data=%%%", b"data=bm90IGpzb24", b"data=H4sIAAAAAAAA", b"{", b"data_list=" + packed(5).encode(), b"[]"]
)
def test_requests_that_are_none(body: bytes) -> None:
    with pytest.raises(RefusedError):
        ROUTES["/sa"].open(request("/sa", body))


def test_a_bomb_is_refused() -> None:
    body = b"data=" + quote(base64.b64encode(gzip.compress(b" " * 50_000_000)).decode()).encode()
    with pytest.raises(RefusedError) as caught:
        ROUTES["/sa"].open(request("/sa", body))
    assert caught.value.status == 413


def test_an_encrypted_message_is_a_dead_letter() -> None:
    [broken] = ROUTES["/sa"].open(request("/sa", b'{"ekey":"x","pkv":1,"payload":"y"}')).messages
    assert isinstance(broken, Broken) and broken.error.reason == "encrypted"


def test_a_dead_letter_is_reported() -> None:
    _, _, answer = take(request("/sa", b'[{"type":"track","event":"E","distinct_id":"a"},{"type":"track"}, 5]'))
    said = json.loads(answer.body)
    assert (said["accepted"], [letter["index"] for letter in said["dead_lettered"]]) == (1, [1, 2])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "type",
        "event",
        "distinct_id",
        "original_id",
        "login_id",
        "identities",
        "properties",
        "lib",
        "time",
        "item_type",
        "item_id",
        "_flush_time",
    ]
)
TYPED = st.sampled_from(["track", "track_signup", "track_id_bind", "track_id_unbind", "profile_set", "profile_unset", "item_set"])


@given(
    st.dictionaries(NAMES, JSON | st.dictionaries(st.sampled_from(["$identity_mobile", "$url", "$title", "x"]), JSON)),
    TYPED,
    JSON,
)
def test_read_raises_nothing_but_what_it_may(message: dict[str, Any], type_: str, junk: Any) -> None:
    for given_ in (message, {**message, "type": type_}, junk):
        with suppress(InvalidEvent):
            FINISH(Sensors().read(given_, Opened("", [])), ARRIVAL)


@given(st.binary(max_size=200), JSON, st.sampled_from(sorted(ROUTES)), st.sampled_from(["GET", "POST"]))
def test_open_raises_nothing_but_what_it_may(junk: bytes, value: Any, path: str, method: str) -> None:
    bodies = [
        junk,
        json.dumps(value).encode(),
        b"data=" + packed(value).encode(),
        b"data_list=" + packed([value, value]).encode(),
    ]
    for body in bodies:
        with suppress(RefusedError):
            take(request(f"{path}?data={body[5:].decode('latin-1')}", body, method=method))
