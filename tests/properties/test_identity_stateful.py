"""Whatever happens in whatever order, RESOLVE and PROFILE say what a plain reading of the documentation says.

A machine plays people, their devices, an operator and misfortune at random. Both jobs run on a real Redis, over a log that
loses what a crash loses; the model, `tests.identity_model`, thinks over all messages at once, and counts the profile of each
person anew from that person's messages.
"""

import random
from collections import defaultdict

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from cdp.clock import DAY, HOUR, MINUTE
from cdp.events import Event, encode
from cdp.identity import Change, unpack_component
from cdp.people import one_id
from loadtest.job_log import PARTITIONS
from loadtest.liveness import fold
from profiles.canonical import fingerprints
from profiles.kernel import Kernel
from profiles.state import Person
from rules.identity import load_identity_rules
from serving.errors import ApiError
from serving.identity.explain import is_merge
from streams import records
from tests.identity_model import Said, Type, answer, excess
from tests.integration.test_exactly_once_steps import RULES, Platform
from tests.integration.test_identity_by_hand import Desk
from tests.shop import CALENDAR, NOW, as_resolved, folds, make_event, order

TYPES = {
    name: Type(
        one.priority, one.strength, {limit.window: limit.count for limit in one.limits}, one.lifetime_days, one.transaction
    )
    for name, one in load_identity_rules().identifiers.items()
}
KERNEL = Kernel(RULES, CALENDAR)
LATER = CALENDAR.day(NOW + 30 * DAY)  # later than the clock of every profile
SETTLING = 60  # ticks, at most, until nobody waits

USERS = ["user_id:u1", "user_id:u2", "user_id:u3"]
CARDS = ["member_id:c1", "member_id:c2", "id_card:110101199003070353"]
PHONES = [f"phone:+861390000000{n}" for n in range(5)]
DEVICES = ["device_id:a", "device_id:b", "anonymous_id:x", "anonymous_id:y"]
ORDERS = ["order_id:1", "order_id:2", "order_id:3"]
EVERYTHING = [*USERS, *CARDS, *PHONES, *DEVICES, *ORDERS]

identifiers = st.lists(st.sampled_from(EVERYTHING), min_size=1, max_size=3, unique=True)
pairs = st.lists(st.sampled_from(EVERYTHING), min_size=2, max_size=2, unique=True)
gaps = st.sampled_from([0, MINUTE, HOUR, DAY, 20 * DAY, 150 * DAY])
seeds = st.integers(0, 2**32)
jobs = st.sampled_from(["events", "resolved"])
partitions = st.integers(0, PARTITIONS - 1)


class PatientDesk(Desk):
    """It waits until nobody waits."""

    def drain(self) -> None:
        settle(self.platform)


class Machine(RuleBasedStateMachine):
    """The platform, and what was sent to it."""

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self.redis_url = redis_url
        self.sent: dict[str, Event] = {}
        self.time = NOW - 900 * DAY
        self.ticks = 0

    @initialize(seed=seeds)
    def begin(self, seed: int) -> None:
        self.desk = PatientDesk(self.redis_url, seed)
        self.platform = self.desk.platform

    # -- what people do --------------------------------------------------------------------------------------------

    @rule(ids=identifiers, gap=gaps, seed=seeds, partition=partitions)
    def event(self, ids: list[str], gap: int, seed: int, partition: int) -> None:
        self.send(self.some_event(ids, self.later(gap), random.Random(seed)), partition)

    @rule(ids=identifiers, gap=gaps, partition=partitions)
    def late_event(self, ids: list[str], gap: int, partition: int) -> None:
        """It happened before others that have come already."""
        self.send(make_event(self.name(), "Product Viewed", ids=" ".join(ids), time=self.time - gap), partition)

    @rule(ids=pairs, gap=gaps, partition=partitions)
    def identify(self, ids: list[str], gap: int, partition: int) -> None:
        traits = {"name": f"N{len(self.sent)}"}
        message = make_event(self.name(), "", kind="identify", ids=" ".join(ids), time=self.later(gap), traits=traits)
        self.send(message, partition)

    @rule(ids=identifiers, gap=gaps, partition=partitions)
    def unbind(self, ids: list[str], gap: int, partition: int) -> None:
        self.send(make_event(self.name(), "", kind="unbind", ids=" ".join(ids), time=self.later(gap)), partition)

    @rule(seed=seeds)
    def crowd(self, seed: int) -> None:
        """Many things at once, drawn by a generator of numbers: drawn one by one they hardly ever become so tangled."""
        draw = random.Random(seed)
        some = draw.sample(EVERYTHING, 7)
        for _ in range(draw.randrange(2, 9)):
            ids, time = draw.sample(some, draw.randint(1, 3)), self.later(draw.choice([0, MINUTE, HOUR, DAY, 300 * DAY]))
            kind = draw.random()
            if kind < 0.35:
                message = make_event(self.name(), "", kind="identify", ids=" ".join(ids), time=time, traits={"n": time})
            elif kind < 0.45:
                message = make_event(self.name(), "", kind="unbind", ids=" ".join(ids), time=time)
            else:
                message = self.some_event(ids, time - draw.choice([0, 0, DAY, 500 * DAY]), draw)
            self.send(message, draw.randrange(PARTITIONS))

    @precondition(lambda self: self.sent)
    @rule(seed=seeds, partition=partitions)
    def repetition(self, seed: int, partition: int) -> None:
        self.send(random.Random(seed).choice(list(self.sent.values())), partition)

    # -- what operators do -----------------------------------------------------------------------------------------

    @rule(ids=pairs, verdict=st.sampled_from(["apart", "together"]), gap=gaps, partition=partitions)
    def decision(self, ids: list[str], verdict: str, gap: int, partition: int) -> None:
        properties = {"pairs": [ids]}
        self.send(
            make_event(self.name(), verdict, kind="decision", ids=" ".join(ids), time=self.later(gap), properties=properties),
            partition,
        )

    @rule()
    def undo_last_merge(self) -> None:
        settle(self.platform)
        change = self.last_merge()
        if change is not None:
            self.undo(change)

    @rule(ids=pairs, gap=gaps)
    def merge_and_undo(self, ids: list[str], gap: int) -> None:
        """If two became one by it, and nothing else changed, they are afterwards who they were before. A decision is about two
        identifiers, whatever was said of them at other times: so they are such as never came together.
        """
        if any({*ids} <= {f"{one.type}:{one.value}" for one in event.ids} for event in self.sent.values()):
            return
        before = self.check()
        message = make_event(self.name(), "", kind="identify", ids=" ".join(ids), time=self.later(gap))
        self.send(message, 0)
        merged = without(self.check(), message.message_id)
        if len(merged - before) != 1 or len(before - merged) != 2 or not merged - before <= {frozenset().union(*before - merged)}:
            return
        change = self.last_merge()
        assert change is not None
        assert change.message_id == message.message_id
        decided = self.undo(change)
        if decided is None:
            return  # undoing goes by identifiers: one that was of both, one after the other, hides it
        if msgspec.json.decode(self.sent[decided].properties)["pairs"] != [sorted(ids)]:
            return  # other links, which counted for nothing before, are cut as well
        assert without(self.check(), message.message_id, decided) == before

    # -- misfortune ------------------------------------------------------------------------------------------------

    @rule(job=jobs)
    def step(self, job: str) -> None:
        self.platform.step(job)

    @rule(job=jobs)
    def crash(self, job: str) -> None:
        """In the middle of a batch, after Redis was written."""
        self.platform.misfortune.crash = 1.0
        self.platform.step(job)
        self.platform.misfortune.crash = 0.0

    @rule()
    def tick(self) -> None:
        self.ticks += 1
        self.platform.tick(NOW + self.ticks)

    @rule()
    def calm(self) -> None:
        self.check()

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        try:
            self.check()
        finally:
            for key in self.platform.redis.scan_iter(f"{self.platform.names.prefix}:*", count=1000):
                self.platform.redis.delete(key)
            self.platform.redis.close()

    # -- helpers ---------------------------------------------------------------------------------------------------

    def name(self) -> str:
        return f"m{len(self.sent)}"

    def later(self, gap: int) -> int:
        self.time = min(self.time + gap, NOW)
        return self.time

    def some_event(self, ids: list[str], time: int, draw: random.Random) -> Event:
        """A view, an order, a refund, an operation on attributes, or a bot's visit."""
        options = {"ids": " ".join(ids), "time": time}
        number = len(self.sent)
        match draw.randrange(6):
            case 0:
                return order(self.name(), f"o{number}", 10.5 + number, **options)
            case 1:
                properties = {"order_id": f"o{draw.randrange(number + 1)}", "total": 1}
                return make_event(self.name(), "Order Refunded", properties=properties, **options)
            case 2:
                done = draw.choice(
                    [("increment", {"points": number}), ("append", {"likes": [number % 3]}), ("unset", {"n": 1}), ("delete", {})]
                )
                return make_event(self.name(), done[0], kind="profile", traits=done[1], **options)
            case 3:
                return msgspec.structs.replace(make_event(self.name(), "Product Viewed", **options), bot=True)
            case _:
                return make_event(self.name(), draw.choice(["Product Viewed", "Product Added"]), **options)

    def send(self, event: Event, partition: int) -> None:
        self.sent[event.message_id] = event
        self.platform.log["events"][partition].append(encode(event))

    def last_merge(self) -> Change | None:
        keys = self.platform.redis.scan_iter(self.platform.names.component_key_pattern, count=1000)
        components = [unpack_component(self.platform.redis.get(key))[0] for key in keys]
        merges = [change for component in components for change in component.history if is_merge(change)]
        return max(merges, key=lambda change: change.version, default=None)

    def undo(self, change: Change) -> str | None:
        """Returns the decision's message id; None if those whom it merged are not one person any more."""
        known = len(self.desk.decided)
        try:
            done = self.desk.unmerge(one_id=one_id(change.moves[-1][1]), merge=change.version)
        except ApiError as error:
            assert error.status == 409 or "There is no person" in error.message, error  # nothing was counted under its number
            return None
        if done.status == "nothing_to_change":
            return None
        assert done.status == "done"
        (decision,) = self.desk.decided[known:]
        self.sent[decision.message_id] = decision
        return decision.message_id

    def check(self) -> set[frozenset[str]]:
        """Let everything happen, and compare with the model. Returns the people, as the sets of messages that are theirs."""
        settle(self.platform)
        said = [read(event) for event in self.sent.values()]
        everything = answer(said, TYPES)
        assert excess(everything) == []
        wanted: dict[object, set[str]] = defaultdict(set)
        for message_id, person in everything.people(said).items():
            wanted[person].add(message_id)
        assert not self.platform.out[records.DEAD_LETTERS]
        self.check_ledger()
        found = self.people()
        assert found.keys() == {frozenset(messages) for messages in wanted.values()}
        for messages, figures in found.items():
            assert figures == spelled(fold(as_resolved(self.sent[message_id]) for message_id in messages))
        return set(found)

    def check_ledger(self) -> None:
        """Each message counts once, and each position on `events` is accounted for."""
        counts, _ = self.platform.facts()
        assert counts == dict.fromkeys(self.sent, 1)
        origins = {tuple(msgspec.json.decode(value)["origin"]) for value in self.platform.out[records.FACTS]}
        assert origins == {(p, o) for p, entries in enumerate(self.platform.log["events"]) for o in range(len(entries))}

    def people(self) -> dict[frozenset[str], dict[str, object]]:
        """The people, as the sets of messages that are theirs, with what their profiles say."""
        changes = [msgspec.json.decode(value) for value in self.platform.out[records.MERGES]]
        merges = sorted((change for change in changes if change["change"] == "merge"), key=lambda change: change["version"])
        owner = {change["loser_person"]: change["person"] for change in merges}
        messages: dict[int, set[str]] = defaultdict(set)
        for part, value in self.platform.counted():
            fact = msgspec.json.decode(value)
            messages[owner.get(part, fact["person"])].add(fact["message_id"])
        profiles = self.platform.every_profile()
        strangers = {person for person, profile in profiles.items() if fingerprints(profile)} - messages.keys()
        assert not strangers
        return {frozenset(theirs): spelled(profiles[person]) for person, theirs in messages.items()}


def settle(platform: Platform) -> None:
    """Until nothing is on its way: what has to be taken out of parts waits for ticks."""
    for number in range(SETTLING):
        platform.drain()
        if not any(one.log.is_waiting or one.log.pending for one in platform.every_profile().values()):
            return
        platform.tick(NOW + number)
    raise AssertionError("somebody waits for ever")


def read(event: Event) -> Said:
    """What an event says, as the model reads it."""
    decided = msgspec.json.decode(event.properties)["pairs"] if event.kind == "decision" else []
    return Said(
        event.message_id, event.time, event.kind, tuple((one.type, one.value) for one in event.ids), event.source.name,
        event.event, tuple((as_pair(a), as_pair(b)) for a, b in decided),
    )  # fmt: skip


def as_pair(key: str) -> tuple[str, str]:
    type_, _, value = key.partition(":")
    return type_, value


def spelled(person: Person) -> dict[str, object]:
    """The figures, without what windows cannot reach any more: profiles forget that at different times."""
    KERNEL.prune(person, LATER)
    return folds(person)


def without(people: set[frozenset[str]], *messages: str) -> set[frozenset[str]]:
    return {left for person in people if (left := person - {*messages})}


def test_whatever_happens_people_and_profiles_are_those_of_the_model(redis_url: str) -> None:
    run_state_machine_as_test(
        lambda: Machine(redis_url),
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
        ),
    )
