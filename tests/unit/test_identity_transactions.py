"""Order ids as evidence, and what identifiers say together: what is kept, and what is not."""

from itertools import count

import msgspec
import pytest

from cdp.clock import DAY
from cdp.identity import IdRecord, Seen, Span, decode_record, encode_record
from rules.definitions.entries import InvalidRule
from rules.identity import load_identity_rules, parse_identity_rules
from rules.identity.combine import combined
from rules.identity.place import CROWD, Graph
from rules.identity.read import Told, read_identifier, read_sighting
from rules.identity.sight import Sighting

RULES = load_identity_rules()


def sighting(*ids: str, day: int = 1, kind: str = "track", source: str = "shop") -> Sighting:
    return read_sighting(ids, Told(kind, "X"), day * DAY, day * DAY, RULES, source)


def new_graph() -> Graph:
    numbers = count(1)
    return Graph(RULES, {}, {}, lambda: next(numbers))


def test_who_alone_tells_of_an_order_costs_no_node_and_no_number() -> None:
    graph = new_graph()
    for number in range(1000):
        placed = graph.place(sighting("user_id:u", f"order_id:{number}", day=number))
        assert (placed.part, placed.person, placed.changes) == (1, 1, ())
    assert not graph.components
    assert graph.draw_number() == 2
    assert graph.records["order_id:7"] == IdRecord(0, [Span(0, 0, 0)], "", "user_id:u", {"shop": Seen(7 * DAY, [7])})
    assert graph.seen("user_id:u", "order_id:7", "shop") == Seen(7 * DAY, [7])


def test_told_again_by_the_same_the_evidence_grows() -> None:
    graph = new_graph()
    for day in (5, 3, 9):
        graph.place(sighting("user_id:u", "order_id:7", day=day))
    assert graph.records["order_id:7"].evidence == {"shop": Seen(3 * DAY, [3, 5, 9])}


def test_the_second_who_tells_of_an_order_is_the_same_person() -> None:
    graph = new_graph()
    first = graph.place(sighting("anonymous_id:a", "order_id:7"))
    second = graph.place(sighting("phone:p", "order_id:7", day=2))
    assert (first.person, second.person) == (1, 1)
    assert graph.place(sighting("order_id:7", day=3)).person == 1


def test_the_order_alone_finds_who_told_of_it() -> None:
    graph = new_graph()
    graph.place(sighting("user_id:u", "order_id:7"))
    assert graph.place(sighting("order_id:7", day=2)).person == 1


def test_a_thousand_strangers_with_one_order_id_do_not_hang_together() -> None:
    graph = new_graph()
    people = {graph.place(sighting(f"phone:{number}", "order_id:test")).person for number in range(1000)}
    assert len(people) == 1000
    assert sum(len(component.nodes) for component in graph.components.values()) == 3
    assert {refusal.reason for component in graph.components.values() for refusal in component.refusals} == {"several"}
    assert not any(refusal.review for component in graph.components.values() for refusal in component.refusals)


def test_a_record_without_a_teller_is_written_as_it_always_was() -> None:
    """Writers compare bytes with what an older version wrote."""
    assert encode_record(IdRecord(3, [Span(0, 1, 1)], "s")) == msgspec.msgpack.encode([3, [[0, 1, 1, False]], "s"])
    told = IdRecord(0, [Span(0, 0, 0)], "", "phone:p", {"shop": Seen(1, [0])})
    assert decode_record(encode_record(told)) == told


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (("user_id:u", "device_id:d"), ()), (("member_id:m", "device_id:d"), ()), (("phone:p",), ()),
        (("phone:p", "order_id:7"), ()), (("phone:p", "device_id:d"), ("phone:p", "device_id:d")),
        (("phone:p", "device_id:d", "order_id:7"), ("phone:p", "device_id:d")), (("order_id:7", "custom:c"), ()),
    ],
)  # fmt: skip
def test_what_counts_together(ids: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert combined(ids, RULES) == names


def test_nobody_passes_for_a_combination() -> None:
    assert read_identifier("with", "0" * 24, RULES) is None
    with pytest.raises(InvalidRule, match="combinations"):
        parse_identity_rules("identifiers: [{name: with, priority: 9}]")


def test_an_address_of_a_crowd_keeps_no_combinations_and_finds_its_people_all_the_same() -> None:
    graph = new_graph()
    members = [f"user_id:{number}" for number in range(CROWD)]
    for number, member in enumerate(members):
        graph.place(sighting(member, "email:e", f"device_id:{number}", kind="identify"))
        graph.place(sighting(member, f"device_id:{number}", kind="identify"))
    person = graph.place(sighting("user_id:3", day=2)).person
    assert graph.place(sighting("email:e", "device_id:3", day=3)).person == person
    anonymous = graph.place(sighting("email:e", day=3)).person
    assert graph.place(sighting("email:e", "device_id:3", "device_id:4", day=3)).person == anonymous


def test_a_refund_of_next_year_finds_its_order() -> None:
    graph = new_graph()
    graph.place(sighting("user_id:u", "order_id:7", day=1))
    assert graph.place(sighting("order_id:7", day=500)).person == 1
    assert graph.place(sighting("order_id:7", day=900)).person == 1


def test_an_order_finds_its_buyer_under_a_browser_that_is_somebody_anew() -> None:
    """The browser was not seen with the member for its lifetime when it told of the order again: an order has one buyer."""
    graph = new_graph()
    first = graph.place(sighting("user_id:u", "cookie:c", "order_id:7"))
    assert graph.place(sighting("cookie:c", day=402)).person != first.person
    again = graph.place(sighting("cookie:c", "order_id:7", day=402))
    assert again.person == first.person
    assert graph.place(sighting("cookie:c", day=403)).person == first.person


def test_only_transactions_are_forgotten() -> None:
    with pytest.raises(InvalidRule, match="lifetime_days"):
        parse_identity_rules("identifiers: [{name: o, priority: 9, memory_days: 3}]")


def test_a_transaction_has_no_limits_of_its_own() -> None:
    with pytest.raises(InvalidRule, match="one value of each type"):
        parse_identity_rules("identifiers: [{name: o, priority: 9, transaction: true, limits: {ever: 3}}]")
