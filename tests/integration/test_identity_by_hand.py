"""People are merged and taken apart by hand, on a real Redis, with RESOLVE and PROFILE over lists that lose what a crash loses.

Taking apart is exact: afterwards both profiles are, byte for byte, those of a run in which the two were never merged.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cdp.clock import DAY, MINUTE, to_iso
from cdp.errors import Unavailable
from cdp.events import Event, Source, decode_event
from cdp.identity import PublishedRules, encode_rules
from cdp.redis import connect, connect_async
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.state import Person
from rules.identity import load_identity_rules
from serving.collect.publish import Record
from serving.errors import ApiError
from serving.identity import change
from serving.identity.explain import explain
from serving.identity.find import find
from serving.identity.merge import merge
from serving.identity.models import Changed, Explanation, MergeRequest, RegroupRequest, ReviewRequest, Reviews, UnmergeRequest
from serving.identity.regroup import regroup
from serving.identity.reviews import decide_review, list_reviews
from serving.identity.text import shipped_text
from serving.identity.unmerge import unmerge
from serving.profiles.find import by_identifier, by_one_id
from tests.integration.test_exactly_once_steps import Platform
from tests.sealing import unsealed
from tests.shop import NOW, events_of, figures, make_event, order, tags_of

PHONE = "phone:+8613900000001"


class Desk:
    """Whoever sits at the API, and the platform that they change."""

    def __init__(self, redis_url: str, seed: int = 0, crashes: float = 0.0) -> None:
        self.redis_url = redis_url
        self.platform = Platform(redis_url, seed, crashes)
        self.time = NOW + DAY
        self.decided: list[Event] = []
        self.rules = load_identity_rules()

    def send(self, *events: Event) -> None:
        for event in events:
            self.platform.send(event)
        self.drain()

    def drain(self) -> None:
        """Let everything happen, and wake those who only wait for their facts."""
        for _ in range(3):
            self.platform.drain()
            self.platform.tick(1)
        self.platform.drain()

    def view(self, message_id: str, ids: str, **options: Any) -> None:
        self.send(make_event(message_id, "Product Viewed", ids=ids, **options))

    def run(self, ask: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            redis = connect_async(self.redis_url)
            try:
                parts = SimpleNamespace(
                    names=self.platform.names, redis=redis, publisher=self, clock=self.now, clickhouse=self._away,
                    identity=SimpleNamespace(rules=self.rules), sealing=unsealed(),
                )  # fmt: skip
                return await ask(parts)
            finally:
                await redis.aclose()

        return asyncio.run(main())

    def now(self) -> int:
        self.time += 1
        return self.time

    async def publish(self, records: Iterable[Record]) -> None:
        for record in records:
            event = decode_event(record.value)
            self.decided.append(event)
            self.platform.send(event)
        self.drain()

    async def _away(self, _: Any) -> Any:
        raise Unavailable("ClickHouse does not answer.")

    def unmerge(self, *, dry_run: bool = False, **request: Any) -> Changed:
        return self.run(lambda parts: unmerge(parts, UnmergeRequest(**request), "ann", dry_run=dry_run))

    def merge(self, one: str, other: str, *, dry_run: bool = False, force: bool = False) -> Changed:
        request = MergeRequest(one=one, other=other, force=force)
        return self.run(lambda parts: merge(parts, request, "ann", dry_run=dry_run))

    def explain(self, asked: str) -> Explanation:
        async def ask(parts: Any) -> Explanation:
            return explain(await find(parts, asked), asked, self.rules, self.time, None)

        return self.run(ask)

    def reviews(self, limit: int = 50, cursor: str | None = None) -> Reviews:
        return self.run(lambda parts: list_reviews(parts, limit, cursor))

    def decide(self, id_: str, decision: str, *, dry_run: bool = False) -> Changed:
        return self.run(lambda parts: decide_review(parts, id_, ReviewRequest(decision=decision), "ann", dry_run=dry_run))

    def person_of(self, asked: str) -> int:
        async def ask(parts: Any) -> int:
            look = by_one_id if asked.startswith("P0") else by_identifier
            names = (parts.redis, parts.names) if look is by_one_id else (parts.redis, parts.names, parts.sealing.sealer())
            return (await look(*names, asked)).profile.number

        return self.run(ask)

    def counts(self) -> dict[str, int]:
        return {name: events_of(person) for name, person in self.platform.profiles().items()}

    def groups(self, *keys: str) -> list[set[str]]:
        """Identifiers by whose they are."""
        by_person: dict[str | None, set[str]] = {}
        for key in keys:
            mine = next(i for i in self.explain(key).identifiers if f"{i.type}:{i.value}" == key)
            by_person.setdefault(mine.one_id, set()).add(key)
        return sorted(by_person.values(), key=sorted)


@pytest.fixture
def desk(redis_url: str) -> Desk:
    return Desk(redis_url)


@pytest.fixture(autouse=True)
def numbered_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of decisions are drawn; here they are the same in each run, so that the runs can be compared."""
    numbers = iter(range(1000))
    monkeypatch.setattr(change, "uuid4", lambda: next(numbers))


# -- taking apart is exact -----------------------------------------------------------------------------------------------------


def life(seed: int, stage: int) -> list[Event]:
    """A stretch of two people's lives: Ann, who logs in on two devices, and Bob, who is known by a telephone on two others."""
    source = random.Random(f"{seed} {stage}")
    events = []
    for number in range(40):
        who, time = source.randrange(2), NOW + (stage * 100 + number) * MINUTE
        strong = ("user_id:ann", PHONE)[who]
        device = f"anonymous_id:d{who}{source.randrange(2)}"
        message = f"s{stage}-{number}"
        match source.randrange(5):
            case 0:
                events.append(make_event(message, "Product Viewed", ids=f"{strong} {device}", time=time))
            case 1:
                events.append(order(message, f"o{message}", 10.5 + number, ids=strong, time=time))
            case 2:
                traits = {"name": source.choice("ABCD"), "city": f"C{number}"}
                events.append(make_event(message, "", kind="identify", ids=f"{strong} {device}", time=time, traits=traits))
            case 3:
                done = source.choice(
                    [("increment", {"points": number}), ("append", {"likes": [number % 7]}), ("unset", {"city": 1})]
                )
                events.append(make_event(message, done[0], kind="profile", ids=strong, time=time, traits=done[1]))
            case _:
                events.append(make_event(message, source.choice(["Product Viewed", "Product Added"]), ids=device, time=time))
    return events


def beginning() -> list[Event]:
    """What each of the two does for certain: a first order, and being seen on both devices."""
    events = []
    for who, strong in enumerate(("user_id:ann", PHONE)):
        events.append(order(f"first-{who}", f"first-{who}", 5, ids=f"{strong} anonymous_id:d{who}0", time=NOW - MINUTE))
        events.append(make_event(f"second-{who}", "Product Viewed", ids=f"{strong} anonymous_id:d{who}1", time=NOW - MINUTE))
    return events


LINK = make_event("link", "Product Viewed", ids=f"user_id:ann {PHONE}", time=NOW + 90 * MINUTE)
UNLINKED = msgspec.structs.replace(LINK, ids=LINK.ids[:1])


def story(person: Person) -> dict[str, object]:
    """All figures, and the tags; occasions without their times, which are those of the tick that came first."""
    return figures(person) | {"tags": tags_of(person)}


def stories(desk: Desk, *, shown_identifiers: bool) -> dict[str, dict[str, object]]:
    """Each person's story, by strongest identifier; identifiers as they are kept, or as the API shows them."""
    found = {}
    for name, person in desk.platform.profiles().items():
        if shown_identifiers:
            mine = {f"{i.type}:{i.value}" for i in desk.explain(name).identifiers if i.is_mine}
            known = person.whole.change(IDENTIFIERS)
            known.seen = {key: seen for key, seen in known.seen.items() if key in mine}
        found[name] = story(person)
    return found


def lives(desk: Desk, seed: int, link: Event | None, *middle: Callable[[], Any]) -> Desk:
    desk.send(*beginning(), *life(seed, 0))
    if link is not None:
        desk.send(link)
    desk.send(*life(seed, 1))
    for do in middle:
        do()
    desk.send(*life(seed, 2))
    desk.platform.tick(NOW + 400 * MINUTE)
    desk.platform.drain()
    return desk


@pytest.mark.parametrize("crashes", [0.0, 0.25])
@pytest.mark.parametrize("seed", range(4))
def test_an_undone_merge_leaves_nothing_behind(redis_url: str, seed: int, crashes: float) -> None:
    merged = Desk(redis_url, seed, crashes)

    def undo() -> None:
        assert len(merged.platform.profiles()) == 1
        found = merged.explain(PHONE)
        (change_,) = [c for c in found.history if c.message_id == "link"]
        done = merged.unmerge(one_id=found.one_id, merge=change_.version)
        assert (done.status, len(done.people)) == ("done", 2)

    lives(merged, seed, LINK, undo)
    assert crashes == 0.0 or merged.platform.crash_count > 5
    (decision,) = merged.decided

    never = lives(Desk(redis_url, seed), seed, UNLINKED)
    never.send(decision)
    assert stories(merged, shown_identifiers=True) == stories(never, shown_identifiers=True)
    before = Desk(redis_url, seed)
    before.send(decision)
    lives(before, seed, LINK)
    assert stories(merged, shown_identifiers=False) == stories(before, shown_identifiers=False)
    assert set(merged.platform.profiles()) == {"user_id:ann", PHONE}
    assert set(merged.platform.facts()[0].values()) == {1}


@pytest.mark.parametrize("crashes", [0.0, 0.25])
def test_an_identifier_parts_from_its_person_and_takes_its_own_along(redis_url: str, crashes: float) -> None:
    def events(stage: int) -> list[Event]:
        return [
            order(f"o{stage}", f"o{stage}", 20 + stage, ids=PHONE, time=NOW + stage * MINUTE),
            make_event(f"p{stage}", "Product Viewed", ids="user_id:ann anonymous_id:d", time=NOW + stage * MINUTE),
            order(f"a{stage}", f"a{stage}", 7, ids="user_id:ann", time=NOW + stage * MINUTE),
        ]

    def run(desk: Desk, link: Event, unmerge_: Callable[[], Any]) -> Desk:
        desk.send(*events(0), link, *events(1))
        unmerge_()
        desk.send(*events(2))
        return desk

    merged = Desk(redis_url, 3, crashes)
    run(merged, LINK, lambda: merged.unmerge(identifier="phone:139 0000 0001", note="given to somebody else"))
    never = Desk(redis_url)
    run(never, UNLINKED, lambda: never.send(*merged.decided))
    assert stories(merged, shown_identifiers=True) == stories(never, shown_identifiers=True)
    assert merged.counts() == {"user_id:ann": 7, PHONE: 3}
    (decision,) = merged.explain(PHONE).decisions
    assert (decision.verdict, decision.by, decision.note) == ("apart", "ann", "given to somebody else")
    merged.view("again", f"user_id:ann {PHONE}", time=NOW + DAY)  # the same evidence again is answered by the same decision
    assert merged.counts() == {"user_id:ann": 8, PHONE: 3}


def test_a_dry_run_says_what_happens_and_changes_nothing(desk: Desk) -> None:
    desk.view("m1", "user_id:ann anonymous_id:d")
    desk.view("m2", PHONE)
    desk.view("m3", f"user_id:ann {PHONE}")
    tried = desk.unmerge(identifier=PHONE, dry_run=True)
    assert (tried.status, tried.message_id, desk.decided) == ("would_change", None, [])
    assert desk.counts() == {"user_id:ann": 3}
    done = desk.unmerge(identifier=PHONE)
    assert done.status == "done"
    assert (done.people, done.moves, done.pairs) == (tried.people, tried.moves, tried.pairs)
    assert [(p.identifiers, p.events) for p in done.people] == [(["anonymous_id:d", "user_id:ann"], 2), ([PHONE], 1)]
    assert done.cannot_be_taken_back is None
    assert "ClickHouse" in (done.note or "")


def test_a_one_id_that_came_back_is_itself_again(desk: Desk) -> None:
    desk.view("m1", "user_id:ann")
    desk.view("m2", PHONE)
    assert (desk.person_of("P0000000001"), desk.person_of("P0000000002")) == (1, 2)
    desk.view("m3", f"user_id:ann {PHONE}")
    assert (desk.person_of("P0000000002"), desk.person_of(PHONE)) == (1, 1)
    found = desk.explain("P0000000002")
    assert (found.one_id, found.leads_here) == ("P0000000001", ["P0000000002"])
    assert {f"{i.type}:{i.value}" for i in found.identifiers if i.is_mine} == {"user_id:ann", PHONE}
    desk.unmerge(identifier=PHONE)
    assert (desk.person_of("P0000000001"), desk.person_of("P0000000002"), desk.person_of(PHONE)) == (1, 2, 2)
    assert desk.explain("P0000000002").one_id == "P0000000002"


def test_what_came_later_stays_where_its_links_lead(desk: Desk) -> None:
    desk.view("m1", "user_id:ann anonymous_id:a")
    desk.view("m2", f"{PHONE} anonymous_id:b")
    desk.view("m3", f"user_id:ann {PHONE}")
    desk.view("m4", f"{PHONE} anonymous_id:later")
    desk.view("m5", "user_id:ann email:ann@example.com")
    (merge_,) = [c for c in desk.explain(PHONE).history if c.message_id == "m3"]
    desk.unmerge(one_id="P0000000001", merge=merge_.version)
    everybody = ("user_id:ann", "anonymous_id:a", PHONE, "anonymous_id:b", "anonymous_id:later", "email:ann@example.com")
    assert desk.groups(*everybody) == [
        {"anonymous_id:a", "email:ann@example.com", "user_id:ann"}, {"anonymous_id:b", "anonymous_id:later", PHONE},
    ]  # fmt: skip
    with pytest.raises(ApiError, match="not one person any more") as caught:
        desk.unmerge(one_id="P0000000001", merge=merge_.version)
    assert caught.value.status == 409
    parted = next(c for c in desk.explain(PHONE).history if c.kind == "parted")
    with pytest.raises(ApiError, match="parted people"):
        desk.unmerge(one_id="P0000000001", merge=parted.version)


@pytest.mark.parametrize("first", [True, False])
def test_an_identifier_that_both_have_had_stays_with_either_for_its_time(desk: Desk, first: bool) -> None:
    """The phone was Ann's, then Bob's; whoever of them moves by the merge, each keeps what the phone said for them."""
    if first:
        desk.view("m0", "email:b@example.com", time=NOW)
    desk.view("m1", f"user_id:ann {PHONE}", time=NOW)
    desk.send(make_event("m2", "", kind="unbind", ids=f"user_id:ann {PHONE}", time=NOW + DAY))
    desk.view("m3", f"email:b@example.com {PHONE}", time=NOW + 2 * DAY)
    everybody = ("user_id:ann", "email:b@example.com")
    before = desk.counts()
    assert len(before) == 2
    desk.view("m4", "user_id:ann email:b@example.com", time=NOW + 3 * DAY)
    assert len(desk.counts()) == 1
    (change_,) = [c for c in desk.explain("user_id:ann").history if c.message_id == "m4"]
    done = desk.unmerge(one_id=desk.explain("user_id:ann").one_id, merge=change_.version)
    assert (done.status, done.pairs) == ("done", [("email:b@example.com", "user_id:ann")])
    assert desk.groups(*everybody) == [{"email:b@example.com"}, {"user_id:ann"}]
    desk.view("m5", PHONE, time=NOW + 4 * DAY)
    assert desk.groups(*everybody, PHONE) == [{"email:b@example.com", PHONE}, {"user_id:ann"}]
    assert desk.counts() == {name: events + 1 for name, events in before.items()}


def test_a_merge_by_two_times_of_one_identifier_is_undone(desk: Desk) -> None:
    """A device was seen with the phone when it was Ann's, and again when it was Bob's: that makes them one."""
    desk.view("m1", f"user_id:ann {PHONE}", time=NOW)
    desk.send(make_event("m2", "", kind="unbind", ids=f"user_id:ann {PHONE}", time=NOW + DAY))
    desk.view("m3", f"email:b@example.com {PHONE}", time=NOW + 2 * DAY)
    before = desk.counts()
    desk.view("m4", f"anonymous_id:d {PHONE}", time=NOW + 2 * DAY)
    desk.view("m5", f"anonymous_id:d {PHONE}", time=NOW)
    assert len(desk.counts()) == 1
    person = desk.explain("user_id:ann").one_id
    (change_,) = [c for c in desk.explain("user_id:ann").history if c.message_id == "m5"]
    done = desk.unmerge(one_id=person, merge=change_.version)
    assert (done.status, done.pairs) == ("done", [("anonymous_id:d", PHONE)])
    assert desk.groups("user_id:ann", "email:b@example.com", PHONE) == [{"email:b@example.com", PHONE}, {"user_id:ann"}]
    assert desk.counts() == {name: events + 1 for name, events in before.items()}  # m4 and m5 named the phone of their times


def test_two_merges_of_one_event_can_be_undone_at_once(desk: Desk) -> None:
    for number, ids in enumerate(["user_id:ann", PHONE, "email:b@example.com"]):
        desk.view(f"m{number}", ids)
    desk.view("m3", f"user_id:ann {PHONE} email:b@example.com")
    (change_,) = [c for c in desk.explain("user_id:ann").history if c.message_id == "m3"]
    done = desk.unmerge(one_id="P0000000001", merge=change_.version)
    assert [person.events for person in done.people] == [2, 1, 1]
    assert desk.counts() == {"user_id:ann": 2, PHONE: 1, "email:b@example.com": 1}


def test_cutting_lets_nobody_in_who_joins_them_anew(desk: Desk) -> None:
    """The telephone is refused by neither person once it is cut from one; the device that both used must not join them."""
    desk.view("m1", f"user_id:ann {PHONE}")
    desk.view("m2", f"{PHONE} anonymous_id:d")
    desk.view("m3", "user_id:ann anonymous_id:d")
    done = desk.unmerge(identifier=PHONE)
    assert done.status == "done"
    assert desk.groups("user_id:ann", PHONE, "anonymous_id:d") == [{"anonymous_id:d", "user_id:ann"}, {PHONE}]


# -- putting together ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crashes", [0.0, 0.25])
def test_two_people_become_one_because_somebody_says_so(redis_url: str, crashes: float) -> None:
    desk = Desk(redis_url, 5, crashes)
    for number in range(8):
        desk.view(f"a{number}", "user_id:ann")
        desk.view(f"b{number}", PHONE)
    assert desk.merge("user_id:ann", "P0000000002", dry_run=True).status == "would_change"
    done = desk.merge("user_id:ann", "P0000000002")
    assert (done.status, [(p.one_id, p.events) for p in done.people]) == ("done", [("P0000000001", 16)])
    assert desk.merge("user_id:ann", PHONE).status == "nothing_to_change"
    (merge_,) = desk.explain(PHONE).history
    assert merge_.message_id == done.message_id
    assert desk.unmerge(one_id="P0000000001", merge=merge_.version).status == "done"
    assert desk.counts() == {"user_id:ann": 8, PHONE: 8}


def test_a_limit_is_not_broken_unless_somebody_insists(desk: Desk) -> None:
    desk.view("m1", "user_id:u1 member_id:M1")
    desk.view("m2", "user_id:u2 member_id:M2")
    with pytest.raises(ApiError, match=r"more than 1 (user|member)_id ever") as caught:
        desk.merge("user_id:u1", "user_id:u2")
    assert (caught.value.status, "force" in caught.value.remedy) == (409, True)
    assert desk.counts() == {"user_id:u1": 1, "user_id:u2": 1}
    done = desk.merge("user_id:u1", "user_id:u2", force=True)
    assert [person.identifiers for person in done.people] == [["member_id:M1", "member_id:M2", "user_id:u1", "user_id:u2"]]
    assert desk.reviews().reviews == []


def test_nobody_is_merged_by_what_serves_several_people(desk: Desk) -> None:
    desk.view("m1", f"user_id:u1 {PHONE}")
    desk.view("m2", f"user_id:u2 {PHONE}", time=NOW + MINUTE)
    desk.view("m3", "user_id:u3")
    with pytest.raises(ApiError, match="serves several people"):
        desk.merge(PHONE, "user_id:u3")
    with pytest.raises(ApiError, match="with no other one"):
        desk.unmerge(identifier="user_id:u3")
    with pytest.raises(ApiError, match="Nobody is known"):
        desk.merge("user_id:u4", "user_id:u3")


# -- review --------------------------------------------------------------------------------------------------------------------


def conflict(desk: Desk) -> str:
    """Two people, each with a user id, and one membership number that both say is theirs. Returns the item's id."""
    desk.view("m1", "user_id:u1 member_id:M", time=NOW)
    desk.view("m2", "user_id:u2 anonymous_id:d", time=NOW + MINUTE)
    desk.view("m3", "user_id:u2 member_id:M", time=NOW + 2 * MINUTE)
    (item,) = desk.reviews().reviews
    assert [reason.detail for reason in item.reasons] == ["a person has one user_id"]
    assert [side.identifiers for side in item.sides] == [["member_id:M", "user_id:u1"], ["anonymous_id:d", "user_id:u2"]]
    return item.id


@pytest.mark.parametrize("decision", ["approve", "refuse"])
def test_a_decision_is_remembered(desk: Desk, decision: str) -> None:
    id_ = conflict(desk)
    assert desk.decide(id_, decision, dry_run=True).status == "would_change"
    assert len(desk.reviews().reviews) == 1
    done = desk.decide(id_, decision)
    assert done.status == "done"
    after = {"user_id:u2": 3} if decision == "approve" else {"user_id:u1": 1, "user_id:u2": 2}
    assert desk.counts() == after
    for number in range(3):
        desk.view(f"again{number}", "user_id:u2 member_id:M", time=NOW + (3 + number) * DAY)
        assert (desk.reviews().reviews, desk.reviews().waiting) == ([], 0)
    assert sum(desk.counts().values()) == 6
    assert len(desk.counts()) == len(after)
    with pytest.raises(ApiError, match="Nothing waits") as caught:
        desk.decide(id_, decision)
    assert caught.value.status == 404


def test_reviews_come_in_pages_the_oldest_first(desk: Desk) -> None:
    for number in range(5):
        ids = [f"user_id:u{number}-{side}" for side in "ab"]
        for side, user in enumerate(ids):
            desk.view(f"m{number}{side}", f"{user} member_id:M{number}", time=NOW + ((7 * number) % 5 // 2 * 10 + side) * MINUTE)
    seen, cursor = [], None
    for _ in range(5):
        page = desk.reviews(2, cursor)
        assert page.waiting == 5
        seen += page.reviews
        cursor = page.next
        if cursor is None:
            break
    assert len({item.id for item in seen}) == 5
    assert [item.since for item in seen] == sorted(item.since for item in seen)


def test_what_hangs_together_too_much_is_decided_too(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rules.identity import place

    monkeypatch.setattr(place, "MAX_NODES", 3)
    desk = Desk(redis_url)
    desk.view("m1", "user_id:u1 anonymous_id:a")
    desk.view("m2", f"{PHONE} anonymous_id:b")
    desk.view("m3", f"user_id:u1 {PHONE}")
    (item,) = desk.reviews().reviews
    assert [reason.reason for reason in item.reasons] == ["size"]
    assert [side.identifiers for side in item.sides] == [["anonymous_id:a", "user_id:u1"], ["anonymous_id:b", PHONE]]
    desk.decide(item.id, "refuse")
    desk.view("m4", f"user_id:u1 {PHONE}", time=NOW + DAY)
    assert desk.reviews().reviews == []


# -- explain -------------------------------------------------------------------------------------------------------------------


def test_everything_is_explained(desk: Desk) -> None:
    web = {"source": Source("web")}
    desk.send(msgspec.structs.replace(make_event("m1", "", kind="identify", ids=f"user_id:u1 {PHONE}"), **web))
    for day in range(1, 3):
        seen = make_event(f"d{day}", "Product Viewed", ids=f"user_id:u1 {PHONE}", time=NOW + day * DAY)
        desk.send(msgspec.structs.replace(seen, **web))
    desk.view("m2", f"user_id:u2 {PHONE}", time=NOW + 4 * DAY)
    found = desk.explain("user_id:u1")
    (link,) = [one for one in found.links if one.a == PHONE and one.b == "user_id:u1"]
    (source,) = link.sources
    assert (source.source, source.days_seen, source.said_expressly) == ("web", 3, to_iso(NOW))
    assert (link.confidence, link.counts, link.why_not) == (0.98, True, None)
    (phone,) = [one for one in found.identifiers if one.type == "phone"]
    assert phone.shared_since is not None
    (refused,) = found.refusals
    assert (refused.reason, refused.detail, refused.gives_way) == ("exclusive", "a person has one user_id", PHONE)
    (merge_,) = found.history
    assert (merge_.kind, merge_.message_id, merge_.moves[0].identifiers) == ("merged", "m1", [PHONE])
    lone = Desk(desk.redis_url)
    lone.view("m1", "user_id:lone")
    alone = lone.explain("user_id:lone")
    assert (alone.one_id, alone.links, [i.value for i in alone.identifiers]) == ("P0000000001", [], ["lone"])


# -- live rules ----------------------------------------------------------------------------------------------------------------


def put_in_force(desk: Desk, version: int, text: str) -> None:
    names = desk.platform.names
    value = encode_rules(PublishedRules(version, text))
    connect(desk.redis_url).mset({names.identity_rules_key: value, names.identity_rules_version_key: str(version)})


def test_rules_hold_from_the_next_batch_on(desk: Desk) -> None:
    desk.view("m1", "user_id:u1 anonymous_id:d")
    desk.view("m2", "user_id:u1 shop_card:7")
    put_in_force(
        desk, 2, shipped_text().replace("name: user_id\n    priority: 1\n    exclusive: true", "name: user_id\n    priority: 1")
    )
    desk.view("m3", "user_id:u2 anonymous_id:d", time=NOW + MINUTE)
    assert desk.counts() == {"user_id:u2": 3}
    put_in_force(desk, 3, "identifiers: [")  # by a version of the platform that takes it: what was in force stays so
    desk.view("m4", "user_id:u3 anonymous_id:d", time=NOW + 2 * MINUTE)
    assert desk.counts() == {"user_id:u3": 4}
    assert {change_.rules for change_ in desk.explain("user_id:u3").history} == {1, 2}
    put_in_force(desk, 4, shipped_text())
    desk.view("m5", "user_id:u3 anonymous_id:d", time=NOW + 2 * MINUTE)  # nothing new, but it is touched
    assert len(desk.counts()) == 3


def test_rules_hold_for_everybody_with_whom_a_new_epoch_hangs_together(desk: Desk) -> None:
    """The first event of an epoch asks who is who, by the rules of today: others have to hear what comes of that."""
    desk.view("m1", "user_id:u1 anonymous_id:e")
    desk.view("m2", "user_id:u1 anonymous_id:d")
    desk.view("m3", "user_id:u2 anonymous_id:d", time=NOW + MINUTE)
    desk.view("m4", "anonymous_id:d", time=NOW + 2 * MINUTE)
    assert desk.counts() == {"user_id:u1": 2, "user_id:u2": 1, "anonymous_id:d": 1}
    put_in_force(
        desk, 2, shipped_text().replace("name: user_id\n    priority: 1\n    exclusive: true", "name: user_id\n    priority: 1")
    )
    desk.view("m5", "anonymous_id:e", time=NOW + 500 * DAY)
    assert desk.counts() == {"user_id:u2": 4, "anonymous_id:e": 1}


def test_a_value_that_is_blocked_from_now_on_is_forgotten_from_the_cache(desk: Desk) -> None:
    desk.view("m1", "user_id:u1")
    put_in_force(desk, 2, shipped_text().replace('"nobody",', '"nobody", "u1",'))
    desk.view("m2", "user_id:u1")
    assert desk.counts() == {"user_id:u1": 1}
    (letter,) = [msgspec.json.decode(value) for value in desk.platform.out["D"]]
    assert letter["reason"] == "missing_identifier"


def test_regrouping_applies_the_rules_to_what_nobody_touches(desk: Desk) -> None:
    for number in range(3):
        desk.view(f"a{number}", f"user_id:a{number} anonymous_id:d{number}", time=NOW)
        desk.view(f"b{number}", f"user_id:b{number} anonymous_id:d{number}", time=NOW + MINUTE)
    assert len(desk.counts()) == 6
    put_in_force(desk, 2, shipped_text().replace("    exclusive: true\n", ""))
    assert desk.run(lambda parts: regroup(parts, RegroupRequest(identifier="user_id:a0"), "ann")).components == 1
    assert len(desk.counts()) == 5
    assert desk.run(lambda parts: regroup(parts, RegroupRequest(), "ann")).components == 3
    assert desk.counts() == {"user_id:b0": 2, "user_id:b1": 2, "user_id:b2": 2}
