"""What an upgrade of the platform does to rules: those nobody edited follow, others stay, and what would change is shown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rules.definitions.bodies import as_body
from rules.definitions.entries import InvalidRule
from rules.definitions.load import shipped_bodies
from serving.documents.document import Edit, Kind
from serving.documents.kinds import tag, trigger
from serving.documents.store import history, publish, put, read, rollback
from serving.rules import books
from serving.rules.books import newest_book, newest_number
from serving.rules.shipped import fitting, follow_shipped, upgrades
from tests.live_rules import Api

Shipped = dict[tuple[str, str], dict[str, Any]]
LI = Edit("Li")


def a_tag(name: str, value: str = "count(orders)", **more: Any) -> dict[str, Any]:
    return as_body({"name": name, "title": name, "type": "number", "value": value, **more})


def ship(**values: str) -> Shipped:
    return {("tags", name): a_tag(name, value) for name, value in values.items()}


OLD = ship(a="1", b="tag.a", c="3")


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data", OLD)


def in_force(api: Api) -> dict[str, tuple[int, str, str]]:
    """Version, value and state of the tags in force."""
    return {rule.name: (rule.version, rule.body["value"], rule.body["state"]) for rule in newest_book(api.settings).tags}


def authors(api: Api, kind: Kind) -> list[tuple[int, str, bool]]:
    return [(one.version, one.author, bool(one.published)) for one in history(api.settings, kind)]


def test_the_first_start_makes_book_1_and_the_second_nothing(api: Api) -> None:
    assert in_force(api) == {"a": (1, "1", "live"), "b": (1, "tag.a", "live"), "c": (1, "3", "live")}
    assert follow_shipped(api.settings, OLD) == []
    assert (newest_number(api.settings), newest_book(api.settings).number) == (1, 1)
    assert [(one.author, one.note, one.shipped) for one in history(api.settings, tag("a"))] == [
        ("StreamCDP", "as it comes with the platform", True)
    ]


def test_what_nobody_edited_follows_in_one_book(api: Api) -> None:
    new = ship(a="10", b="tag.d", d="tag.a")
    assert sorted(follow_shipped(api.settings, new)) == [("tags", name) for name in "abcd"]
    assert in_force(api) == {
        "a": (2, "10", "live"), "b": (2, "tag.d", "live"), "c": (2, "3", "retired"), "d": (1, "tag.a", "live"),
    }  # fmt: skip
    assert newest_number(api.settings) == 2
    assert history(api.settings, tag("c"))[0].note == "does not come with the platform any more"
    assert follow_shipped(api.settings, OLD)  # and back
    assert in_force(api)["c"] == (3, "3", "live")


def test_what_somebody_edited_stays_and_is_shown(api: Api) -> None:
    put(api.settings, tag("a"), a_tag("a", "2"), LI)
    put(api.settings, tag("d"), a_tag("d", "4"), LI)
    new = ship(a="10", b="tag.a + 1", d="40")
    assert sorted(follow_shipped(api.settings, new)) == [("tags", "b"), ("tags", "c")]
    assert {name: in_force(api)[name][1] for name in "abd"} == {"a": "2", "b": "tag.a + 1", "d": "4"}
    assert authors(api, tag("a")) == [(3, "StreamCDP", False), (2, "Li", True), (1, "StreamCDP", True)]
    shown = api.ok("GET", "rules/upgrades", role="analyst")["upgrades"]
    assert [(one["kind"], one["name"], one["in_force"], one["base"], one["shipped"]) for one in shown] == [
        ("tags", "a", 2, 1, 3), ("tags", "d", 1, None, 2),
    ]  # fmt: skip
    assert shown[0]["shipped_changes"] == [{"path": "value", "change": "changed", "old": "1", "new": "10"}]
    assert shown[0]["changes"] == [{"path": "value", "change": "changed", "old": "2", "new": "10"}]
    (line,) = [line for line in api.ok("GET", "rules/tags")["tags"] if line["name"] == "a"]
    assert (line["version"], line["drafts"], line["upgrade"]) == (2, [], 3)
    assert follow_shipped(api.settings, new) == []


def test_an_upgrade_is_taken_or_refused_by_a_version_above_it(api: Api) -> None:
    for name in "abc":
        put(api.settings, tag(name), a_tag(name, "2"), LI)
    follow_shipped(api.settings, ship(a="10", b="10", c="2"))
    assert [one.name for one in upgrades(api.settings)] == ["a", "b"]  # c is what is shipped now
    publish(api.settings, tag("a"), 3, LI)
    put(api.settings, tag("b"), a_tag("b", "2"), LI)
    assert upgrades(api.settings) == []
    # What was taken follows again; what was refused does not.
    follow_shipped(api.settings, ship(a="11", b="11", c="2"))
    assert {name: value for name, (_, value, _) in in_force(api).items()} == {"a": "11", "b": "2", "c": "2"}
    assert [(one.name, one.base, one.shipped) for one in upgrades(api.settings)] == [("b", 3, 5)]


def test_a_rule_that_was_taken_back_to_what_is_shipped_follows(api: Api) -> None:
    put(api.settings, tag("a"), a_tag("a", "2"), LI)
    rollback(api.settings, tag("a"), 1, LI)
    follow_shipped(api.settings, ship(a="10", b="tag.a", c="3"))
    assert in_force(api)["a"] == (4, "10", "live")


def test_what_would_contradict_an_edited_rule_waits(api: Api) -> None:
    put(api.settings, tag("a"), a_tag("a", "tag.c"), LI)
    put(api.settings, tag("mine"), a_tag("mine", "tag.b"), LI)
    taken = follow_shipped(api.settings, ship(a="1", c="tag.a", e="5"))  # c would close a circle, and b is used
    assert taken == [("tags", "e")]
    assert {name: in_force(api)[name][1:] for name in "abc"} == {
        "a": ("tag.c", "live"), "b": ("tag.a", "live"), "c": ("3", "live"),
    }  # fmt: skip
    assert [one.name for one in upgrades(api.settings)] == ["b", "c"]


def test_what_fits_is_found_whatever_depends_on_what() -> None:
    offered = ship(a="tag.b", b="tag.c", c="1", x="tag.gone", y="tag.x")
    assert set(fitting({}, offered)) == {("tags", name) for name in "abc"}
    assert fitting(ship(c="tag.gone"), offered | ship(c="2")) == ship(a="tag.b", b="tag.c", c="2")
    assert fitting(ship(z="tag.gone"), ship(c="2")) == {}


def test_the_shipped_rules_of_today(tmp_path: Path) -> None:
    api = Api(tmp_path / "data")
    assert read(api.settings, trigger("signup_welcome")).body == shipped_bodies()["triggers", "signup_welcome"]
    assert follow_shipped(api.settings) == []
    assert api.ok("GET", "rules/upgrades") == {"upgrades": []}
    put(api.settings, tag("lapsed"), a_tag("lapsed"), LI)
    assert follow_shipped(api.settings) == []


def test_rules_that_cannot_be_read_any_more_are_put_anew_one_by_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:  # a version of the platform that knew a function which is gone
        older.setattr(books, "trouble", lambda *_: None)
        for name in "ab":
            put(api.settings, replace(tag(name), check=lambda _: None), a_tag(name, "gone(1)"), LI)
    with pytest.raises(InvalidRule, match="Tag 'c', field 'value'"):
        put(api.settings, tag("c"), a_tag("c", "gone(1)"), LI)
    for name in "ba":
        put(api.settings, tag(name), a_tag(name, "1"), LI)
    assert newest_number(api.settings) == 5
    assert books.trouble(newest_book(api.settings)) is None
    with pytest.raises(InvalidRule, match="which does not exist"):
        put(api.settings, tag("c"), a_tag("c", "tag.x"), LI)
