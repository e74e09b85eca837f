"""What happens to people in everyday situations, under the shipped rules. Each is a story of events; the names are the people."""

from collections import defaultdict
from collections.abc import Sequence

from cdp.clock import DAY
from rules.identity import load_identity_rules
from rules.identity.simulate import Event, simulate, unique

START = 20_000 * DAY


def story(*told: tuple[str, str] | tuple[str, str, str]) -> list[set[str]]:
    """Simulate events, one a day. Each is its identifiers (``user_id:u phone:138...``) and a name, perhaps with a kind.

    Returns the names of each person's events, in the order of the people's first events.
    """
    events, names = [], {}
    for day, (ids, name, *kind) in enumerate(told):
        pairs = tuple((type_, value) for type_, _, value in (key.partition(":") for key in ids.split()))
        events.append(Event(f"m{day:05}", START + day * DAY, *(kind or ["track"]), ids=pairs))
        names[f"m{day:05}"] = name
    return named(events, names)


def named(events: Sequence[Event], names: dict[str, str]) -> list[set[str]]:
    people: dict[int, set[str]] = defaultdict(set)
    for message_id, person in simulate(unique(events), load_identity_rules()).person_of.items():
        people[person].add(names[message_id])
    return [people[person] for person in sorted(people)]


def test_anonymous_then_login() -> None:
    assert story(
        ("anonymous_id:a", "looks around"),
        ("anonymous_id:a user_id:u1", "logs in", "identify"),
        ("user_id:u1", "buys on the phone"),
        ("anonymous_id:a", "looks again"),
    ) == [{"looks around", "logs in", "buys on the phone", "looks again"}]


def test_two_devices_of_one_member() -> None:
    assert story(
        ("device_id:phone", "1"), ("device_id:tablet", "2"),
        ("device_id:phone member_id:m", "3", "identify"), ("device_id:tablet member_id:m", "4", "identify"),
        ("device_id:tablet", "5"), ("device_id:stranger", "else"),
    ) == [{"1", "2", "3", "4", "5"}, {"else"}]  # fmt: skip


def test_a_shared_device_does_not_glue_its_members() -> None:
    """Before the second member its events are the first one's; after it nobody can say whose they are."""
    assert story(
        ("device_id:kiosk", "ann"), ("device_id:kiosk user_id:ann", "ann", "identify"), ("device_id:kiosk", "ann"),
        ("device_id:kiosk user_id:bob", "bob", "identify"), ("device_id:kiosk", "nobody"), ("device_id:kiosk", "nobody"),
        ("user_id:ann device_id:kiosk", "ann"), ("user_id:bob", "bob"),
    ) == [{"ann"}, {"bob"}, {"nobody"}]  # fmt: skip


def test_a_phone_shared_in_a_family() -> None:
    """Two members with one number stay two; what only the number says later is neither's."""
    assert story(
        ("member_id:mother phone:13800000001", "mother", "identify"), ("phone:13800000001", "mother"),
        ("member_id:son phone:13800000001", "son", "identify"), ("phone:13800000001", "either"),
        ("member_id:mother", "mother"), ("member_id:son phone:13800000001", "son"),
    ) == [{"mother"}, {"son"}, {"either"}]  # fmt: skip


def test_a_changed_phone_number() -> None:
    assert story(
        ("user_id:u phone:13800000001", "u", "identify"), ("user_id:u phone:13900000002", "u", "identify"),
        ("phone:13800000001", "u"), ("phone:13900000002", "u"), ("phone:13700000003", "else"),
    ) == [{"u"}, {"else"}]  # fmt: skip


def test_a_unionid_joins_two_openids() -> None:
    assert story(
        ("openid:app1:x", "1"), ("openid:app2:y", "2"),
        ("unionid:U openid:app1:x", "3"), ("unionid:U openid:app2:y", "4"), ("openid:app2:z", "else"),
    ) == [{"1", "2", "3", "4"}, {"else"}]  # fmt: skip


def test_a_marketplace_buyer_with_a_masked_phone() -> None:
    """A masked number is ten thousand people's: it links nobody, and alone it is nobody."""
    assert story(
        ("taobao_buyer_id:b1 phone:138****1234", "b1"), ("taobao_buyer_id:b2 phone:138****1234", "b2"),
        ("taobao_buyer_id:b1", "b1"), ("phone:138****1234", "nobody"),
    ) == [{"b1"}, {"b2"}]  # fmt: skip


def test_two_member_cards_merged_at_the_till() -> None:
    """Two loyalty cards of one phone are one person; two member numbers stay two, and somebody is asked."""
    assert story(
        ("loyalty_card:100200", "1"), ("loyalty_card:300400", "2"), ("loyalty_card:100200 loyalty_card:300400", "3", "alias"),
        ("loyalty_card:300400", "4"),
    ) == [{"1", "2", "3", "4"}]  # fmt: skip
    events = [Event("a", START, "alias", ids=(("member_id", "m1"), ("member_id", "m2")))]
    found = simulate(events, load_identity_rules())
    assert [(one.reason, one.review) for one in found.refusals] == [("exclusive", True)]


def test_ten_thousand_accounts_behind_one_blocked_value() -> None:
    events = [
        Event(f"m{n}", START + n, "identify", ids=(("user_id", f"u{n}"), ("phone", "13800138000"), ("device_id", "0000")))
        for n in range(10_000)
    ]
    found = simulate(unique(events), load_identity_rules())
    assert len(found.people) == 10_000
    assert not found.refusals
    assert found.keys_of["m7"] == ("user_id:u7",)


def test_two_thousand_accounts_on_one_device() -> None:
    """Where it is not blocked, the device is nobody's from the second account on: it stays cheap, and glues nobody."""
    events = [
        Event(f"m{n}", START + n, "identify", ids=(("user_id", f"u{n}"), ("device_id", "kiosk"), ("phone", f"1390000{n:04}")))
        for n in range(2_000)
    ] + [Event(f"p{n}", START + 20_000 + n, "track", ids=(("phone", f"1390000{n:04}"),)) for n in range(2_000)]
    found = simulate(unique(events), load_identity_rules())
    assert len(found.people) == 2_000
    assert all(found.person_of[f"m{n}"] == found.person_of[f"p{n}"] for n in range(2_000))


def test_unbound_and_bound_again() -> None:
    assert story(
        ("user_id:ann phone:13800000001", "ann", "identify"), ("phone:13800000001", "ann"),
        ("user_id:ann phone:13800000001", "ann", "unbind"), ("phone:13800000001", "bob"),
        ("user_id:bob phone:13800000001", "bob", "identify"), ("phone:13800000001", "bob"),
        ("user_id:ann", "ann"), ("user_id:bob", "bob"),
    ) == [{"ann"}, {"bob"}]  # fmt: skip


def test_unbound_and_bound_to_the_same_person_again() -> None:
    assert story(
        ("user_id:ann phone:13800000001", "ann", "identify"), ("user_id:ann phone:13800000001", "ann", "unbind"),
        ("user_id:ann phone:13800000001", "ann", "identify"), ("phone:13800000001", "ann"),
    ) == [{"ann"}]  # fmt: skip


def test_an_event_of_before_the_login_counts_however_late_it_comes() -> None:
    late = Event("late", START - DAY, "track", ids=(("device_id", "d"),))
    login = Event("login", START, "identify", ids=(("device_id", "d"), ("user_id", "u")))
    assert named([login, late], {"late": "u", "login": "u"}) == [{"u"}]


def test_what_somebody_decided_counts() -> None:
    login = Event("login", START, "identify", ids=(("user_id", "u"), ("phone", "13800000001")))
    bought = Event("bought", START + DAY, "track", ids=(("phone", "13800000001"),))
    pairs = b'{"pairs": [["phone:+8613800000001", "user_id:u"]]}'
    parted = Event("no", START + 2 * DAY, "decision", "apart", (("user_id", "u"),), properties=pairs)
    names = {"login": "u", "bought": "stranger", "no": "u"}
    assert named([login, bought, parted], names) == [{"u"}, {"stranger"}]
    again = Event("yes", START + 3 * DAY, "decision", "together", (("user_id", "u"),), properties=pairs)
    assert named([login, bought, parted, again], names | {"yes": "u"}) == [{"u", "stranger"}]
    broken = Event("no", START + 2 * DAY, "decision", "apart", (("user_id", "u"),), properties=b'{"pairs": 7}')
    found = simulate(unique([login, broken]), load_identity_rules())
    assert "no" not in found.person_of
