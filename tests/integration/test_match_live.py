"""Records without identifiers find their people in the stream as they do in a simulation, in whatever order they come."""

import random
import uuid
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cdp.events import Event, encode
from cdp.redis import connect
from cdp.topics import Names
from rules.identity import load_identity_rules, simulate
from rules.identity.model import IdentityRules
from streams.commands import TransferFragments
from streams.graph import IdentityGraph
from streams.records import RESOLVED, ResolvedEvent, decode_record
from streams.resolve import ResolveStep
from tests import febrl
from tests.shop import NOW

RULES = Path(__file__).parents[1] / "data" / "febrl_identity.yaml"


def rules(population: int) -> IdentityRules:
    """With a number of people that does not depend on how many have come so far."""
    shipped = load_identity_rules(RULES)
    assert shipped.matching is not None
    return replace(shipped, matching=replace(shipped.matching, population=population))


def people(redis_url: str, events: list[Event], using: IdentityRules, batch: int) -> set[frozenset[str]]:
    """The people that the stream makes: messages by the person to whom their fragments belong in the end."""
    step = ResolveStep(IdentityGraph(connect(redis_url), Names(f"t{uuid.uuid4().hex[:12]}"), using), using, {}, 1, lambda: NOW)
    fragment_of: dict[str, int] = {}
    person_of: dict[int, int] = {}
    for start in range(0, len(events), batch):
        rows = [(encode(event), 0, start + n) for n, event in enumerate(events[start : start + batch])]
        for outputs in step.process(rows):
            for said in (decode_record(value) for topic, _, value in outputs if topic == RESOLVED):
                if isinstance(said, TransferFragments):
                    person_of |= dict.fromkeys(said.fragments, said.other)
                elif isinstance(said, ResolvedEvent):
                    fragment_of[said.message_id] = said.part
                    person_of.setdefault(said.part, said.person)
    found: dict[int, set[str]] = defaultdict(set)
    for message_id, number in fragment_of.items():
        found[person_of[number]].add(message_id)
    return {frozenset(messages) for messages in found.values()}


@pytest.mark.parametrize("seed", range(3))
def test_the_stream_makes_the_people_of_a_simulation(redis_url: str, seed: int) -> None:
    lines = febrl.events(febrl.read(1), seed)
    events = [
        Event(message_id=line["message_id"], kind="identify", time=line["time"], received_at=line["time"],
              traits=msgspec.Raw(msgspec.json.encode(line["traits"])))
        for line in random.Random(seed).sample(lines, len(lines))
    ]  # fmt: skip
    using = rules(1000)
    read = [simulate.Event(e.message_id, e.time, e.kind, e.event, (), msgspec.json.decode(e.traits)) for e in events]
    simulated = simulate.simulate(simulate.unique(read), using)
    assert people(redis_url, events, using, 100) == {frozenset(messages) for messages in simulated.people.values()}
