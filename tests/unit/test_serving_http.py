"""The HTTP interface, with a fake Kafka and Redis and a real definitions database."""

import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from cdp.clock import DAY
from cdp.errors import CdpError, Unavailable
from cdp.identity import IdRecord, Span, encode_record
from cdp.orders import FINAL
from cdp.seal import LETTER, TEXT, embed, sealed_in
from cdp.settings import Settings
from cdp.topics import Names
from profiles.components.activity.state import ACTIVITY, Activity
from profiles.components.attributes.state import ATTRIBUTES, Attribute, Attributes
from profiles.components.identifiers.state import IDENTIFIERS, Known
from profiles.components.orders.state import ORDERS, Order, Orders, Placed
from profiles.components.tags.state import TAGS, Tag, Tags
from profiles.state import Slices, pack
from profiles.transfer_log import TRANSFER, Gone, TransferLog
from rules.definitions.load import load_rules
from rules.identity import load_identity_rules
from serving.app import collector, create_app
from serving.collect.finish import Finish
from serving.collect.publish import Record
from serving.collect.router import endpoints
from serving.definitions import bootstrap_credentials, list_credentials, mint_token, mint_write_key, revoke
from serving.definitions.cache import Credentials
from serving.definitions.keys import KeyChange, change_key
from tests.fake_pipeline import FakePipeline
from tests.sealing import RING, sealing
from tests.shop import make_person

NOW = 1_795_380_000_000_000
NAMES = Names("cdp")
PHONE = RING.token("phone", "+8613900000001")


class FakeKafka:
    def __init__(self) -> None:
        self.records: list[tuple[str, str, Any]] = []
        self.away = False

    async def publish(self, records: Iterable[Record]) -> None:
        if self.away:
            raise Unavailable("Kafka did not take the events: _MSG_TIMED_OUT.")
        self.records += [(record.topic, record.key, json.loads(record.value)) for record in records]


class Api:
    """One application for a test, with what it runs on."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, max_batch_bytes=100_000, max_event_bytes=10_000)
        self.kafka, self.store, self.rejected = FakeKafka(), {}, []
        self.time = 0.0
        self.app = create_app(self.settings)
        parts = SimpleNamespace(
            settings=self.settings, sealing=sealing(self.settings), names=NAMES, clock=lambda: NOW, publisher=self.kafka,
            redis=self, clickhouse=self._no_clickhouse, identity=SimpleNamespace(rules=load_identity_rules()),
            credentials=Credentials(self.settings, lambda: self.time), count_rejected=self._count,
            rules=SimpleNamespace(number=0, current=load_rules()),
        )  # fmt: skip
        self.app.state.parts = parts
        self.app.collect = endpoints(
            collector(parts, Finish(NAMES.events, NAMES.items, self.settings.max_event_bytes, parts.sealing.sealer))
        )

    async def get(self, key: str) -> bytes | None:
        return self.store.get(key)

    def pipeline(self, *, transaction: bool) -> FakePipeline:
        assert transaction
        return FakePipeline(self.mget)

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.store.get(key) for key in keys]

    async def _count(self, reason: str) -> None:
        self.rejected.append(reason)

    async def _no_clickhouse(self, use: Callable[..., Any]) -> Any:
        raise Unavailable("ClickHouse does not answer.")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        import asyncio

        async def run() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **options)

        return asyncio.run(run())

    def send(self, body: Any, path: str = "batch", key: str = "", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if key:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        return self.call("POST", f"/v1/{path}", content=content, headers=headers)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


@pytest.fixture
def key(api: Api) -> str:
    return mint_write_key(api.settings, "shop")


TRACK = {"type": "track", "event": "E", "userId": "u"}


def test_events_reach_kafka_before_the_answer(api: Api, key: str) -> None:
    answer = api.send({"batch": [TRACK, TRACK]}, key=key)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [(topic, k, e["source"]["name"]) for topic, k, e in api.kafka.records] == [("cdp.events", "user_id:u", "shop")] * 2


def test_the_write_key_may_stand_anywhere(api: Api, key: str) -> None:
    assert api.send({**TRACK, "writeKey": key}, path="track").status_code == 200
    assert api.send(TRACK, path="track", Authorization=f"Bearer {key}").status_code == 200
    assert api.send({**TRACK, "writeKey": key}, path="track", Authorization="Bearer other").status_code == 200
    assert api.send({**TRACK, "writeKey": 5}, path="track", Authorization="Basic %%%").status_code == 401
    token = mint_token(api.settings, "t", "admin")
    assert api.send(TRACK, path="track", key=token).status_code == 401


def test_gzip_is_recognised_by_its_content(api: Api, key: str) -> None:
    assert api.send(gzip.compress(json.dumps({"batch": [TRACK]}).encode()), key=key).status_code == 200
    assert api.send({"batch": [TRACK]}, key=key, **{"Content-Encoding": "gzip"}).status_code == 200
    assert api.send(gzip.compress(b" " * 10_000_000), key=key).status_code == 413
    assert api.send(gzip.compress(b"{}")[:-4], key=key).status_code == 400


def test_a_bad_event_is_kept_and_the_others_go_on(api: Api, key: str) -> None:
    body = json.dumps(
        {"batch": [TRACK, {**TRACK, "userId": None, "messageId": "m"}, {**TRACK, "properties": {"x": float("nan")}}]}
    )
    answer = api.send(body.encode(), key=key).json()
    assert (answer["success"], answer["accepted"], answer["rejected"]) == (True, 1, 2)
    assert [(d["index"], d["reason"]) for d in answer["dead_lettered"]] == [(1, "missing_identifier"), (2, "invalid_json")]
    letters = [value for topic, _, value in api.kafka.records if topic == "cdp.dead-letters"]
    assert [(d["stage"], d["reason"], d.get("message_id", "")) for d in letters] == [
        ("collect", "missing_identifier", "m"), ("collect", "invalid_json", ""),
    ]  # fmt: skip
    assert '"x": NaN' in RING.open(LETTER, sealed_in(letters[1]["payload"]))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"), (b"[]", 400, "invalid_request"), (b"{}", 400, "invalid_request"), (b"", 400, "invalid_json"),
        (b'{"batch":' + b"[" * 90_000, 400, "invalid_json"), (b" " * 200_000, 413, "body_too_large"),
        (b"\xff\xfe", 400, "invalid_json"),
    ],
)  # fmt: skip
def test_refused_requests_are_counted(api: Api, key: str, body: bytes, status: int, code: str) -> None:
    answer = api.send(body, key=key)
    assert (answer.status_code, answer.json()["code"], api.rejected) == (status, code, [code])
    assert answer.json()["message"]


def test_an_unknown_key_is_refused_and_counted(api: Api) -> None:
    answer = api.send({"batch": [TRACK]}, key="wk_nobody")
    assert (answer.status_code, answer.json()["code"], api.rejected) == (401, "unauthorised", ["unauthorised"])
    assert api.kafka.records == []


def test_kafka_away_means_try_again(api: Api, key: str) -> None:
    api.kafka.away = True
    answer = api.send({"batch": [TRACK]}, key=key)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "1", "unavailable")
    assert api.rejected == []


def test_browsers_may_send_from_other_origins(api: Api, key: str) -> None:
    shop = {"Origin": "https://shop.example"}
    preflight = api.call("OPTIONS", "/v1/t", headers=shop | {"Access-Control-Request-Headers": "content-type"})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, shop["Origin"])
    assert preflight.headers["access-control-allow-headers"] == "content-type"
    answer = api.send({**TRACK, "writeKey": key}, path="t", **shop, **{"Content-Type": "text/plain"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, shop["Origin"])


def test_a_key_may_be_bound_to_origins(api: Api, key: str) -> None:
    change_key(api.settings, "shop", KeyChange(origins=["https://shop.example"]))
    api.time += 5
    assert api.send({**TRACK, "writeKey": key}, path="t", Origin="https://shop.example").status_code == 200
    assert api.send({**TRACK, "writeKey": key}, path="t").status_code == 200  # servers have no origin
    answer = api.send({**TRACK, "writeKey": key}, path="t", Origin="https://thief.example")
    assert (answer.status_code, answer.json()["code"], api.rejected) == (403, "origin_not_allowed", ["origin_not_allowed"])
    assert len(api.kafka.records) == 2


def test_a_quota_protects_the_others(api: Api, key: str) -> None:
    other = mint_write_key(api.settings, "other")
    change_key(api.settings, "shop", KeyChange(quota_rate=1.0, quota_burst=2.0))
    api.time += 5
    assert [api.send({"batch": [TRACK, TRACK]}, key=key).status_code for _ in range(3)] == [200, 429, 429]
    answer = api.send({"batch": [TRACK]}, key=key)
    assert (answer.json()["code"], int(answer.headers["retry-after"]) >= 1) == ("quota_exceeded", True)
    assert api.send({"batch": [TRACK] * 50}, key=other).status_code == 200
    assert len(api.kafka.records) == 52


def test_credentials_are_minted_once_rotated_and_revoked(api: Api) -> None:
    made = bootstrap_credentials(api.settings)
    assert made is not None
    assert set(made) == {"write_key", "admin_token", "ops_token", "analyst_token"}
    assert bootstrap_credentials(api.settings) is None
    stored = api.settings.data_dir / "definitions.db"
    assert not any(secret.encode() in stored.read_bytes() for secret in made.values())
    assert stored.stat().st_mode & 0o777 == 0o600
    assert (api.settings.data_dir / "secrets").stat().st_mode & 0o777 == 0o700
    assert api.send({"batch": []}, key=made["write_key"]).status_code == 200
    rotated = mint_write_key(api.settings, "default")
    api.time = 1.1
    assert api.send({"batch": []}, key=made["write_key"]).status_code == 401
    assert api.send({"batch": []}, key=rotated).status_code == 200
    revoke(api.settings, "default", write_key=True)
    api.time = 2.2
    assert api.send({"batch": []}, key=rotated).status_code == 401
    assert [c.name for c in list_credentials(api.settings) if c.disabled] == ["default"]
    with pytest.raises(CdpError, match="no role"):
        mint_token(api.settings, "x", "king")


def reading(api: Api, path: str, role: str = "analyst") -> httpx.Response:
    return api.call("GET", path, headers={"Authorization": f"Bearer {mint_token(api.settings, role, role)}"})


def test_everything_else_needs_a_token(api: Api, key: str) -> None:
    for path in ("/v1/tags", "/v1/rules", "/v1/profiles/P0000000001", "/v1/operations/ledger", "/metrics"):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorised"), path
        assert api.call("GET", path, headers={"Authorization": f"Bearer {key}"}).status_code == 403, path
    assert api.call("GET", "/healthz").json() == {"alive": True}


def test_errors_have_one_shape(api: Api) -> None:
    for path, status, code in (
        ("/v1/nothing", 404, "not_found"), ("/v1/profiles/P1", 422, "invalid"), ("/v1/profiles", 422, "invalid"),
        ("/v1/profiles/P0000000001", 404, "not_found"), ("/v1/operations/ledger", 503, "unavailable"),
    ):  # fmt: skip
        answer = reading(api, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["message"]
    assert api.call("GET", "/v1/track").json()["code"] == "method_not_allowed"


def test_a_profile_is_found_by_identifier_and_through_merges(api: Api) -> None:
    placed = Placed(NOW - DAY, 1, 1_250_000, 30_000, "CNY", {})
    other = RING.token("phone", "+8613900000002")
    attributes = {
        "name": Attribute(embed(RING.seal(TEXT, "Ann")), NOW, 1), "unset": Attribute(None, NOW, 1, gone=True),
    }  # fmt: skip
    seen = {
        f"phone:{PHONE}": NOW - DAY, "anonymous_id:shared": NOW,  # an event named it, but it is somebody else's by now
    }  # fmt: skip
    states = {
        ACTIVITY: Activity(3, NOW - DAY, NOW), ATTRIBUTES: Attributes(attributes),
        IDENTIFIERS: Known(seen, {f"phone:{PHONE}": RING.seal("id:phone", "+8613900000001")}),
        TAGS: Tags({"vip": Tag(True, NOW), "first_order": Tag(NOW - DAY, NOW)}),
        ORDERS: Orders({"o1": Order(placed, {5: (NOW, 250_000, "")}), "o2": Order(placed, {}, FINAL)}),
    }  # fmt: skip
    profile = make_person(1, states, as_of=NOW, fragments={1: Slices(), 2: Slices()})
    merged = make_person(2, {TRANSFER: TransferLog(gone={2: Gone(1, 9)})})
    api.store = {
        NAMES.profile_key(1): pack(profile).head, NAMES.profile_key(2): pack(merged).head,
        NAMES.identifier_prefix + f"phone:{PHONE}": encode_record(IdRecord(1, [Span(0, 2, 1)])),
        NAMES.identifier_prefix + f"phone:{other}": encode_record(IdRecord(1, [Span(0, 2, 2)])),
        NAMES.identifier_prefix + "anonymous_id:shared": encode_record(IdRecord(1, [Span(0, 3, 3)])),
    }  # fmt: skip
    for path in ("/v1/profiles/P0000000002", "/v1/profiles?id=phone:139 0000 0002", f"/v1/profiles?id=phone:{other}"):
        found = reading(api, path).json()
        assert (found["one_id"], found["asked"], found["merged_from"]) == ("P0000000001", "P0000000002", ["P0000000002"])
        assert found["tags"]["vip"] == {"value": True, "since": "2026-11-22T20:40:00.000000Z"}
        assert found["tags"]["first_order"]["value"] == "2026-11-21T20:40:00.000000Z"
        assert found["identifiers"] == [{"type": "phone", "value": "139****0001", "first_seen": "2026-11-21T20:40:00.000000Z"}]
        assert found["attributes"] == {"name": {"value": "A***", "since": "2026-11-22T20:40:00.000000Z"}}
        assert (found["orders"]["count"], found["orders"]["net_amount"]) == (1, 100.0)
        assert found["recent_events"] is None
        assert "ClickHouse" in found["note"]
    assert reading(api, "/v1/profiles/P0000000001?events=0").json()["note"] is None
    for role in ("ops", "admin"):
        found = reading(api, "/v1/profiles/P0000000001?events=0", role).json()
        assert (found["identifiers"][0]["value"], found["attributes"]["name"]["value"]) == ("+8613900000001", "Ann")


def test_tags_and_rules_are_shown(api: Api) -> None:
    assert {"name", "title", "value", "version"} <= set(reading(api, "/v1/tags").json()["tags"][0])
    rules = reading(api, "/v1/rules").json()
    assert {"name", "on", "when", "channels", "content"} <= set(rules["triggers"][0])
    assert "phone" in {i["name"] for i in rules["identifiers"]}


def test_the_openapi_document_is_whole(api: Api) -> None:
    paths = api.call("GET", "/openapi.json").json()["paths"]
    assert {"/v1/batch", "/v1/track", "/v1/profiles", "/v1/analytics/funnel", "/v1/operations/ledger", "/readyz"} <= set(paths)
    for path, operations in paths.items():
        for operation in operations.values():
            assert operation["summary"], path
            if path.startswith("/v1") and operation.get("tags") != ["collect"]:
                assert {"401", "403"} <= set(operation["responses"]), path
