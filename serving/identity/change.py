"""Make a decision come true: write it where all events are, wait until both jobs have applied it, and say what came of it.

A decision is an event like any other, so it is replayed, counted and explained like any other.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import msgspec

from cdp.errors import Unavailable
from cdp.events import Event, Identifier, Source, encode
from cdp.identity import Change, Component, Verdict
from profiles.components.activity.state import ACTIVITY
from profiles.fragments import fragment_of
from profiles.state import Person
from rules.identity.place import Move
from serving.collect.publish import Record
from serving.identity.attempt import Tried
from serving.identity.explain import show_moves
from serving.identity.find import profiles_of, read_component
from serving.identity.models import Changed, PersonView, SentView, Status
from serving.identity.people import Pair, parts_of, people_of, strongest
from serving.identity.sent import sent_since
from serving.identity.show import shown, shown_person
from serving.parts import Parts

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.1
SOURCE = "identity"
NO_CLICKHOUSE = "ClickHouse does not answer: what was sent meanwhile is missing here."


@dataclass(frozen=True)
class Plan:
    """What shall be decided.

    Attributes:
        pairs: of identifiers; none: there is nothing to do.
        tried: what it would do.
        since: when the people became one, in microseconds; what was sent from then on cannot be taken back.
        people: the numbers of the people concerned, besides those who move.
    """

    verdict: Verdict
    pairs: list[Pair]
    tried: Tried
    since: int
    people: frozenset[int]


async def carry_out(parts: Parts, plan: Plan, by: str, note: str, *, dry_run: bool) -> Changed:
    """Write the decision, and wait for it, but not longer than WAIT_SECONDS. Raises Unavailable if nobody takes it."""
    if not plan.pairs:
        return await _answer(parts, plan, "nothing_to_change", None, plan.tried.components, list(plan.tried.moves))
    if dry_run:
        return await _answer(parts, plan, "would_change", None, plan.tried.components, list(plan.tried.moves))
    record, message_id, time = decision_record(parts, plan.verdict, plan.pairs, by, note)
    await parts.publisher.publish([record])
    done, components, moves = await _wait(parts, plan.pairs, plan.people, message_id, time)
    return await _answer(parts, plan, "done" if done else "on_its_way", message_id, components, moves)


def decision_record(
    parts: Parts, event: str, pairs: Sequence[Pair], by: str, note: str, keys: Sequence[str] = ()
) -> tuple[Record, str, int]:  # fmt: skip
    """The event of a decision, its message id and its time.

    Args:
        keys: the identifiers that it is about, if there are no pairs.
    """
    now, message_id = parts.clock(), f"decision:{uuid4()}"
    concerned = strongest({key for pair in pairs for key in pair} | {*keys}, parts.identity.rules)
    value = Event(
        message_id=message_id, kind="decision", event=event, time=now, received_at=now,
        ids=[Identifier(*key.split(":", 1)) for key in concerned],
        properties=_properties(pairs, by, note), source=Source(SOURCE),
    )  # fmt: skip
    return Record(parts.names.events, concerned[0], encode(value)), message_id, now


def _properties(pairs: Sequence[Pair], by: str, note: str) -> msgspec.Raw:
    return msgspec.Raw(encode({"pairs": pairs, "by": by, "note": note}))


async def _wait(
    parts: Parts, pairs: Sequence[Pair], people: frozenset[int], message_id: str, time: int
) -> tuple[bool, list[Component], list[Move]]:
    """Until the decision is in the graph, and the parts are where they belong."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        components = await _components(parts, pairs)
        moves = [move for component in components for move in _moves(component, message_id)]
        known = {(d.a, d.b, d.time) for component in components for d in component.decisions}
        if all((a, b, time) in known for a, b in pairs):
            concerned = people | {person for move in moves for person in (move.source, move.target)}
            profiles = await profiles_of(parts, concerned)
            if all(_is_over(move, profiles) for move in moves) and not any(p.log.is_waiting for p in profiles.values()):
                return True, components, moves
        if asyncio.get_running_loop().time() >= deadline:
            return False, components, moves
        await asyncio.sleep(POLL_SECONDS)


async def _components(parts: Parts, pairs: Sequence[Pair]) -> list[Component]:
    found: list[Component] = []
    for key in dict.fromkeys(key for pair in pairs for key in pair):
        if all(key not in component.nodes for component in found):
            component = await read_component(parts, key)
            found += [component] if component is not None else []
    return found


def _moves(component: Component, message_id: str) -> list[Move]:
    changes: list[Change] = [change for change in component.history if change.message_id == message_id]
    return [Move(c.version, source, target, tuple(moved)) for c in changes for source, target, moved in c.moves]


def _is_over(move: Move, profiles: dict[int, Person]) -> bool:
    """Whether the parts of a move have come to their new owner, or gone on since."""
    new = profiles.get(move.target)
    if new is None:
        return False
    return all(move.version in new.log.received.get(part, ()) or _has_gone_on(new, part, move.version) for part in move.parts)


def _has_gone_on(profile: Person, part: int, version: int) -> bool:
    gone = profile.log.gone.get(part)
    return gone is not None and gone.version > version


async def _answer(
    parts: Parts, plan: Plan, status: Status, message_id: str | None, components: Sequence[Component], moves: list[Move]
) -> Changed:  # fmt: skip
    concerned = plan.people | {person for move in moves for person in (move.source, move.target)}
    numbers = concerned | {part for c in plan.tried.components for part, owner in c.people.items() if owner in concerned}
    profiles = await profiles_of(parts, numbers)
    events = part_events(profiles)
    sent: list[SentView] | None = None
    with suppress(Unavailable):
        sent = await parts.clickhouse(partial(sent_since, people=numbers, since=plan.since))
    return Changed(
        status=status, verdict=plan.verdict, message_id=message_id,
        pairs=[(_shown(plan, a), _shown(plan, b)) for a, b in plan.pairs],
        moves=[
            view for component in components
            for view in show_moves(component, [(move.source, move.target, list(move.parts)) for move in moves])
            if view.identifiers
        ],
        people=[
            PersonView(
                one_id=shown_person(person) or "", identifiers=[shown(key, component) for key in keys],
                events=sum(events.get(part, 0) for part in parts_of(component, person)),
            )
            for component in components
            for person, keys in sorted(people_of(component).items())
            if person in concerned
        ],
        cannot_be_taken_back=sent, note=NO_CLICKHOUSE if sent is None else None,
    )  # fmt: skip


def _shown(plan: Plan, key: str) -> str:
    return shown(key, next((component for component in plan.tried.components if key in component.nodes), None))


def part_events(profiles: dict[int, Person]) -> dict[int, int]:
    """How many events count in each part, wherever it is."""
    counts: dict[int, int] = {}
    for profile in profiles.values():
        for number in profile.fragment_numbers:
            fragment = fragment_of(profile, number)
            counts[number] = fragment.get(ACTIVITY).events if fragment is not None else 0
    return counts
