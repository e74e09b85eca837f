"""The endpoints and commands of write keys and of the tracking plan, with a real definitions database."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from cdp.clock import DAY
from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.topics import Names
from serving.app import create_app
from serving.commands import register
from serving.definitions import mint_token
from serving.definitions.cache import Credentials
from serving.definitions.credentials import Grant, find, find_app
from serving.plan.compile import Verdict, Violation
from serving.plan.violations import Violations
from tests.sealing import sealer, sealing
from tests.unit.test_tracking_plan import NOW, FakeRedis

NAMES = Names("cdp")
ROWS = [
    ("Product Viewed", "track", '{"sku":"a","price":5}'), ("Product Viewed", "track", '{"sku":"b","price":-1}'),
    ("Page Viewed", "page", '{"path":"/"}'),
]  # fmt: skip
PLAN = {
    "unplanned_events": "warn",
    "events": {
        "Product Viewed": {"schema": {"properties": {"price": {"type": "number", "minimum": 0}}}, "on_violation": "block"}
    },
}


class FakeClickHouse:
    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    @contextmanager
    def query_rows_stream(self, _: str, parameters: dict[str, Any], settings: dict[str, Any]) -> Iterator[Any]:
        self.parameters = parameters
        yield iter(ROWS)


class Api:
    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        self.redis, self.facts = FakeRedis(), FakeClickHouse()
        self.app = create_app(self.settings)
        self.app.state.parts = SimpleNamespace(
            settings=self.settings, sealing=sealing(self.settings),
            names=NAMES, clock=lambda: NOW, redis=self.redis, credentials=Credentials(self.settings),
            clickhouse=self._clickhouse,
        )  # fmt: skip
        self.tokens = {role: mint_token(self.settings, role, role) for role in ("analyst", "ops", "admin")}

    async def _clickhouse(self, use: Any) -> Any:
        return use(self.facts)

    def call(self, method: str, path: str, body: Any = None, role: str = "admin", **headers: str) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
                given = {"Authorization": f"Bearer {self.tokens[role]}", "Content-Type": "application/json", **headers}
                return await client.request(method, f"/v1/{path}", content=content, headers=given)

        return asyncio.run(run())

    def ok(self, *args: Any, status: int = 200, **more: Any) -> Any:
        answer = self.call(*args, **more)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


def test_a_key_from_beginning_to_end(api: Api) -> None:
    made = api.ok(
        "POST", "keys", {"name": "shop", "quota_rate": 5, "origins": ["https://a.example"], "apps": ["web"]}, status=201
    )
    assert made["key"] | {"created": ""} == {
        "name": "shop", "created": "", "disabled": False, "secrets": 1, "old_secret_until": None, "quota_rate": 5.0,
        "quota_burst": None, "origins": ["https://a.example"], "apps": ["web"], "description": "",
    }  # fmt: skip
    grant = Grant("shop", None, 5.0, None, ("https://a.example",))
    assert find(api.settings, made["secret"]) == find_app(api.settings, "web") == grant
    rotated = api.ok("POST", "keys/shop/rotate", {"overlap_seconds": 60})
    assert rotated["key"]["secrets"] == 2
    assert find(api.settings, made["secret"]) == find(api.settings, rotated["secret"]) == grant
    assert api.ok("POST", "keys/shop/rotate")["key"]["secrets"] == 2
    assert api.ok("POST", "keys/shop/expire")["secrets"] == 1
    changed = api.ok("PATCH", "keys/shop", {"quota_rate": None, "disabled": True, "description": "Web"})
    assert (changed["quota_rate"], changed["disabled"], changed["origins"]) == (None, True, ["https://a.example"])
    assert api.ok("GET", "keys/shop") == changed
    assert api.ok("GET", "keys") == {"keys": [changed]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "keys", {"name": "a/b"}, 422, "name"), ("POST", "keys", {"name": "a\x00"}, 422, "name"),
        ("POST", "keys", {"name": "taken"}, 409, ""), ("POST", "keys", b"{", 422, "1"), ("POST", "keys", b"[" * 100_000, 400, ""),
        ("POST", "keys", b'{"name":"\\ud800"}', 422, "name"), ("POST", "keys", b'{"\\ud800":1}', 422, None),
        ("POST", "keys", b'{"name":"x","quota_rate":' + b"9" * 5000 + b"}", 400, ""),
        ("POST", "keys", b'{"name":"x","quota_rate":' + b"9" * 400 + b"}", 422, "quota_rate"),
        ("POST", "keys", b'{"name":"x","quota_rate":NaN}', 422, "quota_rate"), ("POST", "keys", {"name": 5}, 422, "name"),
        ("PATCH", "keys/taken", {"disabled": "true"}, 422, "disabled"),
        ("PATCH", "keys/taken", {"quota_burst": 0}, 422, "quota_burst"),
        ("PATCH", "keys/taken", {"origins": ["x"]}, 422, "origins.0"), ("PATCH", "keys/taken", {"secret": "a"}, 422, "secret"),
        ("PATCH", "keys/nobody", {}, 404, ""), ("POST", "keys/nobody/rotate", None, 404, ""),
        ("GET", "keys/%00%ff", None, 404, ""), ("POST", "keys/nobody/expire", None, 404, ""),
        ("POST", "keys/taken/rotate", {"overlap_seconds": -1}, 422, "overlap_seconds"),
        ("PUT", "plan", {"events": {"A": {"schema": {"type": "txt"}}}}, 422, "events.A.schema.type"),
        ("PUT", "plan", {"events": {"A": {"on_violation": "stop"}}}, 422, "events.A.on_violation"),
        ("PUT", "plan", b'{"events":{"A":{"schema":{"const":NaN}}}}', 422, "events.A.schema"),
        ("PUT", "plan", b'{"events":{"\\ud800":{}}}', 422, None), ("PUT", "plan", b'{"\\ud800":{}}', 422, None),
        ("PUT", "plan", b'{"events":{"A":{"schema":{"const":"\\ud800"}}}}', 422, None),
        ("PUT", "plan", b'{"events":{"A":{"schema":' + b'{"not":' * 200 + b"{}" + b"}" * 200 + b"}}}", 422, None),
        ("POST", "plan/rollback", {"to": 7}, 404, ""), ("GET", "plan?version=7", None, 404, ""),
        ("GET", "plan?version=99999999999999999999", None, 422, "version"), ("POST", "plan/check", {"event": 5}, 422, "event"),
        ("POST", "plan/check", b'{"event":{"properties":{"a":"\\udfff"}}}', 422, "event.properties"),
        ("POST", "plan/check", {"event": {}, "plan": {"events": {"A": {"schema": {"$ref": "http://127.0.0.1:1"}}}}}, 422, None),
    ],
)  # fmt: skip
def test_what_is_refused(api: Api, method: str, path: str, body: Any, status: int, field: str | None) -> None:
    api.ok("POST", "keys", {"name": "taken"}, status=201)
    answer = api.call(method, path, body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]
    if field is not None:
        assert answer.json().get("field", "") == field


def test_who_may(api: Api) -> None:
    for method, path, lowest in (
        ("GET", "keys", "admin"), ("POST", "keys", "admin"), ("PATCH", "keys/a", "admin"), ("GET", "plan", "analyst"),
        ("GET", "plan/versions", "analyst"), ("GET", "plan/violations", "analyst"), ("PUT", "plan", "ops"),
        ("POST", "plan/rollback", "ops"), ("POST", "plan/draft", "ops"), ("POST", "plan/check", "ops"),
    ):  # fmt: skip
        roles = ("analyst", "ops", "admin")
        for role in roles:
            refused = api.call(method, path, {} if method != "GET" else None, role).status_code == 403
            assert refused == (roles.index(role) < roles.index(lowest)), (method, path, role)


def test_the_plans_versions(api: Api) -> None:
    first = api.call("GET", "plan")
    assert (first.headers["etag"], first.json()["version"], first.json()["plan"]) == ('"0"', 0, {})
    put = api.call("PUT", "plan?note=Begin", PLAN, "ops", **{"If-Match": '"0"'})
    assert (put.status_code, put.headers["etag"]) == (200, '"1"')
    answer = put.json()
    assert (answer["plan"], answer["author"], answer["note"]) == (PLAN, "ops", "Begin")
    assert api.call("PUT", "plan", PLAN, **{"If-Match": '"0"'}).status_code == 409
    assert api.call("PUT", "plan", PLAN, **{"If-Match": "nonsense"}).json()["field"] == "header.If-Match"
    assert api.ok("PUT", "plan", {}, **{"If-Match": "*"})["version"] == 2
    assert api.ok("POST", "plan/rollback", {"to": 1}, **{"If-Match": 'W/"2"'})["plan"] == PLAN
    assert [v["version"] for v in api.ok("GET", "plan/versions")["versions"]] == [3, 2, 1]
    assert api.ok("GET", "plan?version=2")["plan"] == {}


def test_trying_a_plan(api: Api) -> None:
    event = {"event": "Product Viewed", "properties": {"price": -1, "huge": 10**400}}
    assert api.ok("POST", "plan/check", {"event": event})["verdict"]["action"] == "allow"
    answer = api.ok("POST", "plan/check", {"event": event, "plan": PLAN, "traffic": {"days": 2}})
    assert answer["verdict"]["action"] == "block"
    assert answer["verdict"]["violations"][0]["path"] == "properties.price"
    assert [(one["event"], one["checked"], one["block"]) for one in answer["traffic"]] == [
        ("Product Viewed", 2, 1), ("Page Viewed", 1, 0),
    ]  # fmt: skip
    assert api.facts.parameters == {"since": NOW - 2 * DAY, "each": 1_000, "limit": 20_000}
    api.ok("PUT", "plan", PLAN)
    answer = api.ok("POST", "plan/check", {"event": {"event": "Other"}})
    assert (answer["version"], answer["verdict"]["action"]) == (1, "warn")


def test_a_draft_can_be_put_in_force(api: Api) -> None:
    draft = api.ok("POST", "plan/draft", {})
    assert draft["learnt_from"] == {"Page Viewed": 1, "Product Viewed": 2}
    assert api.ok("PUT", "plan", draft["plan"])["version"] == 1


def test_violations_are_shown(api: Api) -> None:
    violations = Violations(NAMES, api.redis, lambda: NOW, sealer)
    for event in ("A", "A", "B"):
        violations.record(event, "shop", "m", Verdict("warn", (Violation("properties.a", "wrong", "type"),)), {"a": 1})
    asyncio.run(violations.flush())
    shown = api.ok("GET", "plan/violations")
    assert [(v["event"], v["count"]) for v in shown["violations"]] == [("A", 2), ("B", 1)]
    assert {event: len(samples) for event, samples in shown["samples"].items()} == {"A": 2, "B": 1}
    shown = api.ok("GET", "plan/violations?event=B&days=1")
    assert [v["event"] for v in shown["violations"]] == list(shown["samples"]) == ["B"]
    api.app.state.parts.redis = None
    assert api.call("GET", "plan/violations").status_code == 503


# The same on the command line.


@pytest.fixture
def cdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import cdp.settings as module

    config = Settings(data_dir=tmp_path / "data")
    monkeypatch.setattr(module, "settings", lambda: config)
    app = typer.Typer()
    register(app)

    def run(*args: str, given: str = "") -> str:
        done = CliRunner().invoke(app, args, input=given)
        if isinstance(done.exception, CdpError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    run.settings = config  # type: ignore[attr-defined]
    return run


def test_keys_on_the_command_line(cdp: Any) -> None:
    first = cdp("key", "create", "--name", "shop", "--rate", "100", "--app", "web").strip()
    second = json.loads(cdp("key", "rotate", "--name", "shop", "--overlap", "7d", "--json"))
    assert find(cdp.settings, first) == find(cdp.settings, second["write_key"]) == Grant("shop", None, 100.0)
    assert "old secret until" in cdp("key", "list")
    cdp("key", "expire", "--name", "shop")
    assert find(cdp.settings, first) is None
    third = cdp("key", "create", "--name", "shop", "--secret", "kept-from-before").strip()
    assert (third, find(cdp.settings, third)) == ("kept-from-before", Grant("shop", None, 100.0))
    cdp("key", "set", "--name", "shop", "--rate", "none", "--origin", "https://a.example", "--app", "", "--description", "Web")
    shown = json.loads(cdp("key", "list", "--json"))["keys"][0]
    assert (shown["quota_rate"], shown["origins"], shown["apps"], shown["description"]) == (
        None,
        ["https://a.example"],
        [],
        "Web",
    )
    for command, works in (("disable", False), ("enable", True), ("revoke", False)):
        cdp("key", command, "--name", "shop")
        assert (find(cdp.settings, third) is not None) is works
    for args in (("rotate", "--overlap", "soon"), ("set", "--rate", "many"), ("set", "--burst", "0")):
        with pytest.raises(CdpError):
            cdp("key", args[0], "--name", "shop", *args[1:])


def test_the_plan_on_the_command_line(cdp: Any, tmp_path: Path) -> None:
    assert json.loads(cdp("plan", "show")) == {}
    assert json.loads(cdp("plan", "set", "-", "--json", given=json.dumps(PLAN))) == {"version": 1}
    file = tmp_path / "plan.yaml"
    file.write_text("events: {Bought: {schema: {required: [id]}, on_violation: block}}")
    assert "block" in cdp("plan", "check", str(file), "--event", "Bought")
    assert json.loads(cdp("plan", "check", "--event", "Other", "--json"))["violations"][0]["keyword"] == "unplanned"
    cdp("plan", "set", str(file), "--expected", "1", "--note", "Orders")
    assert "Orders" in cdp("plan", "versions")
    assert json.loads(cdp("plan", "rollback", "1", "--json")) == {"version": 3}
    assert json.loads(cdp("plan", "show")) == json.loads(cdp("plan", "show", "--version", "1")) == PLAN
    file.write_text("events: {Bought: {schema: {type: txt}}}")
    with pytest.raises(CdpError, match=r"^events\.Bought\.schema\.type: "):
        cdp("plan", "set", str(file))
    for args in (("set", "missing.json"), ("check", "--event", "A", "--properties", "[]"), ("set", str(file), "--expected", "1")):
        with pytest.raises(CdpError):
            cdp("plan", *args)
    file.write_text("{")
    with pytest.raises(CdpError, match="not YAML"):
        cdp("plan", "set", str(file))
