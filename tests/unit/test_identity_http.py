"""/v1/identity over HTTP, with a fake Redis and Kafka, and a RESOLVE that answers at once, never, or not yet."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from redis.exceptions import ConnectionError as RedisAway
from typer.testing import CliRunner

from cdp.clock import DAY, to_iso
from cdp.errors import CdpError, Unavailable
from cdp.identity import (
    Change,
    Component,
    IdRecord,
    Link,
    Match,
    Node,
    PublishedRules,
    Seen,
    Span,
    decode_record,
    decode_rules,
    encode_record,
    pack_component,
    unpack_component,
)
from cdp.topics import Names
from profiles.components.activity.state import ACTIVITY
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.state import Person, Slices, pack, unpack
from profiles.transfer_log import Gone
from rules.definitions.load import load_rules
from rules.identity import load_identity_rules
from rules.identity.place import Graph, Move
from rules.identity.sight import Sighting
from serving.collect.publish import Record
from serving.commands import register
from serving.identity import change, commands
from serving.identity.cut import around, crossing
from serving.identity.live import LiveRules
from serving.identity.text import shipped_text
from tests.fake_pipeline import FakePipeline
from tests.live_rules import reaching
from tests.sealing import unsealed
from tests.unit import test_keys_and_plan_http as http

NOW = 1_795_380_000_000_000
NAMES = Names("cdp")
PHONE = "phone:+8613900000001"


class FakeRedis:
    """What the API asks of Redis."""

    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.reviews: dict[str, int] = {}
        self.away = False

    async def get(self, key: str) -> bytes | None:
        return (await self.mget([key]))[0]

    def pipeline(self, *, transaction: bool) -> FakePipeline:
        assert transaction
        return FakePipeline(self.mget)

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        if self.away:
            raise RedisAway("away")
        return [self.store.get(key.decode() if isinstance(key, bytes) else key) for key in keys]

    async def mset(self, values: dict[str, Any]) -> None:
        if self.away:
            raise RedisAway("away")
        self.store |= {key: value.encode() if isinstance(value, str) else value for key, value in values.items()}

    async def delete(self, *keys: str) -> None:
        for key in keys:
            self.store.pop(key, None)

    async def zcard(self, _: str) -> int:
        return len(self.reviews)

    async def zrangebyscore(
        self, _: str, low: int, __: str, *, start: int, num: int, withscores: bool
    ) -> list[tuple[bytes, float]]:
        assert withscores
        found = sorted((score, member) for member, score in self.reviews.items() if score >= low)
        return [(member.encode(), float(score)) for score, member in found[start : start + num]]

    async def scan_iter(self, match: str, count: int) -> AsyncIterator[bytes]:
        assert count
        for key in list(self.store):
            if fnmatch(key, match):
                yield key.encode()


class FakeClickHouse:
    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[Any, ...]]] = {"events": [], "actions": []}
        self.parameters: dict[str, Any] = {}

    def query(self, text: str, parameters: dict[str, Any]) -> Any:
        self.parameters = parameters
        return SimpleNamespace(result_rows=self.rows["actions" if "FROM actions" in text else "events"])


class Api(http.Api):
    """One application, and the graph it reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.redis = FakeRedis()
        self.facts: Any = FakeClickHouse()
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.answers = True
        self.time = NOW
        self.numbers, self.versions = iter(range(1, 1000)), iter(range(1, 1000))
        self.live = LiveRules(self.settings, NAMES, self.redis, clock=lambda: 0.0)
        self.app.state.parts = SimpleNamespace(
            settings=self.settings, names=NAMES, clock=self.clock, redis=self.redis, publisher=self, clickhouse=self._clickhouse,
            credentials=self.app.state.parts.credentials, identity=self.live, sealing=unsealed(),
            rules=SimpleNamespace(current=load_rules()),
        )  # fmt: skip

    def clock(self) -> int:
        self.time += 1
        return self.time

    async def publish(self, records: Iterable[Record]) -> None:
        for record in records:
            value = json.loads(record.value)
            self.sent.append((record.topic, record.key, value))
            if self.answers:
                self.resolve(value)

    def resolve(self, event: dict[str, Any]) -> None:
        """RESOLVE and PROFILE for one decision."""
        from rules.identity.read import Told, read_sighting

        ids = tuple(f"{i['type']}:{i['value']}" for i in event["ids"])
        told = Told("decision", event["event"], json.dumps(event["properties"]).encode())
        self.place(
            read_sighting(ids, told, event["time"], event["received_at"], load_identity_rules(), message_id=event["message_id"])
        )

    def see(self, *ids: str, time: int = NOW - DAY, message_id: str = "m", **more: Any) -> None:
        self.place(Sighting(ids, time, time, "web", message_id, **more))

    def place(self, sighting: Sighting) -> None:
        store, prefix = self.redis.store, NAMES.identifier_prefix
        records = {key: decode_record(store[prefix + key]) for key in sighting.keys if prefix + key in store}
        components = {
            record.component: unpack_component(store[NAMES.component_key(record.component)])[0]
            for record in records.values() if record.component
        }  # fmt: skip
        graph = Graph(load_identity_rules(), records, components, lambda: next(self.numbers), next(self.versions))
        placed = graph.place(sighting)
        for key, record in graph.outcome().items():
            store[prefix + key] = encode_record(record)
        for number in graph.touched:
            component = graph.components[number]
            store[NAMES.component_key(number)] = pack_component(component, 1)
            waiting = [refusal.time for refusal in component.refusals if refusal.review]
            self.redis.reviews.pop(str(number), None)
            if waiting:
                self.redis.reviews[str(number)] = min(waiting)
        for number in graph.absorbed:
            store.pop(NAMES.component_key(number), None)
        if not sighting.decisions:
            self.count(placed.part, placed.person, sighting)
        for move in placed.changes:
            if isinstance(move, Move):
                self.move(move)

    def profile(self, person: int) -> Person:
        value = self.redis.store.get(NAMES.profile_key(person))
        return unpack(value) if value is not None else Person(person)

    def keep(self, profile: Person) -> None:
        stored = pack(profile)
        assert not stored.fields
        self.redis.store[NAMES.profile_key(profile.number)] = stored.head

    def count(self, part: int, person: int, sighting: Sighting) -> None:
        profile = self.profile(person)
        profile.fragments.setdefault(part, Slices())
        profile.whole.change(ACTIVITY).events += 1
        seen = profile.whole.change(IDENTIFIERS).seen
        seen |= {key: min(sighting.time, seen.get(key, sighting.time)) for key in sighting.ids}
        self.keep(profile)

    def move(self, move: Move) -> None:
        old, new = self.profile(move.source), self.profile(move.target)
        for part in move.parts:
            old.open_log.gone[part] = Gone(move.target, move.version)
            new.open_log.gone.pop(part, None)
            new.fragments[part] = old.fragments.pop(part, Slices())
            new.open_log.received.setdefault(part, []).append(move.version)
        theirs, ours = old.whole.get(IDENTIFIERS).seen, new.whole.change(IDENTIFIERS).seen
        if not ours or not theirs:
            ours |= theirs
        self.keep(old)
        self.keep(new)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for what does not come."""
    monkeypatch.setattr(change, "WAIT_SECONDS", 0.0)


def test_somebody_is_explained(api: Api) -> None:
    api.see("user_id:u1", PHONE, message_id="m1", is_express=True)
    api.see("user_id:u1", PHONE, message_id="m2", time=NOW)
    api.facts.rows["events"] = [(json.dumps(["user_id:u1", PHONE]), 5), (json.dumps(["user_id:u1"]), 7), ("", 3)]
    for asked in ("P0000000001", "user_id:u1", "phone:139 0000 0001"):
        found = api.ok("GET", f"identity/{asked}", role="analyst")
        assert (found["asked"], found["one_id"], found["leads_here"]) == (asked, "P0000000001", ["P0000000002"])
    (link,) = found["links"]
    assert (link["counts"], link["confidence"], link["messages"]) == (True, 0.98, 5)
    (source,) = link["sources"]
    assert source == {
        "source": "web", "first_seen": to_iso(NOW - DAY), "last_day": to_iso(NOW)[:10], "days_seen": 2,
        "said_expressly": to_iso(NOW - DAY),
    }  # fmt: skip
    assert [(i["type"], i["is_mine"], i["epochs"][0]["number"]) for i in found["identifiers"]] == [
        ("phone", True, 2),
        ("user_id", True, 1),
    ]
    (merged,) = found["history"]
    assert (merged["kind"], merged["message_id"], merged["cause"]) == ("merged", "m1", ["user_id:u1", PHONE])
    assert merged["moves"] == [{"source": "P0000000002", "target": "P0000000001", "identifiers": [PHONE]}]
    assert (found["rules"], found["note"]) == (1, None)
    assert api.ok("GET", "identity/user_id:u1?messages=false")["links"][0]["messages"] is None


def test_an_explanation_does_without_clickhouse(api: Api) -> None:
    async def away(_: Any) -> Any:
        raise Unavailable("away")

    api.app.state.parts.clickhouse = away
    api.see("user_id:u1", PHONE)
    found = api.ok("GET", "identity/user_id:u1")
    assert found["links"][0]["messages"] is None
    assert "ClickHouse" in found["note"]


def test_an_identifier_may_hold_any_sign(api: Api) -> None:
    api.see("user_id:a/b c?d", "cookie:x:y")
    assert api.ok("GET", "identity/user_id:a%2Fb%20c%3Fd")["one_id"] == "P0000000001"
    assert api.ok("GET", "identity/cookie:x%3Ay")["asked"] == "cookie:x:y"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("GET", "identity/nonsense", None, 404, None), ("GET", "identity/P0000000099", None, 404, None),
        ("GET", "identity/user_id:nobody", None, 404, "id"), ("GET", "identity/phone:1", None, 404, "id"),
        ("POST", "identity/unmerge", {}, 422, "identifier"),
        ("POST", "identity/unmerge", {"one_id": "P0000000001"}, 422, "identifier"),
        ("POST", "identity/unmerge", {"identifier": PHONE, "merge": 1}, 422, "identifier"),
        ("POST", "identity/unmerge", {"identifier": "P0000000001"}, 422, "identifier"),
        ("POST", "identity/unmerge", {"identifier": "user_id:nobody"}, 404, "identifier"),
        ("POST", "identity/unmerge", {"one_id": "P0000000001", "merge": 12345}, 404, "merge"),
        ("POST", "identity/unmerge", {"one_id": "42", "merge": 1}, 422, "one_id"),
        ("POST", "identity/unmerge", {"identifier": "user_id:alone"}, 409, None),
        ("POST", "identity/merge", {"one": "user_id:u1"}, 422, "other"),
        ("POST", "identity/merge", {"one": "user_id:u1", "other": "user_id:nobody"}, 404, "other"),
        ("POST", "identity/merge", {"one": "user_id:u1", "other": "user_id:alone"}, 409, None),
        ("POST", "identity/merge", {"one": "user_id:u1", "other": "user_id:alone", "who": 1}, 422, "who"),
        ("POST", "identity/reviews/1-2-3", {"decision": "approve"}, 404, None),
        ("POST", "identity/reviews/x", {"decision": "approve"}, 422, "id"),
        ("POST", "identity/reviews/1-2-3", {"decision": "maybe"}, 422, "decision"),
        ("GET", "identity/reviews?cursor=x", None, 422, "cursor"),
        ("POST", "identity/regroup", {"identifier": "user_id:alone"}, 409, None),
        ("GET", "identity/rules?version=7", None, 404, None), ("POST", "identity/rules/rollback", {"to": 7}, 404, None),
    ],
)  # fmt: skip
def test_what_is_refused(api: Api, method: str, path: str, body: Any, status: int, field: str | None) -> None:
    api.see("user_id:u1", PHONE)
    api.see("user_id:alone")
    answer = api.call(method, path, body)
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text
    assert answer.json()["message"]
    assert api.sent == []


def test_an_order_that_one_alone_told_of_parts_nobody(api: Api) -> None:
    """Its events are those of who told of it, whose other identifiers are none of its business."""
    api.see("user_id:u1", PHONE)
    api.see("user_id:u1", "order_id:7")
    assert api.ok("GET", "identity/order_id:7")["one_id"] == "P0000000001"
    answer = api.call("POST", "identity/unmerge", {"identifier": "order_id:7"})
    assert (answer.status_code, answer.json()["field"]) == (409, "identifier")
    assert "user_id:u1 alone has told of it" in answer.json()["message"]
    assert api.sent == []
    api.see("anonymous_id:a", "order_id:7")
    assert api.ok("POST", "identity/unmerge", {"identifier": "order_id:7"})["status"] == "done"
    assert api.ok("GET", "identity/user_id:u1")["one_id"] != api.ok("GET", "identity/anonymous_id:a")["one_id"]


def test_roles(api: Api) -> None:
    api.see("user_id:u1", PHONE)
    for path, body in (
        ("unmerge", {"identifier": PHONE}), ("merge", {"one": PHONE, "other": "user_id:u1"}), ("regroup", {}),
        ("reviews/1-1-2", {"decision": "approve"}), ("rules/rollback", {"to": 1}),
    ):  # fmt: skip
        assert api.call("POST", f"identity/{path}", body, role="analyst").status_code == 403, path
    assert api.call("PUT", "identity/rules", b"x", role="analyst").status_code == 403
    for path in ("user_id:u1", "reviews", "rules", "rules/versions"):
        assert api.call("GET", f"identity/{path}", role="analyst").status_code == 200, path


def test_a_decision_is_an_event_like_any_other(api: Api) -> None:
    api.see("user_id:u1", PHONE)
    api.facts.rows["actions"] = [("P0000000001", "first_order_thanks", "webhook", "ever", NOW, "delivered")]
    done = api.ok("POST", "identity/unmerge", {"identifier": PHONE, "note": "sold"}, role="ops")
    ((topic, key, event),) = api.sent
    assert (topic, key) == ("cdp.events", "user_id:u1")
    assert (event["kind"], event["event"]) == ("decision", "apart")
    assert event["ids"] == [{"type": "user_id", "value": "u1"}, {"type": "phone", "value": "+8613900000001"}]
    assert event["properties"] == {"pairs": [[PHONE, "user_id:u1"]], "by": "ops", "note": "sold"}
    assert (done["status"], done["message_id"], done["pairs"]) == ("done", event["message_id"], [[PHONE, "user_id:u1"]])
    assert [(person["one_id"], person["identifiers"]) for person in done["people"]] == [
        ("P0000000001", ["user_id:u1"]), ("P0000000002", [PHONE]),
    ]  # fmt: skip
    assert done["cannot_be_taken_back"][0]["rule"] == "first_order_thanks"
    assert (api.facts.parameters["people"], api.facts.parameters["since"]) == ([1, 2], NOW - DAY)
    (decision,) = api.ok("GET", f"identity/{PHONE.replace('+', '%2B')}")["decisions"]
    assert (decision["by"], decision["note"], decision["stands"]) == ("ops", "sold", True)


def test_what_is_not_applied_in_time_is_on_its_way(api: Api) -> None:
    api.see("user_id:u1", PHONE)
    api.answers = False
    done = api.ok("POST", "identity/unmerge", {"identifier": PHONE})
    assert (done["status"], done["moves"], len(api.sent)) == ("on_its_way", [], 1)
    assert [person["one_id"] for person in done["people"]] == ["P0000000001"]


def test_a_dry_run_writes_nothing(api: Api) -> None:
    api.see("user_id:u1", PHONE, message_id="m1")
    (merged,) = api.ok("GET", "identity/user_id:u1")["history"]
    asked = {"one_id": "P0000000001", "merge": merged["version"]}
    tried = api.ok("POST", "identity/unmerge?dry_run=true", asked)
    assert (tried["status"], tried["message_id"], api.sent) == ("would_change", None, [])
    done = api.ok("POST", "identity/unmerge", asked)
    assert (done["moves"], done["people"]) == (tried["moves"], tried["people"])
    assert api.call("POST", "identity/unmerge", asked).status_code == 409
    assert api.ok("POST", "identity/merge", {"one": "user_id:u1", "other": PHONE})["status"] == "done"
    assert api.ok("POST", "identity/merge", {"one": "user_id:u1", "other": PHONE})["status"] == "nothing_to_change"


def test_reviews_over_http(api: Api) -> None:
    for number in range(3):
        api.see(f"user_id:a{number}", f"member_id:M{number}", time=NOW + number)
        api.see(f"user_id:b{number}", f"member_id:M{number}", time=NOW + 10 - number)
    first = api.ok("GET", "identity/reviews?limit=2", role="analyst")
    rest = api.ok("GET", f"identity/reviews?limit=2&cursor={first['next']}")
    assert (first["waiting"], rest["next"]) == (3, None)
    assert [item["since"] for item in first["reviews"] + rest["reviews"]] == [to_iso(NOW + 8), to_iso(NOW + 9), to_iso(NOW + 10)]
    oldest = first["reviews"][0]
    assert [side["identifiers"] for side in oldest["sides"]] == [["member_id:M2", "user_id:a2"], ["user_id:b2"]]
    assert (oldest["reasons"][0]["reason"], oldest["fields"]) == ("exclusive", {})
    assert api.ok("POST", f"identity/reviews/{oldest['id']}", {"decision": "refuse"}, role="ops")["verdict"] == "apart"
    assert api.ok("POST", f"identity/reviews/{rest['reviews'][0]['id']}", {"decision": "approve"})["verdict"] == "together"
    left = api.ok("GET", "identity/reviews")
    assert (left["waiting"], [item["id"] for item in left["reviews"]]) == (1, [first["reviews"][1]["id"]])


def test_redis_away_is_said(api: Api) -> None:
    api.redis.away = True
    for method, path, body in (
        ("GET", "identity/user_id:u1", None), ("GET", "identity/P0000000001", None),
        ("POST", "identity/unmerge", {"identifier": PHONE}), ("PUT", "identity/rules", shipped_text().encode()),
    ):  # fmt: skip
        assert api.call(method, path, body, **YAML if method == "PUT" else {}).status_code == 503, path


# -- rules ---------------------------------------------------------------------------------------------------------------------

YAML = {"Content-Type": "application/yaml"}


def put(api: Api, text: str, **headers: str) -> Any:
    return api.call("PUT", "identity/rules?note=why", text.encode(), role="ops", **YAML | headers)


def test_the_shipped_rules_are_version_1(api: Api) -> None:
    answer = api.call("GET", "identity/rules")
    assert (answer.headers["ETag"], answer.json()["text"], answer.json()["author"]) == ('"1"', shipped_text(), "StreamCDP")
    assert answer.json()["rules"]["region"] == "CN"
    assert [one["version"] for one in api.ok("GET", "identity/rules/versions")["versions"]] == [1]


def test_rules_are_changed_published_and_rolled_back(api: Api) -> None:
    text = shipped_text().replace("region: CN", "region: US  # we have moved")
    answer = put(api, text, **{"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["version"], answer.headers["ETag"]) == (200, 2, '"2"')
    assert put(api, text, **{"If-Match": '"1"'}).status_code == 409
    assert decode_rules(api.redis.store["cdp:rules:identity"]) == PublishedRules(2, text)
    assert api.redis.store["cdp:rules:identity:version"] == b"2"
    assert api.ok("GET", "identity/rules")["text"] == text
    assert api.ok("POST", "identity/rules/rollback", {"to": 1}, role="ops")["version"] == 3
    assert decode_rules(api.redis.store["cdp:rules:identity"]).text == shipped_text()
    versions = api.ok("GET", "identity/rules/versions")["versions"]
    assert [(one["version"], one["author"], one["note"]) for one in versions] == [
        (3, "ops", "Back to version 1."), (2, "ops", "why"), (1, "StreamCDP", "as it comes with the platform"),
    ]  # fmt: skip


def test_rules_may_be_json(api: Api) -> None:
    rules = {"identifiers": [{"name": "user_id", "priority": 1, "exclusive": True}]}
    answer = api.call("PUT", "identity/rules", json.dumps(rules, indent="\t").encode())
    assert (answer.status_code, answer.json()["rules"]) == (200, rules)
    assert api.call("PUT", "identity/rules", b"{").status_code == 422


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("region: CN", "region: china", "region"), ("region: CN", "colour: red", "colour"),
        ("identifiers:", "identifiers: [{name: a, priority: 99}]\nothers:", "identifiers.a.priority"),
        ("strength: 0.95", "strength: 2", "identifiers.mpid.strength"),
        ("limits: {month: 3, ever: 10}", "limits: {fortnight: 3}", "identifiers.phone.limits.fortnight"),
        ("name: mpid", "name: phone", "identifiers"), ("region: CN", "region: [", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_remedy(api: Api, old: str, new: str, field: str) -> None:
    answer = put(api, shipped_text().replace(old, new))
    assert (answer.status_code, answer.json().get("field", "")) == (422, field), answer.text
    assert answer.json()["remedy"]
    assert api.redis.store == {}
    assert api.ok("GET", "identity/rules")["version"] == 1


def test_the_api_normalises_by_the_rules_in_force(api: Api) -> None:
    api.see("user_id:u1", "phone:+14155552671")
    assert api.call("GET", "identity/phone:415-555-2671").status_code == 404
    assert put(api, shipped_text().replace("region: CN", "region: US")).status_code == 200
    asyncio.run(api.live.refresh())
    assert api.ok("GET", "identity/phone:415-555-2671")["one_id"] == "P0000000001"
    assert api.ok("GET", "profiles?id=phone:415-555-2671&events=0")["one_id"] == "P0000000001"


def test_what_redis_lost_is_published_again(api: Api) -> None:
    put(api, shipped_text())
    api.redis.store.clear()
    later = LiveRules(api.settings, NAMES, api.redis)
    api.redis.away = True
    asyncio.run(later.refresh())
    assert api.redis.store == {}
    api.redis.away = False
    asyncio.run(later.refresh())
    assert api.redis.store["cdp:rules:identity:version"] == b"2"
    assert later.rules.version == 2


def test_who_has_not_seen_the_newest_version_yet_does_not_take_it_back(api: Api) -> None:
    late = LiveRules(api.settings, NAMES, api.redis, clock=lambda: 0.0)  # what it has read stays fresh
    asyncio.run(late.refresh())
    put(api, shipped_text())
    late.publication.looked = float("-inf")
    asyncio.run(late.refresh())
    assert (late.rules.version, api.redis.store["cdp:rules:identity:version"]) == (1, b"2")


def test_rules_of_other_definitions_are_withdrawn(api: Api) -> None:
    asyncio.run(api.redis.mset({NAMES.identity_rules_key: b"x", NAMES.identity_rules_version_key: "7"}))
    asyncio.run(LiveRules(api.settings, NAMES, api.redis).refresh())
    assert api.redis.store == {}


def test_regrouping_touches_each_component_once(api: Api) -> None:
    api.see("user_id:u1", PHONE)
    api.see("user_id:u2", "email:b@example.com")
    api.see("user_id:lone")
    assert api.ok("POST", "identity/regroup", {}, role="ops") == {"components": 2}
    assert [(event["event"], event["properties"]["pairs"]) for _, _, event in api.sent] == [("regroup", [])] * 2
    assert api.ok("POST", "identity/regroup", {"identifier": PHONE}) == {"components": 1}


# -- commands ------------------------------------------------------------------------------------------------------------------


def cdp(api: Api, *arguments: str, stdin: str = "") -> str:
    app = typer.Typer()
    register(app)
    with reaching(api, "identity"):
        done = CliRunner().invoke(app, ["identity", *arguments], input=stdin, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_who_is_who_in_plain_words(api: Api) -> None:
    api.see("user_id:u1", PHONE, message_id="m1", time=NOW - 2 * DAY)
    api.see("user_id:u1", PHONE, message_id="m2", is_express=True)
    api.see("user_id:u2", PHONE, time=NOW, message_id="m3")
    text = cdp(api, "explain", "user_id:u1")
    days = [to_iso(NOW - back * DAY)[:19].replace("T", " ") for back in range(3)]
    assert text.splitlines()[0] == "user_id:u1 is P0000000001; so are P0000000002."
    assert (
        f"{PHONE} belongs to P0000000001 since {days[2]} because it was seen together with user_id:u1 on 2 days,"
        f" first {days[2]} from source web, last in a login, bind or alias of {days[1]} from source web (confidence 0.98)."
    ) in text
    assert f"{PHONE} served several people from {days[0]} on." in text
    assert f"{PHONE} and user_id:u2 were seen together, but count for nothing: a person has one user_id." in cdp(
        api, "explain", "user_id:u2"
    )
    assert f"{days[2]}: P0000000002 merged into P0000000001 with {PHONE}, by message m1 (change " in text
    assert json.loads(cdp(api, "explain", "P0000000001", "--json"))["one_id"] == "P0000000001"


def test_commands_change_what_they_say(api: Api) -> None:
    api.see("user_id:u1", PHONE, message_id="m1")
    api.facts.rows["actions"] = [("P0000000001", "thanks", "webhook", "ever", NOW, "delivered")]
    tried = cdp(api, "unmerge", PHONE, "--dry-run")
    assert tried.startswith("It would change this:\n  phone:+8613900000001 from P0000000001 to P0000000002\n")
    assert "1 messages were sent meanwhile, and cannot be taken back:\n" in tried
    assert cdp(api, "unmerge", PHONE, "--note", "sold").startswith("Done:")
    assert "ops decided on" in (said := cdp(api, "explain", PHONE))
    assert "are not one person's (sold)." in said
    assert cdp(api, "merge", "user_id:u1", "P0000000002").startswith("Done:")
    newest = json.loads(cdp(api, "explain", PHONE, "--json"))["history"][0]
    assert cdp(api, "undo", "P0000000001", str(newest["version"])).startswith("Done:")
    with pytest.raises(CdpError, match="not one person any more"):
        cdp(api, "undo", "P0000000001", str(newest["version"]))


def test_reviews_on_the_command_line(api: Api) -> None:
    api.see("user_id:u1", "member_id:M")
    api.see("user_id:u2", "member_id:M", time=NOW)
    listed = cdp(api, "reviews")
    assert "P0000000001 (member_id:M, user_id:u1) and P0000000003 (user_id:u2)" in listed
    assert "a person has one user_id" in listed
    id_ = listed.split()[0]
    assert cdp(api, "approve", id_, "--dry-run").startswith("It would change this:")
    assert cdp(api, "refuse", id_).startswith(("Done:", "There is nothing"))
    assert cdp(api, "reviews") == "0 groups of identifiers wait\n"


def test_rules_on_the_command_line(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(shipped_text().replace("region: CN", "region: US"))
    assert cdp(api, "rules", "show") == shipped_text()
    assert (
        cdp(api, "rules", "put", str(file), "--note", "moved", "--expected", "1")
        == "version 2 of the identity rules is in force\n"
    )
    assert cdp(api, "rules", "show") == file.read_text()
    assert json.loads(cdp(api, "rules", "put", "-", "--json", stdin=shipped_text())) == {"version": 3}
    assert cdp(api, "rules", "rollback", "2") == "version 4 of the identity rules is in force\n"
    assert [line.split()[0] for line in cdp(api, "rules", "versions").splitlines()] == ["4", "3", "2", "1"]
    with pytest.raises(CdpError, match="cannot be read"):
        commands.put_rules(str(tmp_path / "missing.yaml"))
    with pytest.raises(CdpError, match="not in force"):
        cdp(api, "rules", "put", str(file), "--expected", "1")
    assert cdp(api, "regroup") == "0 groups of identifiers will be looked at\n"


def test_what_traits_put_together_is_cut_as_well() -> None:
    keys = ("cookie:a", "record:1", "record:2")
    matches = [Match("record:1", "record:2", 30.0, {"name": 30.0})]
    nodes = {key: Node(key, [number]) for number, key in enumerate(keys, 1)}
    link = Link("cookie:a", "record:1", {"web": Seen(NOW, [NOW // DAY])})
    moved = Change(5, NOW, "m", [(3, 1, [3])], ["record:2"], 1)
    component = Component(1, nodes, [link], matches, people=dict.fromkeys((1, 2, 3), 1), history=[moved])
    assert around(component, "record:1", 1) == [("cookie:a", "record:1"), ("record:1", "record:2")]
    pairs, sides = crossing(component, moved, 1, load_identity_rules())
    assert (pairs, sides) == ([("record:1", "record:2")], [{"record:2"}, {"cookie:a", "record:1"}])


def test_a_record_that_moved_on_is_read_again(api: Api) -> None:
    """A component is put into another one between two reads of ours: the identifier leads to it, and it is not there."""
    api.redis.store[NAMES.identifier_prefix + "user_id:u1"] = encode_record(IdRecord(9, [Span(0, 1, 1)]))
    answer = api.call("GET", "identity/user_id:u1")
    assert (answer.status_code, answer.json()["remedy"]) == (503, "Try again.")
