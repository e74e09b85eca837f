"""What PROFILE puts out for others."""

from collections.abc import Iterable
from typing import Any

from cdp.events import Action, DeadLetter, Outcome, TagChanges, message_id_in
from cdp.mask import mask_all
from cdp.people import one_id
from profiles.components.tags.component import TagsChanged
from profiles.components.triggers.component import Fired
from profiles.components.triggers.occasion import action_id
from profiles.state import Person
from streams import records
from streams.profile.position import Position
from streams.records import Output, ResolvedEvent

MAX_DETAIL = 500


def emit(person: Person, effects: Iterable[Any], message_id: str, position: Position) -> None:
    """Put out what an evaluation found. `message_id`: of what caused it; empty: it was time."""
    for effect in effects:
        match effect:
            case TagsChanged():
                position.outputs.append(_tags_changed(person, effect, message_id, position))
            case Fired():
                position.outputs += _actions(person, effect, position)
            case _:
                raise TypeError(f"Nothing is known of an effect like {effect!r}.")


def duplicate(record: ResolvedEvent, partition: int, offset: int, *, is_conflict: bool) -> Output:
    """A message came before under another position."""
    outcome = Outcome(
        outcome="duplicate", message_id=record.message_id, one_id=record.one_id, person=record.person, time=record.time,
        origin=record.origin, p=partition, o=offset, conflict=is_conflict, replay_of=record.source.replay_of,
    )  # fmt: skip
    return records.output(records.FACTS, record.one_id, outcome)


def dead_letter(
    value: bytes, now: int, reason: str, where: str, detail: str, origin: tuple[int, int] = (-1, -1)
) -> Output:  # fmt: skip
    """A record cannot be used."""
    letter = DeadLetter(
        stage="profile", reason=reason, field=where, detail=mask_all(detail[:MAX_DETAIL]), time=now,
        payload=value.decode("utf-8", "replace"), message_id=message_id_in(value), p=origin[0], o=origin[1],
    )  # fmt: skip
    return records.output(records.DEAD_LETTERS, records.NO_KEY, letter)


def _tags_changed(person: Person, effect: TagsChanged, message_id: str, position: Position) -> Output:
    key = one_id(person.number)
    changes = TagChanges(
        one_id=key, person=person.number, tags=effect.changes, time=person.as_of, message_id=message_id, p=position.partition,
        o=position.offset, seq=position.next_seq(len(effect.changes)),
    )  # fmt: skip
    return records.output(records.CHANGES, key, changes)


def _actions(person: Person, fired: Fired, position: Position) -> list[Output]:
    """One for each channel."""
    key, rule, cause = one_id(person.number), fired.trigger.rule, fired.cause
    actions = [
        Action(
            action_id=action_id(rule.name, key, fired.occasion, channel), rule=rule.name, rule_version=rule.version, one_id=key,
            person=person.number, occasion=fired.occasion, channel=channel, content=fired.content, time=cause.time,
            received_at=cause.received_at, message_id=cause.message_id, p=position.partition, o=position.offset,
            seq=position.next_seq(),
        )
        for channel in rule.channels
    ]  # fmt: skip
    return [records.output(records.ACTIONS, key, action) for action in actions]
