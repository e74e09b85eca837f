"""Books of rules: published bodies to a RuleBook, and what is wrong only in the book as a whole."""

from typing import Any

import pytest

from cdp.rule_books import (
    PublishedRule,
    RuleBookDocument,
    RulesRecord,
    decode_book,
    decode_rules_record,
    encode_book,
    encode_rules_record,
)
from cdp.topics import Names
from profiles.book import compile_book
from rules.definitions.bodies import as_body, decode
from rules.definitions.entries import InvalidRule
from rules.definitions.load import check_rule, load_rules, read_book, shipped_bodies
from rules.language.values import calculate


def tag(name: str, value: str = "count(orders)", **more: Any) -> PublishedRule:
    body = as_body({"name": name, "title": name, "type": "number", "value": value, **more})
    return PublishedRule(name, 3, body)


def trigger(name: str, when: str = "", text: str = "", **more: Any) -> PublishedRule:
    entry = {"name": name, "title": name, "event": "E", "when": when, "occasion": "ever", "channels": "log"}
    return PublishedRule(name, 5, as_body({**entry, "content": {"text": text}, **more}))


def book(*rules: PublishedRule) -> RuleBookDocument:
    triggers = [rule for rule in rules if "event" in rule.body]
    return RuleBookDocument(7, 1, [rule for rule in rules if "event" not in rule.body], triggers)


def test_what_is_handed_to_the_stream() -> None:
    document = book(tag("a"), trigger("t"))
    assert decode_book(encode_book(document)) == document
    record = encode_rules_record(RulesRecord(book=7, time=1))
    assert record == b'{"kind":"rules","book":7,"time":1}'
    assert decode_rules_record(record) == RulesRecord(book=7, time=1)
    names = Names("cdp")
    assert (names.rule_book_key(7), names.rule_book_number_key) == ("cdp:rules:book:7", "cdp:rules:book")
    assert names.rules_announced_key == "cdp:rules:announced"


def test_the_shipped_rules_as_a_book_are_the_shipped_rules() -> None:
    bodies = shipped_bodies()
    rules = {
        kind: [PublishedRule(name, 1, body) for (k, name), body in bodies.items() if k == kind] for kind in ("tags", "triggers")
    }
    found, shipped = read_book(decode_book(encode_book(RuleBookDocument(1, 0, **rules)))), load_rules()
    assert (found.tags, found.triggers) == (shipped.tags, shipped.triggers)
    assert len(compile_book(found).tags) == len(shipped.tags)
    assert all(body["state"] == "live" and "version" not in body for body in bodies.values())


def test_the_platform_counts_versions() -> None:
    found = read_book(book(tag("a", version=9), trigger("t", version=9)))
    assert (found.tags[0].version, found.triggers[0].version, found.identifiers) == (3, 5, ())


def test_the_order_of_tags_does_not_matter() -> None:
    rules = [tag("a", "tag.z + tag.c"), tag("z", "tag.m"), tag("m"), tag("c"), tag("b", "tag.gone", state="retired")]
    for several in (rules, rules[::-1]):
        assert [rule.name for rule in read_book(book(*several)).tags] == ["c", "m", "z", "a", "b"]


@pytest.mark.parametrize(
    ("rules", "changed", "message", "path"),
    [
        ([tag("a", "tag.b")], [], "Tag 'a', field 'value': uses tag.b, which does not exist.", "tags.a.value"),
        ([trigger("t", "tag.b > 1")], [], "Trigger 't', field 'when': uses tag.b, which does not exist.", "triggers.t.when"),
        (
            [trigger("t", text="{tag.b}")], [], "Trigger 't', field 'content.text': uses tag.b, which does not exist.",
            "triggers.t.content.text",
        ),
        (
            [tag("a", "tag.b"), tag("b", state="retired")], [], "Tag 'a', field 'value': uses tag.b, which is retired.",
            "tags.a.value",
        ),
        (
            [tag("a", "tag.b"), tag("b", state="retired"), trigger("t", "tag.b > 1")], [("tags", "b")],
            "Tag 'b', field 'state': cannot be retired while tag 'a' and trigger 't' use it.", "tags.b.state",
        ),
        (
            [tag("a", "tag.b"), tag("b", state="retired")], [("tags", "b")],
            "Tag 'b', field 'state': cannot be retired while tag 'a' uses it.", "tags.b.state",
        ),
        (
            [tag("a", "tag.b"), tag("b", state="retired")], [("tags", "a"), ("tags", "b")],
            "Tag 'a', field 'value': uses tag.b, which is retired.", "tags.a.value",
        ),
        (
            [tag("x", "tag.a"), tag("a", "tag.c"), tag("c", "tag.b"), tag("b", "tag.a")], [],
            "Tag 'a', field 'value': the tags use each other in a circle: a -> c -> b -> a.", "tags.a.value",
        ),
        (
            [tag("a", "tag.c"), tag("c", "tag.b"), tag("b", "tag.a")], [("tags", "b")],
            "Tag 'b', field 'value': the tags use each other in a circle: b -> a -> c -> b.", "tags.b.value",
        ),
        ([tag("a", "tag.a")], [], "Tag 'a', field 'value': the tags use each other in a circle: a -> a.", "tags.a.value"),
        ([tag("a"), tag("a", "1")], [], "There are two tag rules named 'a'.", "tags.a.name"),
        ([tag("a", "count(")], [], "Tag 'a', field 'value': expected orders", "tags.a.value"),
    ],
)  # fmt: skip
def test_mistakes_of_the_book_as_a_whole(rules: list[PublishedRule], changed: list[Any], message: str, path: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        read_book(book(*rules), changed)
    assert caught.value.message.startswith(message)
    assert (caught.value.path, caught.value.message.count(". ")) == (path, 0)
    assert caught.value.remedy


def test_what_is_retired_may_use_what_is_gone_and_what_is_paused_may_be_used() -> None:
    found = read_book(book(tag("a", "tag.b", state="retired"), tag("b", state="paused"), tag("c", "tag.b")))
    assert [tag.rule.name for tag in compile_book(found).tags] == ["c"]


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("tags", {"value": "(" * 500 + "1" + ")" * 500}, "value"), ("tags", {"value": " or ".join(["any"] * 3)}, "value"),
        ("tags", {"value": " + ".join(["count(orders)"] * 70)}, "value"), ("tags", {"value": "1" * 5000}, "value"),
        ("tags", {"value": "1" * 20}, "value"), ("tags", {"value": "minutes_since(first(any.time)) > 1"}, "value"),
        ("tags", {"value": [5]}, "value"), ("tags", {"value": [{"when": "1", "then": 1}] * 101}, "value"),
        ("tags", {"value": None}, "value"), ("tags", {"type": "colour"}, "type"), ("tags", {"name": "a-b"}, "name"),
        ("tags", {"name": "a" * 81}, "name"), ("tags", {"state": "off"}, "state"), ("tags", {"colour": "red"}, "colour"),
        ("tags", {"title": 5}, "title"), ("triggers", {"channels": []}, "channels"), ("triggers", {"event": [""]}, "event"),
        ("triggers", {"content": {"text": {"a": 1}}}, "content.text"), ("triggers", {"content": "text"}, "content"),
        ("triggers", {"when": "tag."}, "when"), ("triggers", {"occasion": "order"}, "occasion"),
    ],
)  # fmt: skip
def test_mistakes_of_one_rule(kind: str, change: dict[str, Any], field: str) -> None:
    rule = tag("a") if kind == "tags" else trigger("a")
    check_rule(kind, rule.body)
    with pytest.raises(InvalidRule) as caught:
        check_rule(kind, rule.body | change)
    word = "Tag" if kind == "tags" else "Trigger"
    assert caught.value.message.startswith(f"{word} {(rule.body | change)['name']!r}, field {field!r}: ")
    assert (caught.value.path, "\n" in caught.value.message) == (field, False)


def test_deep_expressions_that_are_taken_can_be_compiled() -> None:
    chain = " or ".join(["not not count(orders) = 1"] * 31)
    nested = "(" * 20 + "count(orders) + (count(orders) * 2" + ")" * 21
    assert len(compile_book(read_book(book(tag("a", chain), tag("b", nested)))).tags) == 2


def test_arithmetic_that_gets_out_of_hand_is_nothing() -> None:
    assert calculate("/", 10**400, 3) is None
    assert calculate("*", 10**400, 0.5) is None


def test_bodies_are_json() -> None:
    given = decode(b"name: a\nversion: 3\nvalue: [{when: 'true', then: 2026-01-01}]\n", is_json=False)
    assert as_body(given) == {"name": "a", "state": "live", "value": [{"when": "true", "then": "2026-01-01"}]}
    assert decode(b'\xef\xbb\xbf{"a": [1, null, 1.5]}', is_json=True) == {"a": [1, None, 1.5]}


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 10)) for n in range(ord("a"), ord("i"))
)


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        (b"{", True), (b"[]", True), (b"", False), (b"a: [", False), (b"\xff", False), (b"\xff", True), (b"a: 1\na: 2", False),
        (b'{"a": 1, "a": 2}', True), (b'{"a": NaN}', True), (b"a: .inf", False), (b"a: !!binary aGVsbG8=", False),
        (b'{"a":' * 30 + b"1" + b"}" * 30, True), (b"[" * 100_000, True), (b'{"a":' + b"1" * 5000 + b"}", True), (BOMB, False),
    ],
)  # fmt: skip
def test_what_is_no_body(text: bytes, is_json: bool) -> None:
    with pytest.raises(InvalidRule) as caught:
        decode(text, is_json=is_json)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
