"""PostHog's dialect: what its packages send, read as they mean it."""

import base64
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posthog import Posthog

from cdp.errors import InvalidEvent
from serving.collect.dialects import posthog
from serving.collect.dialects.posthog import ROUTES, PostHog, is_anonymous, static_answers
from serving.collect.draft import Answer, Draft, Opened, RefusedError
from serving.collect.finish import Arrival
from serving.collect.times import parse, skew_of
from tests.unit.dialect_requests import (
    NOW,
    bodies,
    captured,
    finish,
    ids_of,
    incoming,
    junk,
    never_raises,
    taken,
    taken_with_items,
)

VISITOR = "01a205a3-ab04-7cb8-875b-29134f84b5f8"
BATCH = ROUTES["/batch/"]
V1 = ROUTES["/i/v1/analytics/events"]


def event(**fields: Any) -> dict[str, Any]:
    return {"event": "Product Viewed", "distinct_id": "u-1", "uuid": "m-1", "timestamp": "2026-11-22T20:00:00Z", **fields}


def read(message: Any) -> Draft:
    draft = BATCH.read(message, Opened("k", []))
    assert isinstance(draft, Draft)
    return draft


def send(body: Any, target: str = "/batch/", method: str = "POST") -> tuple[Opened, list[Draft], list[Any], Answer]:
    request = incoming(method, target, body)
    return taken(ROUTES[request.path], request)


def test_browser() -> None:
    identify, events = captured("posthog_js")
    opened, drafts, refused, answer = taken(ROUTES["/e/"], identify)
    assert (opened.key, refused, answer.body) == ("wk_js", [], b'{"status":"Ok"}')
    member, once = drafts
    assert (member.kind, member.traits, member.library, member.version) == ("identify", {"email": "a@b.cn"}, "web", "1.449.2")
    assert ids_of(member)["user_id"] == "u-1" and ids_of(member)["email"] == "a@b.cn"
    assert posthog.is_anonymous(ids_of(member)["anonymous_id"], {})
    assert (once.kind, once.event, once.message_id) == ("profile", "set_once", f"{member.message_id}:set_once")
    assert once.traits["first"] == "x" and None not in once.traits.values()

    _, drafts, refused, _ = taken(ROUTES["/e/"], events)
    assert not refused
    assert [(draft.kind, draft.event) for draft in drafts] == [
        ("track", "Product Viewed"), ("track", "Order Completed"), ("identify", ""), ("profile", "set_once"), ("alias", ""),
        ("profile", "unset"),
    ]  # fmt: skip
    viewed, order, *_, unset = drafts
    assert list(ids_of(viewed)) == ["anonymous_id"] and ids_of(order) == {"user_id": "u-1"}
    assert viewed.properties["product_id"] == "p-9" and "token" not in viewed.properties
    assert viewed.context["page"] == {
        "url": "http://shop.cn/p/9?utm_source=baidu&utm_campaign=c11&gclid=G1", "path": "/p/9", "host": "shop.cn",
        "referrer": "https://www.baidu.com/s", "referring_domain": "www.baidu.com",
    }  # fmt: skip
    assert viewed.context["campaign"] == {"name": "c11", "source": "baidu"}
    assert viewed.context["userAgent"].startswith("Mozilla/5.0") and viewed.context["timezone"] == "UTC"
    assert viewed.channel == "web" and viewed.properties["gclid"] == "G1"
    (group,) = taken_with_items(ROUTES["/e/"], events)[3]
    assert group.properties == {"name": "Acme"} and group.item_type == "company"
    assert unset.traits == {"plan": True}


def test_node() -> None:
    batch, v1 = captured("posthog_node")
    opened, drafts, refused, _ = taken(BATCH, batch)
    assert opened.key == "wk_node" and not refused
    assert [draft.kind for draft in drafts] == ["track", "profile", "identify", "profile", "alias"]
    assert ids_of(drafts[2]) == {"user_id": "u-1", "anonymous_id": "a-1", "email": "a@b.cn"}
    assert ids_of(drafts[4]) == {"user_id": "u-1", "anonymous_id": "a-7"}

    opened, drafts, refused, answer = taken(V1, v1)
    assert opened.key == "wk_node" and not refused and parse(opened.sent_at)
    assert (drafts[0].library, drafts[0].version) == ("posthog-node", "5.70.0")
    assert drafts[0].properties["$session_id"] == "s1"
    assert ids_of(drafts[1]) == {"user_id": "u-1", "anonymous_id": "a-7"}
    assert json.loads(answer.body) == {"results": {draft.message_id: {"result": "ok"} for draft in drafts}}


@contextmanager
def collector(seen: list[Draft], statuses: list[int]) -> Iterator[str]:
    """A server that answers with `statuses`, then as the dialect does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if statuses:
                self.reply(Answer(b'{"code":"x","message":"y"}', status=statuses.pop(0)))
                return
            request = incoming("POST", self.path, body, dict(self.headers))
            if request.path in static_answers():
                self.reply(static_answers()[request.path])
                return
            _, drafts, _, answer = taken(ROUTES[request.path], request)
            seen.extend(drafts)
            self.reply(answer)

        def reply(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("options", [{}, {"capture_mode": "v1"}, {"gzip": True}, {"capture_mode": "v1", "gzip": True}])
def test_python_package(options: dict[str, Any]) -> None:
    seen: list[Draft] = []
    errors: list[Any] = []
    with collector(seen, []) as host:
        client = Posthog("wk_py", host=host, on_error=lambda error, items: errors.append(error), flush_interval=0.05, **options)
        client.capture("Order Completed", distinct_id="u-1", properties={"order_id": "o-1", "total": 5, "$set_once": {"a": 1}})
        client.capture("Personless")
        client.set(distinct_id="u-1", properties={"email": "a@b.cn"})
        client.set_once(distinct_id="u-1", properties={"first_seen": "x"})
        client.group_identify("company", "c1", {"name": "Acme"})
        client.alias("a-7", "u-1")
        client.capture("$pageview", distinct_id="u-1", properties={"$current_url": "https://shop.cn/p?a=1"})
        assert client.get_all_flags("u-1") == {}
        client.shutdown()
    assert not errors
    assert [(draft.kind, draft.event) for draft in seen] == [
        ("track", "Order Completed"), ("profile", "set_once"), ("track", "Personless"), ("identify", ""), ("profile", "set_once"),
        ("alias", ""), ("page", ""),
    ]  # fmt: skip
    order, _, personless, traits, once, alias, page = seen
    assert (order.library, ids_of(order), order.context) == ("posthog-python", {"user_id": "u-1"}, {})  # $os is the server's
    assert list(ids_of(personless)) == ["anonymous_id"]
    assert ids_of(traits) == {"user_id": "u-1", "email": "a@b.cn"} and once.traits == {"first_seen": "x"}
    assert ids_of(alias) == {"user_id": "u-1", "anonymous_id": "a-7"}
    assert page.context["page"] == {"url": "https://shop.cn/p?a=1"}


def test_python_package_hears_of_dead_letters() -> None:
    errors: list[Any] = []
    with collector([], []) as host:
        client = Posthog("wk", host=host, on_error=lambda error, _: errors.append(error), flush_interval=0.05, capture_mode="v1")
        good = client.capture("Good", distinct_id="u-1")
        bad = client.capture("e" * 600, distinct_id="u-1")
        client.shutdown()
    assert [(uuid, details.split(":")[0]) for uuid, details in errors[0].drops] == [(bad, "name_too_long")]
    assert good != bad


@pytest.mark.parametrize(("status", "comes_again"), [(503, True), (429, True), (400, False), (401, False), (413, False)])
@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_what_the_python_package_sends_again(status: int, comes_again: bool, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthog.consumer._backoff", lambda *_: None)
    monkeypatch.setattr("posthog.capture_v1._backoff", lambda *_: None)
    seen: list[Draft] = []
    with collector(seen, [status]) as host:
        client = Posthog("wk", host=host, on_error=lambda *_: None, flush_interval=0.05, capture_mode=mode)
        client.capture("Good", distinct_id="u-1")
        client.shutdown()
    assert len(seen) == comes_again


@pytest.mark.parametrize("distinct_id", ["$company_acme", "u-1", "0197f2c5-0000-7000-8000-000000000000", None])
def test_a_group_is_a_thing_and_makes_no_people(distinct_id: Any) -> None:
    about = {"$group_type": "company", "$group_key": "acme", "$group_set": {"name": "Acme"}, "$set_once": {"x": 1}}
    body = event(event="$groupidentify", distinct_id=distinct_id, properties=about)
    _, drafts, refused, (item,), _ = taken_with_items(ROUTES["/e/"], incoming("POST", "/e/", body))
    assert not drafts and not refused
    assert (item.item_type, item.item_id, item.operation, item.properties) == ("company", "acme", "set", {"name": "Acme"})
    assert item.message_id == body["uuid"]


def test_a_group_without_type_or_key_is_a_dead_letter() -> None:
    for about, field in (({"$group_key": "a"}, "$group_type"), ({"$group_type": "a", "$group_key": ""}, "$group_key")):
        _, _, refused, _ = send(event(event="$groupidentify", properties=about), "/e/")
        assert [(error.reason, error.field) for _, error in refused] == [("invalid_item", f"properties.{field}")]


def test_the_groups_of_an_event_identify_nobody() -> None:
    groups = {"$groups": {"company": "acme", "team": 7}}
    _, (draft,), _, _ = send(event(properties=groups), "/e/")
    assert set(ids_of(draft).values()) == {"u-1"} and draft.context["posthog"]["groups"] == groups["$groups"]
    for nobody in ("$company_acme", "$team_7"):
        _, drafts, refused, _ = send(event(distinct_id=nobody, properties=groups), "/e/")
        assert not drafts and refused[0][1].reason == "missing_identifier"


def test_answer_of_a_batch_with_a_dead_letter() -> None:
    _, drafts, refused, answer = send({"api_key": "k", "batch": [event(), event(uuid="m-2", distinct_id=None)]})
    assert len(drafts) == 1 and [index for index, _ in refused] == [1]
    assert json.loads(answer.body)["dead_lettered"][0] | {"message": ""} == {
        "uuid": "m-2", "reason": "missing_identifier", "field": "distinct_id", "message": "",
    }  # fmt: skip


def test_v1_tells_each_event() -> None:
    text = (
        b'{"batch":[{"uuid":"a","event":"E","distinct_id":"u","properties":{"$set_once":{"x":1}}},'
        b'{"uuid":"b","event":"E","distinct_id":"u","properties":{"x":NaN}},{"uuid":"c","event":"E"},7]}'
    )
    _, drafts, refused, answer = taken(V1, incoming("POST", "/i/v1/analytics/events", text))
    results = json.loads(answer.body)["results"]
    assert {uuid: one["result"] for uuid, one in results.items()} == {"a": "ok", "b": "drop", "c": "drop"}
    assert results["b"]["details"].startswith("invalid_json")
    assert (len(drafts), len(refused)) == (2, 3)


@pytest.mark.parametrize(
    ("body", "target", "method"),
    [
        ({"api_key": "k", **event()}, "/capture/", "POST"),
        ({"token": "k", **event()}, "/i/v0/e/", "POST"),
        (event(properties={"token": "k"}), "/e", "POST"),
        ([event(properties={"token": "k"})], "/e/", "POST"),
        ({"api_key": "k", "batch": [event()]}, "/track", "POST"),
        (event(properties={"batch": 5}), "/capture?token=k", "POST"),
        (b"data=" + quote(base64.b64encode(json.dumps(event()).encode())).encode(), "/e/?api_key=k", "POST"),
        (b"ip=1&data=" + quote(json.dumps(event())).encode(), "/e/?token=k", "POST"),
        (base64.b64encode(json.dumps(event()).encode()), "/e/?token=k&compression=base64", "POST"),
        (base64.b64encode(gzip.compress(json.dumps(event()).encode())), "/e/?token=k", "POST"),
        (gzip.compress(json.dumps(event()).encode()), "/e/?token=k&compression=gzip-js", "POST"),
        (b"", "/e/?token=k&data=" + quote(base64.b64encode(json.dumps(event()).encode()).decode()), "GET"),
    ],
)  # fmt: skip
def test_shapes_of_requests(body: Any, target: str, method: str) -> None:
    opened, drafts, refused, _ = send(body, target, method)
    assert not refused and opened.key == "k"
    assert [(draft.event, draft.message_id, ids_of(draft)) for draft in drafts] == [("Product Viewed", "m-1", {"user_id": "u-1"})]
    assert method == "POST" or target.partition("?")[0] in posthog.BY_GET


def test_engage() -> None:
    opened, drafts, _, _ = send({"$token": "k", "$distinct_id": "u-1", "$set": {"plan": "gold"}}, "/engage/")
    assert opened.key == "k"
    assert [(draft.kind, draft.traits, ids_of(draft)) for draft in drafts] == [("identify", {"plan": "gold"}, {"user_id": "u-1"})]


@pytest.mark.parametrize(
    ("body", "target", "code"),
    [
        (b"{", "/batch/", "invalid_json"),
        (b"7", "/batch/", "invalid_request"),
        (b"", "/batch/", "invalid_json"),
        (b'{"batch":{}', "/batch/", "invalid_json"),
        (b"data=%", "/e/", "invalid_json"),
        (b"data=" + base64.b64encode(b"\x1f\x8bjunk"), "/e/", "invalid_gzip"),
        (b"N4Ig", "/e/?compression=lz64", "unsupported_encoding"),
    ],
)
def test_requests_that_cannot_be_read(body: bytes, target: str, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        send(body, target)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    ("distinct_id", "properties", "expected"),
    [
        ("u-1", {}, False),
        ("u-1", {"$is_identified": False}, True),
        ("u-1", {"$device_id": "u-1"}, True),
        ("u-1", {"$process_person_profile": False}, False),
        ("fd3b3d6e-be60-449f-b38a-6158da76a9d0", {}, False),
        ("fd3b3d6e-be60-449f-b38a-6158da76a9d0", {"$process_person_profile": False}, True),
        (VISITOR, {}, True),
        (VISITOR, {"$is_identified": True}, False),
        ("1793a5e0f5a34c-0b0e1cf3f8b3a4-34647600-13c680-1793a5e0f5bb67", {}, True),
        (7, {}, False),
    ],
)
def test_who_is_a_visitor(distinct_id: Any, properties: dict[str, Any], expected: bool) -> None:
    assert is_anonymous(distinct_id, properties) is expected


@pytest.mark.parametrize(
    ("distinct_id", "alias", "library", "expected"),
    [
        ("u-1", "a-7", "posthog-node", ("u-1", "a-7")),
        ("a-7", "u-1", "posthog-python", ("u-1", "a-7")),
        (VISITOR, "u-1", "web", ("u-1", VISITOR)),
        ("u-1", VISITOR, "posthog-python", ("u-1", VISITOR)),
        ("u-1", "a-7", "", ("u-1", "a-7")),
    ],
)
def test_alias(distinct_id: str, alias: str, library: str, expected: tuple[str, str]) -> None:
    for name in ("$create_alias", "$merge_dangerously"):
        draft = read(event(event=name, distinct_id=distinct_id, properties={"alias": alias, "$lib": library}))
        assert (draft.kind, ids_of(draft)) == ("alias", {"user_id": expected[0], "anonymous_id": expected[1]})


def test_a_member_whose_id_looks_like_a_visitors() -> None:
    member = read(event(event="$identify", distinct_id=VISITOR))
    assert member.ids[:2] == [("user_id", VISITOR, "distinct_id"), ("anonymous_id", VISITOR, "distinct_id")]


def test_ids() -> None:
    assert read(event()).message_id == "m-1"
    assert read(event(uuid=None, properties={"$insert_id": "i-1"})).message_id == "i-1"
    assert read(event(uuid=None, timestamp=None)).message_id == ""
    first, again = read(event(uuid=None)), read(dict(reversed(event(uuid=None).items())))
    assert first.message_id == again.message_id != read(event(uuid=None, event="X")).message_id
    assert re.fullmatch("#[0-9a-f]{32}", first.message_id)


def time_of(body: Any, target: str = "/batch/") -> int:
    request = incoming("POST", target, body)
    opened = ROUTES[request.path].open(request)
    draft = ROUTES[request.path].read(opened.messages[0], opened)
    record = finish(draft, Arrival("shop", NOW, skew=skew_of(opened.sent_at, NOW)))
    return int(json.loads(record.value)["time"])


def test_time() -> None:
    at = 1_795_377_600_000_000  # 2026-11-22T20:00:00Z
    late = "2026-11-22T21:00:00Z"
    assert time_of({"batch": [event()]}) == at
    assert time_of({"batch": [event()], "sent_at": late}) == at + NOW - (at + 3_600_000_000)
    assert time_of({"batch": [event(properties={"$ignore_sent_at": True})], "sent_at": late}) == at
    assert time_of({"batch": [event(options={"disable_skew_correction": True})], "sent_at": late}) == at
    assert time_of({"batch": [event()], "sent_at": late, "historical_migration": True}) == at
    assert time_of(event(timestamp=None, offset=5000), f"/e/?_={(at + 3_600_000_000) // 1000}") == NOW - 5_000_000
    assert time_of(event(timestamp=None)) == NOW


def test_campaign_is_the_visits_own() -> None:
    remembered = {"utm_source": "old", "utm_campaign": "last-year", "$session_entry_url": "http://shop.cn/"}
    assert "campaign" not in read(event(properties=remembered)).context
    assert read(event(properties={**remembered, "$session_entry_utm_source": "baidu"})).context["campaign"] == {"source": "baidu"}
    assert read(event(properties={"utm_source": "qq", "utm_term": None})).context["campaign"] == {"source": "qq"}
    assert "page" not in read(event(properties={"$referrer": "$direct", "$referring_domain": "$direct"})).context


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (7, "wrong_type", ""),
        (event(event=None), "missing_event", "event"),
        (event(event=["x"]), "wrong_type", "event"),
        (event(distinct_id=""), "missing_identifier", "distinct_id"),
        (event(distinct_id="$posthog_cookieless"), "missing_identifier", "distinct_id"),
        (event(uuid=7), "wrong_type", "uuid"),
        (event(properties=[1]), "wrong_type", "properties"),
        (event(**{"$set": 5}), "wrong_type", "$set"),
        (event(properties={"$set": "x"}), "wrong_type", "properties.$set"),
        (event(event="$create_alias"), "missing_identifier", "properties.alias"),
        (event(uuid=None, properties={"x": 10**5000}), "number_out_of_range", ""),
    ],
)
def test_what_cannot_be_used_is_named(message: Any, reason: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read(message)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_a_guests_order_is_known_by_its_number() -> None:
    draft = read(event(event="Order Completed", distinct_id=None, properties={"order_id": "o-1"}))
    assert json.loads(finish(draft, Arrival("shop", NOW)).value)["ids"] == [{"type": "order_id", "value": "o-1"}]


def test_static_answers() -> None:
    answers = static_answers()
    for path in ("/flags/", "/decide", "/array/{key}/config"):
        assert json.loads(answers[path].body)["supportedCompression"] == ["gzip", "gzip-js"]
    assert json.loads(answers["/flags"].body)["flags"] == {}
    assert answers["/array/{key}/config.js"].content_type == "application/javascript"


WORDS = (
    "batch", "event", "uuid", "distinct_id", "properties", "timestamp", "offset", "options", "sent_at", "api_key", "token",
    "$set", "$set_once", "$unset", "alias", "$create_alias", "$identify", "$groupidentify", "$group_set", "$anon_distinct_id",
    "$pageview", "historical_migration", "$device_id", "$is_identified", "session_id", "$insert_id", "$current_url",
    "$referrer", "Order Completed",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(junk(WORDS), st.sampled_from(sorted(ROUTES)))
def test_never_raises_anything_else(value: Any, path: str) -> None:
    for body in bodies(value):
        never_raises(ROUTES[path], incoming("POST", path, body))
    for message in (value, event(properties=value), {"batch": [value]}, event(event="$set", **{"$set": value, "$unset": value})):
        for body in bodies(message):
            never_raises(ROUTES[path], incoming("POST", path, body))


@settings(max_examples=150, deadline=None)
@given(junk(WORDS), junk(WORDS), st.sampled_from(WORDS))
def test_read_never_raises_anything_else(one: Any, other: Any, name: str) -> None:
    dialect = PostHog()
    for message in (
        one,
        {**event(), name: one, "properties": {name: other}},
        {"event": name, "distinct_id": one, "properties": other},
    ):
        try:
            dialect.read(message, Opened("k", []))
        except InvalidEvent:
            continue
