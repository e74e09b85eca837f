"""The endpoints that all documents have in common, for each kind."""

from pathlib import Path
from typing import Any

import pytest

from serving.collect.enrich import shipped_document
from serving.identity.text import shipped_text
from tests.unit.test_identity_http import Api

YAML = {"Content-Type": "application/yaml"}
IDENTITY = [shipped_text().replace("region: CN", f"region: {name}").encode() for name in ("US", "FR")]
TRAFFIC = [{**shipped_document(), "own_domains": [f"{name}.example.com"]} for name in "ab"]
PLAN: list[Any] = [{"unplanned_events": "warn"}, {"unplanned_events": "block"}]
KINDS = [
    pytest.param("plan", PLAN, {}, 0, "unplanned_events", id="plan"),
    pytest.param("traffic", TRAFFIC, {}, 0, "own_domains", id="traffic"),
    pytest.param("identity/rules", IDENTITY, YAML, 1, "region", id="identity"),
]


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


@pytest.mark.parametrize(("path", "bodies", "headers", "first", "field"), KINDS)
def test_a_draft_is_published_and_taken_back(
    api: Api, path: str, bodies: list[Any], headers: dict[str, str], first: int, field: str
) -> None:
    one, two = first + 1, first + 2
    before = api.ok("GET", path)
    assert api.ok("PUT", f"{path}?note=why", bodies[0], role="ops", **headers)["version"] == one
    draft = api.call("PUT", f"{path}?publish=false", bodies[1], role="ops", **headers, **{"If-Match": f'"{one}"'})
    assert (draft.status_code, draft.headers["ETag"], draft.json()["published"]) == (200, f'"{two}"', None)
    assert api.ok("GET", path)["version"] == one
    assert api.call("POST", f"{path}/publish", {"version": two}, **{"If-Match": '"7"'}).status_code == 409
    done = api.ok("POST", f"{path}/publish", {"version": two}, role="ops")
    assert (done["version"], done["author"], done["publisher"], api.ok("GET", path)["version"]) == (two, "ops", "ops", two)
    assert api.call("POST", f"{path}/publish", {"version": 9}).status_code == 404
    assert api.ok("POST", f"{path}/rollback?note=too%20early", {"to": one}, role="ops", **{"If-Match": f'"{two}"'})
    listed = api.ok("GET", f"{path}/versions", role="analyst")["versions"]
    assert [(line["version"], line["note"]) for line in listed[:3]] == [
        (first + 3, f"Back to version {one}. too early"), (two, ""), (one, "why"),
    ]  # fmt: skip
    (change,) = api.ok("GET", f"{path}/diff?from={one}&to={two}", role="analyst")["changes"]
    assert (change["path"], change["change"]) == (field, "changed")
    back = api.ok("GET", f"{path}/diff")
    assert (back["from"], back["to"], back["changes"][0]["new"]) == (two, first + 3, change["old"])
    assert api.ok("GET", f"{path}/diff?to={one}")["from"] == first
    assert before["version"] == first


@pytest.mark.parametrize(("path", "bodies", "headers", "first", "field"), KINDS)
def test_who_may_and_what_is_refused(
    api: Api, path: str, bodies: list[Any], headers: dict[str, str], first: int, field: str
) -> None:
    for method, below, body in (("PUT", "", bodies[0]), ("POST", "/rollback", {"to": 1}), ("POST", "/publish", {"version": 1})):
        assert api.call(method, path + below, body, "analyst", **headers).status_code == 403
    for below in ("/rollback", "/publish"):
        assert api.call("POST", path + below, {"to": 0, "version": 0}).status_code == 422
    assert api.call("GET", f"{path}/diff?from=yesterday").json()["field"] == "from"
    assert api.call("GET", f"{path}/diff?from=7").status_code == 404
    assert api.call("PUT", path, bodies[0], **headers, **{"If-Match": '"5"'}).status_code == 409
    shipped = api.call("GET", f"{path}/diff?from=shipped")
    assert shipped.status_code == (404 if path == "plan" else 200)
    if path != "plan":
        assert shipped.json() == {"from": None, "to": first, "changes": []}


def test_a_draft_of_identity_rules_does_not_reach_resolve(api: Api) -> None:
    api.ok("PUT", "identity/rules?publish=false", IDENTITY[0], **YAML)
    assert api.redis.store == {}
    api.ok("POST", "identity/rules/publish", {"version": 2})
    assert api.redis.store["cdp:rules:identity:version"] == b"2"
    assert api.call("PUT", "identity/rules", b"#" * 1_000_001, **YAML).status_code == 422
