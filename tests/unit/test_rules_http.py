"""Tags and triggers over HTTP: edited live, put in force by numbered books, and handed to the stream."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from rules.definitions.load import load_rules
from serving.rules import books
from serving.rules.live import RAISE
from tests.live_rules import NAMES, Api

TAG = {"title": "Big spender", "type": "yes_no", "value": "tag.order_amount > 5000"}
TRIGGER = {
    "title": "Thanks", "event": "Order Completed", "when": "tag.vip", "occasion": "order", "channels": ["log"],
    "content": {"text": "Dear {attribute.name}"},
}  # fmt: skip
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


def put(api: Api, path: str, body: Any, **headers: str) -> Any:
    return api.ok("PUT", f"rules/{path}", body, role="ops", **headers)


def refused(api: Api, path: str, body: Any, *, method: str = "PUT", status: int = 422) -> tuple[str, str]:
    """The field and the message of an error: one sentence, and one on what to do."""
    answer = api.call(method, f"rules/{path}", body)
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert said["message"].endswith(".") and said["message"].count(". ") == 0 and said["remedy"]
    return said.get("field", ""), said["message"]


def test_the_shipped_rules_are_the_first_versions_and_book_1(api: Api) -> None:
    answer = api.call("GET", "rules/tags/member_level", role="analyst")
    found = answer.json()
    assert (answer.headers["ETag"], found["author"], found["book"], found["shipped"]) == ('"1"', "StreamCDP", 1, True)
    assert (found["rule"]["type"], found["rule"]["state"]) == ("text", "live")
    for kind, count in (("tags", len(load_rules().tags)), ("triggers", len(load_rules().triggers))):
        lines = api.ok("GET", f"rules/{kind}")[kind]
        assert [(line["version"], line["book"], line["drafts"], line["upgrade"]) for line in lines] == [(1, 1, [], None)] * count
    asyncio.run(api.live.refresh())
    shown = api.ok("GET", "tags")
    assert (shown["book"], [tag["name"] for tag in shown["tags"]]) == (1, [tag.name for tag in load_rules().tags])
    assert api.redis.store == {}  # nothing was changed by anybody, and no task has run


def test_a_rule_is_put_in_force_at_once(api: Api) -> None:
    made = put(api, "tags/vip?note=wanted", TAG)
    assert made | {"created": "", "published": ""} == {
        "version": 1, "author": "ops", "created": "", "note": "wanted", "published": "", "publisher": "ops", "book": 2,
        "shipped": False, "rule": {"name": "vip", "state": "live", **TAG},
    }  # fmt: skip
    books = api.redis.books()
    assert ([*books], api.redis.numbers, api.kafka.books) == ([1, 2], (2, 2), [2])
    assert books[2].number == 2 and api.kafka.records[0].time == books[2].time
    (vip,) = [rule for rule in books[2].tags if rule.name == "vip"]
    assert (vip.version, vip.body) == (1, made["rule"])
    assert [tag["name"] for tag in api.ok("GET", "tags")["tags"]].count("vip") == 1
    assert put(api, "triggers/thanks", TRIGGER)["book"] == 3
    shown = api.ok("GET", "rules")
    assert (shown["book"], "thanks" in [rule["name"] for rule in shown["triggers"]]) == (3, True)
    edited = put(api, "tags/vip", TAG | {"value": "tag.order_amount > 6000"}, **{"If-Match": '"1"'})
    assert (edited["version"], edited["book"]) == (2, 4)
    (shown_tag,) = [tag for tag in api.ok("GET", "tags")["tags"] if tag["name"] == "vip"]
    assert (shown_tag["version"], shown_tag["value"]) == (2, "tag.order_amount > 6000")


def test_rules_may_be_yaml(api: Api) -> None:
    made = put(api, "tags/vip", yaml.safe_dump(TAG | {"name": "vip", "version": 9}).encode(), **YAML)
    assert (made["version"], made["rule"]) == (1, {"name": "vip", "state": "live", **TAG})


def test_who_may_and_whose_change_it_is(api: Api) -> None:
    for kind in ("tags", "triggers"):
        for method, path, body in (
            ("PUT", "/x", TAG), ("POST", "/x/rollback", {"to": 1}), ("POST", "/x/publish", {"version": 1}),
        ):  # fmt: skip
            assert api.call(method, f"rules/{kind}{path}", body, role="analyst").status_code == 403
        name = api.ok("GET", f"rules/{kind}", role="analyst")[kind][0]["name"]
        for path in ("", "/versions", "/diff"):
            assert api.call("GET", f"rules/{kind}/{name}{path}", role="analyst").status_code == 200
    assert api.call("POST", "rules/check", {"tags": [{"name": "vip", **TAG}]}, role="analyst").status_code == 200
    assert put(api, "tags/vip", TAG)["author"] == "ops"
    assert api.ok("POST", "rules/tags/vip/rollback", {"to": 1}, role="admin")["author"] == "admin"


def test_of_two_who_edit_one_version_the_second_is_told(api: Api) -> None:
    put(api, "tags/vip", TAG, **{"If-Match": '"0"'})
    put(api, "tags/vip", TAG, **{"If-Match": '"1"'})
    for expected in ("0", "1", "3"):
        assert api.call("PUT", "rules/tags/vip", TAG, **{"If-Match": f'"{expected}"'}).status_code == 409
    assert api.live.number == 3


def test_many_who_edit_rules_at_one_moment_come_one_after_the_other(api: Api) -> None:
    async def edit(client: httpx.AsyncClient, name: str) -> int:
        headers = {"Authorization": f"Bearer {api.tokens['ops']}", "Content-Type": "application/json"}
        answer = await client.put(f"/v1/rules/tags/{name}", content=json.dumps(TAG), headers=headers)
        return int(answer.json()["book"])

    async def run() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api") as client:
            return await asyncio.gather(*(edit(client, f"tag_{number % 7}") for number in range(20)))

    assert sorted(asyncio.run(run())) == [*range(2, 22)]
    assert (api.redis.numbers, sorted(api.redis.books())) == ((21, 21), [*range(1, 22)])
    assert api.kafka.books == sorted({*api.kafka.books})


def test_a_draft_is_no_part_of_a_book(api: Api) -> None:
    draft = put(api, "tags/vip?publish=false", TAG | {"value": "tag.nobody"})
    assert (draft["version"], draft["book"], draft["published"], api.redis.store) == (1, None, None, {})
    assert api.call("GET", "rules/tags/vip").status_code == 404
    assert api.ok("GET", "rules/tags/vip?version=1")["rule"]["value"] == "tag.nobody"
    (line,) = [line for line in api.ok("GET", "rules/tags")["tags"] if line["name"] == "vip"]
    assert (line["version"], line["drafts"], line["state"]) == (None, [1], "")
    # What only the book shows is looked at when it is published.
    field, message = refused(api, "tags/vip/publish", {"version": 1}, method="POST")
    assert (field, message) == ("value", "Tag 'vip', field 'value': uses tag.nobody, which does not exist.")
    put(api, "tags/vip?publish=false", TAG)
    done = api.ok("POST", "rules/tags/vip/publish", {"version": 2}, role="ops")
    assert (done["version"], done["book"], done["publisher"]) == (2, 2, "ops")
    assert api.ok("POST", "rules/tags/vip/publish", {"version": 2})["book"] == 2  # it is in force
    assert api.call("POST", "rules/tags/vip/publish", {"version": 1}).status_code == 409
    assert api.kafka.books == [2]


def test_going_back_and_forth(api: Api) -> None:
    put(api, "triggers/thanks", TRIGGER | {"when": ""})
    put(api, "triggers/thanks", TRIGGER | {"when": "", "max_age_days": 5})
    back = api.ok("POST", "rules/triggers/thanks/rollback?note=too%20old", {"to": 1})
    assert (back["version"], back["book"], "max_age_days" in back["rule"]) == (3, 4, False)
    versions = api.ok("GET", "rules/triggers/thanks/versions")["versions"]
    assert [(one["version"], one["book"], one["note"]) for one in versions] == [
        (3, 4, "Back to version 1. too old"), (2, 3, ""), (1, 2, ""),
    ]  # fmt: skip
    assert api.ok("GET", "rules/triggers/thanks/diff")["changes"] == [
        {"path": "max_age_days", "change": "removed", "old": 5, "new": None}
    ]
    assert api.ok("GET", "rules/triggers/thanks/diff?from=1&to=3")["changes"] == []
    first = api.ok("GET", "rules/triggers/thanks/diff?to=1")
    assert (first["from"], {change["change"] for change in first["changes"]}) == (0, {"added"})
    assert api.call("GET", "rules/triggers/thanks/diff?from=shipped").status_code == 404
    put(api, "tags/lapsed", TAG)
    changes = api.ok("GET", "rules/tags/lapsed/diff?from=shipped")["changes"]
    assert [change["path"] for change in changes] == ["title", "description", "value"]


def test_what_is_retired_or_paused_does_not_run(api: Api) -> None:
    put(api, "tags/vip", TAG)
    put(api, "tags/vip", TAG | {"state": "paused"})
    put(api, "triggers/thanks", TRIGGER)
    field, message = refused(api, "tags/vip", TAG | {"state": "retired"})
    assert (field, message) == ("state", "Tag 'vip', field 'state': cannot be retired while trigger 'thanks' uses it.")
    put(api, "triggers/thanks", TRIGGER | {"state": "retired"})
    put(api, "tags/vip", TAG | {"state": "retired"})
    assert refused(api, "triggers/thanks", TRIGGER) == (
        "when", "Trigger 'thanks', field 'when': uses tag.vip, which is retired.",
    )  # fmt: skip
    assert {tag["name"]: tag["state"] for tag in api.ok("GET", "tags")["tags"]}["vip"] == "retired"
    (line,) = [line for line in api.ok("GET", "rules/triggers")["triggers"] if line["name"] == "thanks"]
    assert line["state"] == "retired"


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("tags/vip", TAG | {"value": "tag.x > 1"}, "value", "Tag 'vip', field 'value': uses tag.x, which does not exist."),
        ("tags/vip", TAG | {"value": "count("}, "value", "Tag 'vip', field 'value': expected orders"),
        ("tags/vip", TAG | {"name": "gold"}, "name", "Tag 'vip', field 'name': is 'gold' in the body."),
        ("tags/vip", TAG | {"name": 5}, "name", "Tag 'vip', field 'name': is 5 in the body."),
        ("tags/vip", TAG | {"colour": "red"}, "colour", "Tag 'vip', field 'colour': is not a field"),
        ("tags/vip", TRIGGER, "value", "Tag 'vip', field 'value': must be an expression"),
        ("tags/vip", [], "", "The rule must be a mapping"), ("tags/vip", b"{", "", "The rule is not JSON"),
        ("tags/vip", b"#" * 70_000, "", "The document is larger than 65,536 bytes."),
        ("tags/vip", {**TAG, "description": "\ud800"}, "", "The document is not JSON."),
        ("tags/order_amount", TAG, "value", "Tag 'order_amount', field 'value': the tags use each other in a circle"),
        ("tags/order_amount_365d", TAG | {"state": "retired", "value": "1"}, "state", "Tag 'order_amount_365d', field 'state'"),
        ("triggers/hi", TRIGGER, "when", "Trigger 'hi', field 'when': uses tag.vip, which does not exist."),
        ("triggers/hi", TRIGGER | {"when": "", "content": {"a": "{tag.vip}"}}, "content.a", "Trigger 'hi', field 'content.a'"),
        ("triggers/hi", TRIGGER | {"occasion": "hour"}, "occasion", "Trigger 'hi', field 'occasion': must be one of"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_rule_the_field_and_the_remedy(api: Api, path: str, body: Any, field: str, message: str) -> None:
    said = refused(api, path, body)
    assert (said[0], said[1][: len(message)]) == (field, message)
    assert (api.redis.store, api.kafka.records) == ({}, [])
    asyncio.run(api.live.refresh())
    assert api.live.number == 1


def test_names_that_are_none(api: Api) -> None:
    for name in ("a-b", "5", "a%20b", "a" * 81, "%00"):
        assert api.call("PUT", f"rules/tags/{name}", TAG).json()["field"] == "name"
    for path in ("", "/versions", "/diff"):
        assert refused(api, f"tags/nobody{path}", None, method="GET", status=404)[1] == "There is no tag 'nobody'."
    assert refused(api, "triggers/nobody/rollback", {"to": 1}, method="POST", status=404)
    assert api.call("GET", "rules/tags/lapsed?version=7").json()["message"] == "There is no version 7 of the tag 'lapsed'."


def test_trying_rules_writes_nothing(api: Api) -> None:
    given = {
        "tags": [{"name": "b", **TAG, "value": "tag.a"}, {"name": "a", **TAG}],
        "triggers": [{"name": "t", **TRIGGER, "when": "tag.b"}],
    }
    tried = api.ok("POST", "rules/check", given)
    assert tried["order"] == ["tags/a", "tags/b", "triggers/t"]
    assert (tried["tags"], tried["triggers"]) == (len(load_rules().tags) + 2, len(load_rules().triggers) + 1)
    retired = [{"name": "order_count", **TAG, "state": "retired"}, {"name": "rfm_recency", **TAG, "value": "1"}]
    retired += [{"name": name, **TAG, "value": "1"} for name in ("rfm_frequency", "rfm_money")]
    tried = api.ok("POST", "rules/check", yaml.safe_dump({"tags": retired}).encode(), **YAML)
    assert tried["order"][-1] == "tags/order_count"
    for given, field in (
        ({"tags": [{"name": "a", **TAG, "value": "tag.x"}]}, "tags.a.value"), ({"tags": [{**TAG}]}, "tags.0.name"),
        ({"tags": [{"name": "a", **TAG}, {"name": "a", **TAG}]}, "tags.a.name"), ({"tags": {}}, "tags"), ({}, ""),
        ({"tags": [{"name": "a", **TAG}], "segments": []}, "segments"),
    ):  # fmt: skip
        assert refused(api, "check", given, method="POST")[0] == field
    asyncio.run(api.live.refresh())
    assert (api.live.number, api.redis.store) == (1, {})


# -- Redis and Kafka away ------------------------------------------------------------------------------------------------------


def test_redis_away_means_written_and_in_force_later(api: Api) -> None:
    api.redis.away = True
    answer = api.call("PUT", "rules/tags/vip", TAG)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["message"] == "Version 1 of the tag 'vip' is written, but not in force yet: Redis does not answer."
    assert api.ok("GET", "rules/tags/vip")["version"] == 1
    other = api.process()
    asyncio.run(other.keep_published())
    assert api.redis.store == {}
    api.redis.away = False
    asyncio.run(other.keep_published())
    assert (api.redis.numbers, [*api.redis.books()], api.kafka.books) == ((2, 2), [1, 2], [2])


def test_kafka_away_means_written_and_in_force_later(api: Api) -> None:
    api.kafka.away = True
    assert "not in force yet: Kafka does not answer." in api.call("PUT", "rules/tags/vip", TAG).json()["message"]
    assert (api.redis.numbers, api.kafka.books) == ((2, 0), [])
    assert "version 1" in api.call("PUT", "rules/tags/vip", TAG, **{"If-Match": '"0"'}).json()["message"]  # it is written
    api.kafka.away = False
    assert put(api, "tags/vip", TAG)["book"] == 3
    assert (api.redis.numbers, api.kafka.books) == ((3, 3), [3])


def test_what_redis_lost_is_published_again(api: Api) -> None:
    for name in "abc":
        put(api, f"tags/{name}", TAG)
    api.redis.store.clear()
    asyncio.run(api.process().keep_published())
    assert (api.redis.numbers, [*api.redis.books()], api.kafka.books) == ((4, 4), [1, 2, 3, 4], [2, 3, 4, 4])
    asyncio.run(api.process().keep_published())
    assert api.kafka.books == [2, 3, 4, 4]
    del api.redis.store[NAMES.rules_announced_key]
    asyncio.run(api.process().keep_published())
    assert api.kafka.books == [2, 3, 4, 4, 4]


def test_a_book_that_is_published_late_does_not_take_back_a_newer_one(api: Api) -> None:
    put(api, "tags/a", TAG)
    put(api, "tags/b", TAG)
    asyncio.run(api.redis.eval(RAISE, 1, NAMES.rule_book_number_key, 2))
    assert api.redis.numbers == (3, 3)


def test_books_of_other_definitions_are_not_taken_back(api: Api) -> None:
    asyncio.run(api.redis.mset({NAMES.rule_book_number_key: b"7", NAMES.rules_announced_key: b"7"}))
    answer = api.call("PUT", "rules/tags/vip", TAG)
    assert answer.status_code == 503
    assert "Redis has book 7, but the definitions have 2: they do not belong together." in answer.json()["message"]
    assert (api.redis.numbers, api.kafka.books) == ((7, 7), [])


def test_another_process_takes_a_new_book_within_a_second(api: Api) -> None:
    other = api.process()
    asyncio.run(other.refresh())
    put(api, "tags/vip", TAG)
    assert other.number == 1
    other._watched._until = 0.0  # a second goes by
    asyncio.run(other.refresh())
    assert (other.number, "vip" in [tag.name for tag in other.current.tags]) == (2, True)


def test_all_rules_together_have_a_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MAX_BOOK_BYTES", 7_000)
    assert put(api, "tags/small", TAG)["book"] == 2
    field, message = refused(api, "tags/large", TAG | {"description": "x" * 1_000})
    assert (field, message) == ("", "All rules together are larger than 7,000 bytes.")
    assert put(api, "tags/small", TAG)["book"] == 3
