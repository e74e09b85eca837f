"""Jitsu's dialect, and the document that leads Segment's browser SDK here."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.collect.dialects import segment_settings
from serving.collect.dialects.jitsu import ROUTES
from serving.collect.dialects.segment import ROUTES as SEGMENT_ROUTES
from serving.collect.draft import RefusedError
from tests.unit.dialect_requests import bodies, captured, ids_of, incoming, junk, never_raises, taken

TRACK = {"type": "track", "event": "Product Viewed", "userId": "u-1", "messageId": "m-1", "writeKey": "wk:***"}


def test_package() -> None:
    drafts = []
    for request in captured("jitsu"):
        opened, [draft], refused, answer = taken(ROUTES[request.path], request)
        assert (opened.key, refused, answer.body) == ("wk_jit", [], b'{"ok":true}')
        assert (draft.library, draft.version) == ("@jitsu/js", "1.11.0") and draft.message_id
        drafts.append(draft)
    identify, track, page, group, server = drafts
    assert [draft.kind for draft in drafts] == ["identify", "track", "page", "group", "track"]
    assert ids_of(identify)["user_id"] == "u-1" and ids_of(identify)["email"] == "a@b.cn"
    assert set(ids_of(track)) == {"user_id", "anonymous_id", "email"}
    assert track.properties == {"product_id": "p", "price": 5} and track.event == server.event == "Product Viewed"
    assert page.context["page"]["path"] == "/p" and group.traits == {"name": "Acme"}


@pytest.mark.parametrize(
    ("headers", "target", "body", "key"),
    [
        ({"X-Write-Key": "wk:secret"}, "/api/s/track", TRACK, "wk"),
        ({"X-Write-Key": "wk"}, "/api/s/s2s/track/", TRACK, "wk"),
        ({"Authorization": "Bearer wk"}, "/api/s/t", TRACK, "wk"),
        ({}, "/api/s/track?writekey=wk", TRACK, "wk"),
        ({}, "/api/s/event", TRACK, "wk"),
        ({}, "/api/s/event", {**TRACK, "writeKey": "***"}, ""),
        ({}, "/api/s/event", {**TRACK, "writeKey": 5}, ""),
        ({"X-Write-Key": "wk:s"}, "/api/s/s2s/batch", {"batch": [TRACK]}, "wk"),
    ],
)
def test_key(headers: dict[str, str], target: str, body: Any, key: str) -> None:
    request = incoming("POST", target, body, headers)
    opened, drafts, _, _ = taken(ROUTES[request.path], request)
    assert opened.key == key and [draft.event for draft in drafts] == ["Product Viewed"]


def test_batch_with_a_dead_letter() -> None:
    request = incoming("POST", "/api/s/batch", {"batch": [TRACK, {"type": "track", "userId": "u"}]})
    _, drafts, refused, answer = taken(ROUTES["/api/s/batch"], request)
    assert len(drafts) == len(refused) == 1
    report = json.loads(answer.body)
    assert (report["ok"], report["receivedEvents"], report["okEvents"]) == (True, 2, 1)
    assert report["errors"][0]["reason"] == "missing_event"


def test_own_context_stands_under_its_own_name() -> None:
    message = {
        **TRACK,
        "context": {"clientIds": {"fbp": "x"}, "consent": {"categoryPreferences": {"ads": False}}, "ip": "1.2.3.4"},
    }
    _, [draft], _, _ = taken(ROUTES["/api/s/track"], incoming("POST", "/api/s/track", message))
    assert draft.context == {
        "jitsu": {"clientIds": {"fbp": "x"}}, "consent": {"categoryPreferences": {"ads": False}}, "ip": "1.2.3.4",
    }  # fmt: skip


def test_a_body_that_cannot_be_read() -> None:
    with pytest.raises(RefusedError):
        ROUTES["/api/s/track"].open(incoming("POST", "/api/s/track", b"{"))


def test_settings_lead_the_browser_here() -> None:
    answer = segment_settings.settings("wk_1", "http", "shop.example:8400")
    ours = json.loads(answer.body)["integrations"]["Segment.io"]
    assert (ours["apiKey"], ours["protocol"], ours["apiHost"]) == ("wk_1", "http", "shop.example:8400/v1")
    for short in "tipgas":  # the SDK appends the first letter of a message's type
        assert f"/v1/{short}" in SEGMENT_ROUTES
    assert json.loads(answer.body)["metrics"]["sampleRate"] == 0
    assert list(json.loads(answer.body)["integrations"]) == ["Segment.io"]  # a second one would make it load code


WORDS = (
    "type",
    "batch",
    "event",
    "userId",
    "anonymousId",
    "messageId",
    "context",
    "clientIds",
    "traits",
    "properties",
    "writeKey",
    "track",
)


@settings(max_examples=100, deadline=None)
@given(junk(WORDS), st.sampled_from(sorted(ROUTES)))
def test_never_raises_anything_else(value: Any, path: str) -> None:
    for message in (value, {**TRACK, "context": value}, {"batch": [value, TRACK]}):
        for body in bodies(message):
            never_raises(ROUTES[path], incoming("POST", path, body))
