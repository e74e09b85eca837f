"""Write keys and tokens are in no fact and in no dead letter."""

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from cdp.events import DeadLetter, decode_event
from cdp.mask import mask_all
from cdp.seal import LETTER, sealed_in
from cdp.secrets import hide, hide_in_text, may_hold_secret
from serving.collect.dialects.posthog import ROUTES as POSTHOG
from serving.collect.dialects.segment import ROUTES as SEGMENT
from serving.collect.dialects.snowplow import POST_PATH
from serving.collect.dialects.snowplow import ROUTES as SNOWPLOW
from tests.sealing import RING
from tests.unit.test_letters_by_message_id import KEY, send

OTHER, TOKEN = "wk_" + "a-_Z" * 8, "tk_" + "0123" * 8


def basic(secret: str) -> str:
    """As in the header Authorization."""
    return b64encode(f"{secret}:".encode()).decode()


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f'"{OTHER}"', '"***"'), (f"?key={OTHER}&a=1", "?key=***&a=1"), (f"%3D{OTHER}%26", "%3D***%26"),
        (f'"a\\n{TOKEN}\\n"', '"a\\n***\\n"'), (f"Bearer {TOKEN}", "Bearer ***"), (f"{OTHER}{OTHER}", f"{OTHER}{OTHER}"),
        (f'"Basic {basic(OTHER)}"', '"Basic ***"'), (f"{basic(TOKEN)}, 1", "***, 1"),
        (f"{basic(OTHER)}abcd", f"{basic(OTHER)}abcd"),
        (f"~k1.{OTHER}abc~", f"~k1.{OTHER}abc~"), (f"x{OTHER}", f"x{OTHER}"), ("wk_short", "wk_short"),
    ],
)  # fmt: skip
def test_what_the_platform_drew_is_known_by_its_form(text: str, hidden: str) -> None:
    assert hide(text.encode()).decode() == hide_in_text(text) == hidden
    assert may_hold_secret(text.encode())


def test_what_was_used_becomes_the_name_of_its_key() -> None:
    used = 'odd"key/8+'
    text = json.dumps({"a": used, "b": "x?key=odd%22key%2F8%2B", "c": OTHER}).encode()
    assert json.loads(hide(text, [used], 'shop "1"')) == {"a": 'shop "1"', "b": 'x?key=shop "1"', "c": "***"}
    assert mask_all(f"not {TOKEN}") == "not ***"


@pytest.mark.parametrize("secret", [OTHER, TOKEN, KEY, basic(OTHER), basic(KEY)])
@pytest.mark.parametrize("place", ["messageId", "userId", "anonymousId", "event", "properties", "context"])
def test_no_secret_passes_quickly(secret: str, place: str) -> None:
    """Plain messages are not looked into, so that a secret in them has to be seen before."""
    plain = {"type": "track", "messageId": "m", "userId": "u", "anonymousId": "a", "event": "Seen"}
    message = plain | {place: {"auth": f"Basic {secret}"} if place in ("properties", "context") else secret}
    (record,) = send(SEGMENT["/v1/batch"], "/v1/batch", json.dumps({"batch": [message]}).encode(), quick=True)
    assert secret.encode() not in record.value + record.key.encode()
    (record,) = send(SEGMENT["/v1/batch"], "/v1/batch", json.dumps({"batch": [plain]}).encode(), quick=True)
    assert (decode_event(record.value).message_id, record.key) == ("m", "user_id:u")


def spread(key: str) -> dict[str, Any]:
    return {"token": key, "url": f"https://shop.cn/?writeKey={key}", "deep": [{key: [f"Bearer {key}"]}], "n": 1}


@pytest.mark.parametrize("secret", [KEY, OTHER, TOKEN])
@pytest.mark.parametrize("name", ["Seen", "x" * 600])
def test_no_dialect_keeps_a_secret(secret: str, name: str) -> None:
    track = {"type": "track", "messageId": "m", "userId": "u", "event": name, "writeKey": secret, "properties": spread(secret)}
    track["context"] = {"writeKey": secret, "page": {"url": f"https://shop.cn/?key={secret}"}}
    posthog = {"uuid": "i", "distinct_id": "u", "event": name, "properties": spread(secret), "token": secret}
    snowplow = {"e": "se", "eid": "i", "uid": "u", "se_ac": name, "aid": secret, "se_la": secret}
    for dialect, path, body in (
        (SEGMENT["/v1/batch"], "/v1/batch", {"batch": [track], "context": {"key": secret}, "writeKey": KEY}),
        (SEGMENT["/v1/track"], "/v1/track", track),
        (POSTHOG["/e/"], "/e/", posthog),
        (SNOWPLOW[POST_PATH], POST_PATH, {"data": [snowplow]}),
    ):
        (record,) = send(dialect, path, json.dumps(body).encode())
        assert secret.encode() not in record.value
        if name != "Seen":
            letter = msgspec.json.decode(record.value, type=DeadLetter)
            said = RING.open(LETTER, sealed_in(letter.payload)) + bytes(letter.request).decode()
            if bytes(letter.request) != b"{}":
                said += RING.open(LETTER, sealed_in(msgspec.json.decode(letter.request)))
            assert secret not in said and ("shop" if secret == KEY else "***") in said


def test_an_app_id_that_is_the_write_key_is_kept_as_its_name() -> None:
    def app_of(aid: str) -> Any:
        body = {"data": [{"e": "pv", "eid": "i", "uid": "u", "aid": aid}]}
        (record,) = send(SNOWPLOW[POST_PATH], POST_PATH, json.dumps(body).encode())
        return msgspec.json.decode(decode_event(record.value).context)["snowplow"]["app_id"]

    assert (app_of(KEY), app_of("web-shop"), app_of(OTHER)) == ("shop", "web-shop", "***")
