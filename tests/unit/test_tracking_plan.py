"""The tracking plan: compiling and checking, learning, trying, counting violations, versions."""

import asyncio
import json
import timeit
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisAway

from cdp.clock import DAY
from cdp.errors import InvalidEvent
from cdp.settings import Settings
from cdp.topics import Names
from serving.collect.draft import Draft
from serving.documents.document import Edit
from serving.documents.kinds import PLAN
from serving.documents.store import put
from serving.plan import violations as violations_module
from serving.plan.attempt import attempt
from serving.plan.compile import ALLOWED, NO_PLAN, PlanError, Verdict, Violation, compile_plan
from serving.plan.learn import learn
from serving.plan.police import Police
from serving.plan.violations import OTHER, Violations, counts_key, days_until, read_samples, samples_key, total
from tests.sealing import sealer

NOW = 1_795_380_000_000_000
VIEWED = {
    "type": "object", "required": ["sku"],
    "properties": {
        "sku": {"type": "string"}, "price": {"type": "number", "minimum": 0},
        "products": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer"}}}},
    },
}  # fmt: skip


def plan(action: str = "omit", schema: Any = None, **more: Any) -> Any:
    return compile_plan({"events": {"Viewed": {"schema": VIEWED if schema is None else schema, "on_violation": action}}, **more})


def test_what_fits_is_allowed_and_costs_nothing_to_say() -> None:
    assert plan().check("track", "Viewed", {"sku": "a", "price": 5, "other": None}) is ALLOWED
    assert plan().check("track", "Unheard of", {}) is ALLOWED
    assert plan(unplanned_events="block").check("identify", "", {}) is ALLOWED
    assert plan(unplanned_events="block").check("page", "Home", {}) is ALLOWED
    assert NO_PLAN.check("track", "Viewed", {}) is NO_PLAN.check_traits({"a": 1}) is ALLOWED


@pytest.mark.parametrize("action", ["allow", "warn", "omit", "block"])
def test_each_action(action: str) -> None:
    verdict = plan(action).check("order", "Viewed", {"sku": 5, "price": 1})
    assert verdict.action == action
    assert verdict.violations == (Violation("properties.sku", '5 is not of type "string"', "type"),)
    assert verdict.properties == ({"price": 1} if action == "omit" else None)


def test_only_offending_properties_are_omitted() -> None:
    given = {"sku": "a", "price": -1, "products": [{"q": 1}, {"q": "x"}], "kept": True}
    verdict = plan().check("track", "Viewed", given)
    assert verdict.properties == {"sku": "a", "kept": True}
    assert sorted(v.path for v in verdict.violations) == ["properties.price", "properties.products[1].q"]
    assert given["price"] == -1
    closed = plan(schema={"properties": {"a": True}, "additionalProperties": False})
    assert closed.check("track", "Viewed", {"a": 1, "b": 2, "c": 3}).properties == {"a": 1}


def test_what_is_missing_cannot_be_omitted() -> None:
    verdict = plan().check("track", "Viewed", {"price": 1})
    assert (verdict.action, verdict.properties, verdict.violations[0].keyword) == ("warn", None, "required")
    assert plan().check("track", "Viewed", {"price": -1}).properties == {}
    assert plan("block").check("track", "Viewed", {}).action == "block"


def test_unplanned_events() -> None:
    assert plan(unplanned_events="warn").check("track", "Other", {}).action == "warn"
    verdict = plan(unplanned_events="block").check("track", "Other", {})
    assert (verdict.action, verdict.violations[0].keyword) == ("block", "unplanned")


def test_pages_go_by_the_name_that_rules_know() -> None:
    pages = compile_plan({"events": {"Page Viewed": {"schema": {"required": ["path"]}, "on_violation": "block"}}})
    assert pages.check("page", "Home", {}).action == "block"
    assert pages.check("page", "Home", {"path": "/"}) is ALLOWED


def test_traits() -> None:
    compiled = compile_plan({"traits": {"schema": {"properties": {"age": {"type": "integer"}}}, "on_violation": "omit"}})
    verdict = compiled.check_traits({"age": "old", "name": "Li"})
    assert (verdict.properties, verdict.violations[0].path) == ({"name": "Li"}, "traits.age")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""), ({"event": {}}, "event"), ({"events": []}, "events"), ({"events": {"A": 5}}, "events.A"),
        ({"unplanned_events": "omit"}, "unplanned_events"), ({"unplanned_events": []}, "unplanned_events"),
        ({"events": {"A": {"on_violation": "stop"}}}, "events.A.on_violation"),
        ({"events": {"A": {"shema": {}}}}, "events.A.shema"), ({"events": {"A": {"schema": 5}}}, "events.A.schema"),
        ({"events": {"A": {"schema": {"type": "txt"}}}}, "events.A.schema.type"),
        ({"events": {"A": {"schema": {"properties": {"b c": {"minimum": "1"}}}}}}, "events.A.schema.properties['b c'].minimum"),
        ({"events": {"A": {"schema": {"$ref": "http://127.0.0.1:1/x"}}}}, "events.A.schema"),
        ({"events": {"A": {"schema": {"$ref": "file:///etc/hostname"}}}}, "events.A.schema"),
        ({"events": {"A": {"schema": {"$schema": "http://nowhere"}}}}, "events.A.schema"),
        ({"events": {"A": {"schema": {"pattern": "(?=a)"}}}}, "events.A.schema.pattern"),
        ({"events": {"A": {"schema": {"\ud800": 1}}}}, "events.A.schema"),
        ({"events": {"": {}}}, "events"), ({"events": {"A": {"description": 5}}}, "events.A.description"),
        ({"traits": {"schema": {"type": 5}}}, "traits.schema.type"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path(body: Any, path: str) -> None:
    with pytest.raises(PlanError) as caught:
        compile_plan(body)
    assert caught.value.path == path
    assert caught.value.message


def test_odd_properties_break_nothing() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(400):
        inner["a"] = {}
        inner = inner["a"]
    for odd in ({"price": 10**400}, {"price": float("nan")}, {"\ud800": 1, "sku": 1}, {"sku": "\ud800\x00"}, {"price": deep}):
        verdict = plan("block").check("track", "Viewed", {**odd})
        assert verdict.action in {"allow", "block"}
        assert all(len(v.path) <= 200 and len(v.message) <= 300 for v in verdict.violations)
    assert plan("omit").check("track", "Viewed", {"\ud800": 1}).violations[0].keyword == "unreadable"


def test_a_pattern_cannot_hold_the_collector_up() -> None:
    compiled = plan("block", {"properties": {"a": {"pattern": "^(a+)+$"}}})
    assert timeit.timeit(lambda: compiled.check("track", "Viewed", {"a": "a" * 5000 + "!"}), number=10) < 1


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=10,
)  # fmt: skip
_properties = st.dictionaries(st.sampled_from(["sku", "price", "products", "other"]), _values, max_size=4)


@effort(suppress_health_check=[HealthCheck.too_slow])
@given(_properties)
def test_omitting_leaves_only_what_was_given_and_what_fits(given: dict[str, Any]) -> None:
    verdict = plan().check("track", "Viewed", given)
    if verdict.properties is not None:
        assert all(value is given[name] for name, value in verdict.properties.items())
        again = plan().check("track", "Viewed", verdict.properties)
        assert {violation.keyword for violation in again.violations} <= {"required"}
    else:
        assert {violation.keyword for violation in verdict.violations} <= {"required"}


@effort(max_examples=50)
@given(st.lists(_properties, min_size=1, max_size=30))
def test_a_learnt_plan_fits_what_it_was_learnt_from(rows: list[dict[str, Any]]) -> None:
    texts = [
        json.dumps(row, allow_nan=False) for row in rows if "NaN" not in json.dumps(row) and "Infinity" not in json.dumps(row)
    ]
    learner = learn(("Viewed", text) for text in texts)
    compiled = compile_plan(learner.plan())
    for name, tried in attempt(compiled, (("Viewed", "track", text) for text in texts)).items():
        assert (name, dict(tried.actions)) == ("Viewed", {"allow": learner.learnt_from["Viewed"]}), tried.examples


def test_learning() -> None:
    rows = [
        json.dumps({"sku": f"s{n}", "size": "SML"[n % 3], "price": n if n % 2 else n + 0.5, "n": n, "p": [{"q": n}],
                    **({"rare": None} if n == 0 else {})})
        for n in range(100)
    ]  # fmt: skip
    learner = learn([("Viewed", row) for row in rows] + [("Once", '{"a":1}'), ("Viewed", "not JSON"), ("", "{}")])
    assert learner.learnt_from == {"Once": 1, "Viewed": 100}
    drafted = learner.plan()
    assert drafted["events"]["Once"]["schema"] == {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert drafted["events"]["Viewed"]["on_violation"] == "warn"
    assert drafted["events"]["Viewed"]["schema"] == {
        "type": "object", "required": ["n", "p", "price", "size", "sku"],
        "properties": {
            "sku": {"type": "string"}, "size": {"type": "string", "enum": ["L", "M", "S"]}, "price": {"type": "number"},
            "n": {"type": "integer"}, "rare": {"type": "null"},
            "p": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}},
        },
    }  # fmt: skip


def test_trying_a_plan_on_traffic() -> None:
    rows = [("Viewed", "track", '{"sku":"a"}')] * 3 + [("Viewed", "track", '{"sku":1}')] * 2 + [("Other", "track", "")]
    tried = attempt(plan("block"), [*rows, ("Viewed", "track", "{")])
    assert {name: dict(one.actions) for name, one in tried.items()} == {"Viewed": {"allow": 3, "block": 2}, "Other": {"allow": 1}}
    assert [example.path for example in tried["Viewed"].examples] == ["properties.sku"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


# What the collector does with it.


def test_the_police(settings: Settings) -> None:
    recorded: list[Any] = []
    body = {
        "events": {"Viewed": {"schema": VIEWED, "on_violation": "omit"}, "Bought": {"schema": False, "on_violation": "block"}},
        "traits": {"schema": {"properties": {"age": {"type": "integer"}}}, "on_violation": "omit"},
    }

    async def run() -> None:
        police = Police(settings, lambda *call: recorded.append(call))
        await police.refresh()
        assert police.current() is None
        put(settings, PLAN, body, Edit("Li"))
        police = Police(settings, lambda *call: recorded.append(call))
        await police.refresh()
        check = police.current()
        assert check is not None
        draft = Draft("track", "Viewed", "m1", properties={"sku": "a", "price": -1})
        check(draft, "shop")
        assert draft.properties == {"sku": "a"}
        draft = Draft("identify", message_id="m2", traits={"age": "x", "b": 1})
        check(draft, "shop")
        assert draft.traits == {"b": 1}
        with pytest.raises(InvalidEvent) as caught:
            check(Draft("track", "Bought", "m3", properties={"a": 1}), "shop")
        assert (caught.value.reason, caught.value.field) == ("blocked_by_plan", "properties")
        check(Draft("track", "Other", "m4"), "shop")

    asyncio.run(run())
    assert [(event, source, message, given) for event, source, message, _, given in recorded] == [
        ("Viewed", "shop", "m1", {"sku": "a", "price": -1}), ("identify", "shop", "m2", {"age": "x", "b": 1}),
        ("Bought", "shop", "m3", {"a": 1}),
    ]  # fmt: skip


def test_a_plan_that_says_nothing_costs_nothing(settings: Settings) -> None:
    put(settings, PLAN, {"events": {}}, Edit("Li"))

    async def run() -> None:
        police = Police(settings, lambda *_: None)
        assert await police.refresh() is police.current() is None

    asyncio.run(run())


class FakeRedis:
    """As much of Redis as violations need."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.lists: dict[str, list[bytes]] = {}
        self.away = False
        self.results: list[Any] = []

    async def hlen(self, key: str) -> int:
        if self.away:
            raise RedisAway("away")
        return len(self.hashes.get(key, {}))

    async def hmget(self, key: str, names: list[bytes]) -> list[bytes | None]:
        return [self.hashes.get(key, {}).get(name) for name in names]

    def pipeline(self, transaction: bool) -> "FakeRedis":
        return self

    def hincrby(self, key: str, name: bytes, count: int) -> None:
        found = self.hashes.setdefault(key, {})
        found[name] = str(int(found.get(name, b"0")) + count).encode()

    def lpush(self, key: str, *values: bytes) -> None:
        self.lists[key] = [*reversed(values), *self.lists.get(key, [])]

    def ltrim(self, key: str, first: int, last: int) -> None:
        self.lists[key] = self.lists[key][first : last + 1]

    def expire(self, key: str, seconds: int) -> None:
        assert seconds == 30 * 86_400

    def hgetall(self, key: str) -> None:
        self.results.append(self.hashes.get(key, {}))

    def lrange(self, key: str, first: int, last: int) -> None:
        self.results.append(self.lists.get(key, [])[first : last + 1])

    async def execute(self) -> list[Any]:
        results, self.results = self.results, []
        return results


NAMES = Names("cdp")
BAD = Verdict("warn", (Violation("properties.products[3].price", "-1 is less than 0", "minimum"),))


def test_violations_are_counted_and_sampled() -> None:
    redis = FakeRedis()
    violations = Violations(NAMES, redis, lambda: NOW, sealer)
    for number in range(30):
        violations.record("Viewed", "shop", f"m{number}", BAD, {"price": -1, "text": "x" * 5_000})
    violations.record("Viewed", "till", "m", BAD, {})
    violations.record("Viewed", "shop", "m", ALLOWED, {})
    asyncio.run(violations.flush())
    violations.record("Viewed", "shop", "last", BAD, {"odd": object()})
    asyncio.run(violations.flush())
    counted = total([redis.hashes[counts_key(NAMES, NOW // DAY)]])
    assert [(c.event, c.path, c.keyword, c.source, c.count) for c in counted] == [
        ("Viewed", "properties.products[].price", "minimum", "shop", 31),
        ("Viewed", "properties.products[].price", "minimum", "till", 1),
    ]
    assert total([redis.hashes[counts_key(NAMES, NOW // DAY)]], "Other") == []
    samples = read_samples(redis.lists[samples_key(NAMES, "Viewed")])
    assert (len(samples), samples[0]["message_id"], samples[0]["properties"]) == (20, "last", "")
    assert len(samples[1]["properties"]) == 2_048
    assert samples[1]["violations"] == [
        {"path": "properties.products[3].price", "message": "-1 is less than 0", "keyword": "minimum"}
    ]
    assert days_until(NOW, 2) == range(NOW // DAY - 1, NOW // DAY + 1)


def test_violations_wait_for_redis_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations_module, "MAX_PENDING", 5)
    redis = FakeRedis()
    violations = Violations(NAMES, redis, lambda: NOW, sealer)
    redis.away = True
    for number in range(20):
        violations.record(f"Event {number}\ud800", "shop\ud800", "\ud800", BAD, {"\ud800": 1})
        asyncio.run(violations.flush())
    redis.away = False
    asyncio.run(violations.flush())
    counted = total([redis.hashes[counts_key(NAMES, NOW // DAY)]])
    assert sum(c.count for c in counted) == 20
    assert {c.event for c in counted} == {OTHER[0], *(f"Event {number}?" for number in range(5))}


def test_redis_holds_no_more_than_so_many_violations_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations_module, "MAX_COUNTED", 5)
    redis = FakeRedis()
    violations = Violations(NAMES, redis, lambda: NOW, sealer)
    for number in [*range(4), *range(20)]:
        violations.record(f"Event {number}", "shop", "m", BAD, {})
        asyncio.run(violations.flush())
    counted = {c.event: c.count for c in total([redis.hashes[counts_key(NAMES, NOW // DAY)]])}
    assert counted == {"Event 0": 2, "Event 1": 2, "Event 2": 2, "Event 3": 2, "Event 4": 1, OTHER[0]: 15}
    assert samples_key(NAMES, "Event 19") not in redis.lists


def test_violations_are_flushed_by_themselves_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations_module, "FLUSH_SECONDS", 0.01)
    redis = FakeRedis()

    async def run() -> None:
        violations = Violations(NAMES, redis, lambda: NOW, sealer)
        violations.start()
        violations.record("Viewed", "shop", "m", BAD, {})
        await asyncio.sleep(0.1)
        assert len(redis.hashes) == 1
        violations.record("Viewed", "shop", "m", BAD, {})
        await violations.stop()

    asyncio.run(run())
    assert total(redis.hashes.values())[0].count == 2
