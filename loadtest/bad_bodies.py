"""Kinds of malformed requests: bodies that are broken as a whole, in every dialect, and dialects' own encodings broken."""

import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from loadtest.bad_requests import FORM, LARGE, Bad, Maker, Request, Wire, base64, basic, kind, pack, text

JSON = {"Content-Type": "application/json"}
SNOWPLOW = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
TP2 = "/com.snowplowanalytics.snowplow/tp2"


def sensors_message(maker: Maker, **fields: Any) -> dict[str, Any]:
    """A sound message of Sensors Analytics."""
    return {
        "type": "track", "event": "ViewProduct", "distinct_id": maker.person(), "_track_id": maker.rng.getrandbits(31),
        "time": 1_790_000_000_000, "properties": {"$lib": "python", "product": maker.id()}, "lib": {"$lib": "python"},
    } | fields  # fmt: skip


def snowplow_message(maker: Maker, **fields: Any) -> dict[str, Any]:
    """A sound event of Snowplow's tracker protocol."""
    return {
        "e": "pv",
        "p": "web",
        "tv": "py-1.1.0",
        "aid": "shop",
        "eid": maker.id(),
        "uid": maker.person(),
        "page": "Home",
    } | fields


def posthog_message(maker: Maker, **fields: Any) -> dict[str, Any]:
    """A sound event of PostHog."""
    return {"event": "viewed", "uuid": maker.id(), "distinct_id": maker.person(), "properties": {"price": 3}} | fields


def _segment(maker: Maker, key: str) -> Request:
    return Request("/v1/batch", text({"batch": [maker.message()]}), basic(key) | JSON)


def _segment_single(maker: Maker, key: str) -> Request:
    return Request("/v1/track", text(maker.message()), basic(key) | JSON)


def _posthog(maker: Maker, key: str) -> Request:
    return Request("/batch/", text({"api_key": key, "batch": [posthog_message(maker)]}), JSON)


def _posthog_single(maker: Maker, key: str) -> Request:
    return Request("/i/v0/e/", text({"api_key": key} | posthog_message(maker)), JSON)


def _sensors(maker: Maker, key: str) -> Request:
    body = f"data_list={base64([sensors_message(maker)])}&gzip=0"
    return Request(f"/sa?project=default&token={quote(key)}", body.encode(), FORM)


def _snowplow(maker: Maker, key: str) -> Request:
    return Request(f"{TP2}?key={quote(key)}", text({"schema": SNOWPLOW, "data": [snowplow_message(maker)]}), JSON)


def _jitsu(maker: Maker, key: str) -> Request:
    return Request("/api/s/track", text(maker.message()), {"X-Write-Key": key} | JSON)


def _mparticle(maker: Maker, key: str) -> Request:
    event = {"event_type": "custom_event", "data": {"event_name": "viewed", "custom_event_type": "other"}}
    identities = {"customer_id": maker.person()}
    return Request("/v2/events", text({"events": [event], "user_identities": identities}), basic(key) | JSON)


def _orders(maker: Maker, key: str) -> Request:
    order = {"order_id": maker.id(), "user_id": maker.person(), "total": 10, "currency": "CNY"}
    return Request("/v1/orders", text(order), basic(key) | JSON)


def _members(maker: Maker, key: str) -> Request:
    return Request("/v1/members", text({"user_id": maker.person(), "traits": {"city": "Shanghai"}}), basic(key) | JSON)


DIALECTS: dict[str, Wire] = {
    "segment": _segment, "segment single": _segment_single, "posthog": _posthog, "posthog single": _posthog_single,
    "sensors": _sensors, "snowplow": _snowplow, "jitsu": _jitsu, "mparticle": _mparticle, "orders": _orders, "members": _members,
}  # fmt: skip
Spoil = Callable[[Maker, bytes], bytes]
SPOILT: dict[str, Spoil] = {
    "half of its body": lambda _, body: body[: len(body) // 2],
    "bytes that are no UTF-8": lambda _, body: body[: len(body) // 2] + b"\xff\xfe\xc0" + body[len(body) // 2 :],
    "noise for a body": lambda maker, _: maker.rng.randbytes(200),
    "a body of another kind": lambda _, __: b"hello=world&x",
    "an array of a number": lambda _, __: b"[1]",
    "a bare number": lambda _, __: b"42",
    "null": lambda _, __: b"null",
    "a bare text": lambda _, __: b'"hello"',
    "an endless depth": lambda _, __: b'{"batch":' + b"[" * 20_000,
    "a depth of objects": lambda _, __: b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "NUL bytes in front": lambda _, body: b"\0\0" + body,
    "a byte order mark": lambda _, body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda _, body: body.decode().encode("utf-16"),
    "a second document": lambda _, body: body + b"{}",
    "single quotes": lambda _, body: body.replace(b'"', b"'") + b"'",
    "comments": lambda _, body: b"/* shop */" + body,
}
PACKED: dict[str, Spoil] = {
    "broken gzip": lambda maker, body: (packed := pack(body))[:20] + maker.rng.randbytes(20) + packed[40:],
    "gzip cut short": lambda _, body: (packed := pack(body))[: len(packed) // 2],
    "gzip's first bytes only": lambda _, __: b"\x1f\x8b",
    "noise in gzip": lambda maker, _: pack(maker.rng.randbytes(300)),
    "gzip in gzip": lambda _, body: pack(pack(body)),
    "gzip with rubbish behind it": lambda _, body: pack(body) + b"rubbish",
}


def _register(dialect: str, wire: Wire) -> None:
    """All the ways to break a request that do not depend on its dialect."""

    def spoilt(spoil: Spoil, headers: dict[str, str]) -> Callable[[Maker], Bad]:
        def make(maker: Maker) -> Bad:
            request = wire(maker, maker.keys.good)
            return Bad("", replace(request, body=spoil(maker, request.body), headers={**request.headers, **headers}).wire())

        return make

    for name, spoil in SPOILT.items():
        kind(f"{dialect}: {name}")(spoilt(spoil, {}))
    for name, spoil in PACKED.items():
        kind(f"{dialect}: {name}")(spoilt(spoil, {"Content-Encoding": "gzip"}))
    kind(f"{dialect}: an encoding nobody knows")(spoilt(lambda _, body: body[::-1], {"Content-Encoding": "br"}))
    kind(f"{dialect}: a gzip bomb", heavy=True)(spoilt(lambda _, __: pack(b"[" + b" " * LARGE), {"Content-Encoding": "gzip"}))
    kind(f"{dialect}: a body too large", heavy=True)(spoilt(lambda _, __: b"[" + b" " * LARGE, {}))
    kind(f"{dialect}: an empty body")(lambda maker: Bad("", replace(wire(maker, maker.keys.good), body=b"").wire(), 0))
    kind(f"{dialect}: an empty object")(lambda maker: Bad("", replace(wire(maker, maker.keys.good), body=b"{}").wire()))
    kind(f"{dialect}: an empty array")(lambda maker: Bad("", replace(wire(maker, maker.keys.good), body=b"[]").wire(), 0))
    kind(f"{dialect}: a wrong key")(lambda maker: Bad("", wire(maker, maker.keys.wrong).wire()))
    kind(f"{dialect}: a disabled key")(lambda maker: Bad("", wire(maker, maker.keys.disabled).wire()))
    kind(f"{dialect}: no key")(lambda maker: Bad("", wire(maker, "").wire()))
    kind(f"{dialect}: a key with odd characters")(lambda maker: Bad("", wire(maker, "wk_\u00e9'\";--%00").wire()))
    kind(f"{dialect}: a wrong method")(
        lambda maker: Bad(
            "",
            replace(wire(maker, maker.keys.good), method=maker.rng.choice(("PUT", "DELETE", "PATCH"))).wire(),
            0,
            counts_as=0,
        )
    )


for _dialect, _wire in DIALECTS.items():
    _register(_dialect, _wire)


def _sensors_form(maker: Maker, body: str, messages: int = 1) -> Bad:
    return Bad("", Request(f"/sa?token={quote(maker.keys.good)}", body.encode(), FORM).wire(), messages)


def _sensors_image(maker: Maker, data: str) -> Bad:
    return Bad("", Request(f"/sa.gif?token={quote(maker.keys.good)}&data={data}", method="GET").wire())


@kind("sensors: no base64")
def _(maker: Maker) -> Bad:
    return _sensors_form(maker, "data_list=%%%not-base64!!")


@kind("sensors: base64 cut short")
def _(maker: Maker) -> Bad:
    return _sensors_form(maker, f"data={base64(sensors_message(maker))[:41]}")


@kind("sensors: gzip announced inside the form, but plain")
def _(maker: Maker) -> Bad:
    return _sensors_form(maker, f"data_list={base64([sensors_message(maker)])}&gzip=1")


@kind("sensors: broken gzip inside the form")
def _(maker: Maker) -> Bad:
    packed = pack(text([sensors_message(maker)]))
    return _sensors_form(maker, f"data_list={quote(b64encode(packed[:30] + b'xx').decode())}&gzip=1")


@kind("sensors: a gzip bomb inside the form", heavy=True)
def _(maker: Maker) -> Bad:
    return _sensors_form(maker, f"data_list={quote(b64encode(zlib.compress(bytes(LARGE), wbits=31)).decode())}&gzip=1")


@kind("sensors: an image with no base64")
def _(maker: Maker) -> Bad:
    return _sensors_image(maker, "%2a%2a%2a")


@kind("sensors: an image with a number in it")
def _(maker: Maker) -> Bad:
    return _sensors_image(maker, base64(7))


@kind("sensors: an image with a wrong type")
def _(maker: Maker) -> Bad:
    return _sensors_image(maker, base64(sensors_message(maker, type=maker.rng.choice(["fly", "", None, 3, {}]))))


@kind("sensors: wrong fields in a list")
def _(maker: Maker) -> Bad:
    wrong: list[Any] = [None, 3, [], {}, "", "x" * 300, True, -1, "\0"]
    names = ("distinct_id", "time", "event", "properties", "lib", "identities", "original_id", "type", "_track_id")
    messages = [sensors_message(maker, **{maker.rng.choice(names): maker.rng.choice(wrong)}) for _ in range(5)]
    return _sensors_form(maker, f"data_list={base64(messages)}", 5)


@kind("sensors: things that are no messages, in a list")
def _(maker: Maker) -> Bad:
    return _sensors_form(maker, f"data_list={base64([1, None, 'x', [], {}])}", 5)


@kind("sensors: operations on a profile with wrong values")
def _(maker: Maker) -> Bad:
    types = ("profile_set", "profile_set_once", "profile_increment", "profile_append", "profile_unset", "profile_delete")
    wrong: list[Any] = [{"a": "x"}, {"a": None}, {"a": {"b": [1]}}, [], 3, None, {"": 1}, {"a" * 500: 1}, {"a": 1e308}]
    messages = [sensors_message(maker, type=maker.rng.choice(types), properties=maker.rng.choice(wrong)) for _ in range(6)]
    return _sensors_form(maker, f"data_list={base64(messages)}", 6)


@kind("snowplow: wrong base64 in an event of its own schema")
def _(maker: Maker) -> Bad:
    message = snowplow_message(maker, e="ue", ue_px="***", cx="%%%")
    return Bad("", _tp2(maker, [message]).wire())


@kind("snowplow: an event of its own schema that is no JSON")
def _(maker: Maker) -> Bad:
    return Bad("", _tp2(maker, [snowplow_message(maker, e="ue", ue_pr='{"schema":')]).wire())


@kind("snowplow: wrong fields")
def _(maker: Maker) -> Bad:
    wrong: list[Any] = [None, 3, [], {}, "", "x" * 2000, True, "\0", "-1", "NaN"]
    names = ("e", "eid", "aid", "tv", "p", "dtm", "stm", "uid", "duid", "sid", "tr_id", "tr_tt", "se_va", "co", "res")
    messages = [snowplow_message(maker, **{maker.rng.choice(names): maker.rng.choice(wrong)}) for _ in range(5)]
    return Bad("", _tp2(maker, messages).wire(), 5)


@kind("snowplow: data that is no list")
def _(maker: Maker) -> Bad:
    return Bad("", _tp2(maker, maker.rng.choice([None, {}, "x", 3])).wire())


@kind("snowplow: an unknown schema")
def _(maker: Maker) -> Bad:
    request = _snowplow(maker, maker.keys.good)
    return Bad("", replace(request, body=text({"schema": "iglu:x/y/z/9", "data": [snowplow_message(maker)]})).wire())


@kind("snowplow: a pixel with bad percent-encoding")
def _(maker: Maker) -> Bad:
    target = f"/i?key={quote(maker.keys.good)}&e=ue&eid={maker.id()}&ue_px=%zz%&p=web&tv=js&page=%ff%fe"
    return Bad("", Request(target, method="GET").wire())


@kind("snowplow: a pixel without anything")
def _(maker: Maker) -> Bad:
    return Bad("", Request(f"/i?key={quote(maker.keys.good)}", method="GET").wire())


def _tp2(maker: Maker, data: Any) -> Request:
    return replace(_snowplow(maker, maker.keys.good), body=text({"schema": SNOWPLOW, "data": data}))


def _posthog_batch(maker: Maker, *messages: Any) -> Bad:
    body = text({"api_key": maker.keys.good, "batch": list(messages)})
    return Bad("", Request("/batch/", body, JSON).wire(), len(messages))


@kind("posthog: wrong fields")
def _(maker: Maker) -> Bad:
    wrong: list[Any] = [None, 3, [], {}, "", "x" * 2000, True, "\0", float("nan")]
    names = ("event", "uuid", "distinct_id", "timestamp", "properties", "$set", "type")
    return _posthog_batch(
        maker, *(posthog_message(maker, **{maker.rng.choice(names): maker.rng.choice(wrong)}) for _ in range(5))
    )


@kind("posthog: things that are no messages")
def _(maker: Maker) -> Bad:
    return _posthog_batch(maker, 1, None, "x", [], {})


@kind("posthog: a batch that is no list")
def _(maker: Maker) -> Bad:
    return Bad("", Request("/batch/", text({"api_key": maker.keys.good, "batch": maker.rng.choice([{}, "x", 3])}), JSON).wire())


@kind("posthog: an alias without its ids")
def _(maker: Maker) -> Bad:
    return _posthog_batch(
        maker, posthog_message(maker, event="$create_alias", properties=maker.rng.choice([{}, {"alias": []}, None]))
    )


@kind("posthog: no base64 in a form")
def _(maker: Maker) -> Bad:
    return Bad("", Request(f"/e/?api_key={quote(maker.keys.good)}", b"data=***&compression=base64", FORM).wire())


@kind("posthog: v1 with wrong events")
def _(maker: Maker) -> Bad:
    headers = {"Authorization": f"Bearer {maker.keys.good}", **JSON}
    events = [posthog_message(maker), posthog_message(maker, event=None), posthog_message(maker, distinct_id=[])]
    return Bad("", Request("/i/v1/analytics/events", text({"batch": events}), headers).wire(), 3)
