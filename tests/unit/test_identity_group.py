"""Who is who: corners of grouping that the properties do not name."""

import pytest

from cdp.clock import DAY
from cdp.errors import InvalidEvent
from rules.identity import load_identity_rules, parse_identity_rules
from rules.identity.group import broken_limit
from rules.identity.model import Limit
from rules.identity.place import Graph
from rules.identity.read import Told, read_decisions, read_identifier, read_sighting, strongest_first
from rules.identity.sight import Sighting

RULES = load_identity_rules()


def test_a_lone_identifier_with_a_lifetime_can_be_unbound() -> None:
    numbers = iter(range(1, 9))
    graph = Graph(RULES, {}, {}, lambda: next(numbers))
    before = graph.place(Sighting(("cookie:c",), DAY, DAY))
    graph.place(Sighting(("cookie:c",), 2 * DAY, 2 * DAY, unbinds=True))
    after = graph.place(Sighting(("cookie:c",), 3 * DAY, 3 * DAY))
    assert before.person != after.person


@pytest.mark.parametrize("name", ["a", "z"])
def test_of_two_limits_the_exclusive_one_is_said_to_be_broken(name: str) -> None:
    """Whatever its name: else one process would find a device shared, and another one would not."""
    rules = parse_identity_rules(
        f"identifiers: [{{name: {name}, priority: 1, exclusive: true}}, {{name: m, priority: 2, limits: {{ever: 2}}}}]"
    )
    one = {name: {f"{name}:1": 0}, "m": {"m:1": 0, "m:2": 0}}
    two = {name: {f"{name}:2": 0}, "m": {"m:3": 0}}
    assert broken_limit(one, two, 5, rules) == (name, Limit(1))
    assert broken_limit(two, one, 5, rules) == (name, Limit(1))
    assert broken_limit({"m": one["m"]}, two, 5, rules) == ("m", Limit(2))
    assert broken_limit({"m": {"m:1": 0}}, two, 5, rules) is None


def test_an_identifier_that_is_sent_in_two_forms_is_one() -> None:
    forms = [read_identifier("phone", value, RULES) for value in ("138 0000 0001", "+8613800000001", "138****0001")]
    assert forms[2] is None
    assert strongest_first(forms) == ("phone:+8613800000001",)


def test_identifiers_are_sorted_by_strength_and_undeclared_ones_are_the_weakest() -> None:
    pairs = [("zoo", "1"), ("cookie", "c"), ("user_id", "u"), ("phone", "13800000001"), ("", "x"), ("a:b", "x")]
    keys = strongest_first(read_identifier(*pair, RULES) for pair in pairs)
    assert keys == ("user_id:u", "phone:+8613800000001", "cookie:c", "zoo:1")


def test_a_look_up_token_is_in_normal_form() -> None:
    token = "~" + "Ab-_9" * 4 + "xy"
    form = read_identifier("phone", token, RULES)
    assert form is not None
    assert (form.key, form.is_unchanged) == (f"phone:{token}", True)
    assert read_identifier("phone", "~short", RULES) is None


@pytest.mark.parametrize("pair", ['["a:1", "a:1"]', '["a", "b:1"]', '[":1", "b:1"]', '["a:", "b:1"]'])
def test_a_decision_about_no_two_identifiers_is_refused(pair: str) -> None:
    with pytest.raises(InvalidEvent, match="a pair is two identifiers"):
        read_decisions("apart", 1, b'{"pairs": [%s]}' % pair.encode())


def test_what_an_event_says() -> None:
    login = read_sighting(("user_id:u", "device_id:d"), Told("track", "$SignUp"), 1, 2, RULES, "web", "m")
    assert (login.is_express, login.unbinds, login.pairs) == (True, False, [("user_id:u", "device_id:d")])
    unbinding = read_sighting(("phone:p",), Told("unbind", ""), 1, 2, RULES)
    assert (unbinding.unbinds, unbinding.pairs) == (True, [])
    decision = read_sighting(("a:1",), Told("decision", "together", b'{"pairs": [["b:2", "a:1"]], "by": "x"}'), 1, 2, RULES)
    assert [(one.a, one.b, one.verdict, one.by) for one in decision.decisions] == [("a:1", "b:2", "together", "x")]
