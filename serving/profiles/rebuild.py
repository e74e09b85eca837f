"""Have a person counted again from the facts, and follow how far that is.

PROFILE does it: it gets a command on the person's partition, among the person's events. The command was handled as soon as the
profile's offset has reached the command's, and it is done when the profile waits for nothing any more.
"""

import asyncio
import time
from uuid import uuid4

from confluent_kafka import KafkaException

from cdp import kafka
from cdp.errors import Unavailable
from cdp.events import RebuildCommand, encode
from cdp.people import one_id
from cdp.settings import Settings
from cdp.topics import Names
from profiles.components.activity.state import ACTIVITY
from profiles.state import Person
from serving.parts import Parts
from serving.profiles.find import by_one_id
from serving.profiles.models import Rebuilt, WaitingView
from serving.waiters import as_json, waiter
from serving.waiting import WaiterView

POLL_SECONDS = 0.1
SEND_SECONDS = 5.0


async def rebuild(parts: Parts, asked: str, seconds: float) -> Rebuilt:
    """Send the command, and wait until it is done, at most some seconds. Raises ApiError 404, Unavailable."""
    before = (await by_one_id(parts.redis, parts.names, asked)).profile
    offset = await parts.check(lambda: send(parts.settings, before.number, parts.clock()))
    deadline = time.monotonic() + seconds
    while True:
        found = await waiting(parts, one_id(before.number), offset)
        if found.status == "done" or time.monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    return Rebuilt(
        one_id=found.one_id, asked=asked if asked != found.one_id else None, status=found.status, offset=offset,
        events_before=before.whole.get(ACTIVITY).events, events=found.events, waits_for=found.waits_for,
    )  # fmt: skip


async def waiting(parts: Parts, asked: str, offset: int | None) -> WaitingView:
    """What a person waits for. Raises ApiError 404, Unavailable.

    Args:
        offset: of a command that was sent to the person, on the person's partition; None: of none.
    """
    found = await by_one_id(parts.redis, parts.names, asked)
    profile = found.profile
    is_handled = offset is None or profile.offset >= offset or found.asked != profile.number
    return WaitingView(
        one_id=one_id(profile.number), asked=asked if found.asked != profile.number else None,
        status="done" if is_handled and not profile.log.is_waiting else "on_its_way",
        events=profile.whole.get(ACTIVITY).events, waits_for=_view(profile, parts.clock()),
    )  # fmt: skip


def send(settings: Settings, person: int, now: int) -> int:
    """Send the command; returns its offset. Blocks. Raises Unavailable if Kafka does not take it within some seconds.

    With a producer of its own: that of the collector keeps records while Kafka is away, and does not hear of their offsets.
    """
    key = one_id(person)
    command = RebuildCommand(one_id=key, person=person, time=now, message_id=f"rebuild:{uuid4()}")
    offsets: list[int] = []
    producer = kafka.producer(
        settings.kafka_servers, client_id="cdp-rebuild", delivery_timeout_ms=int(SEND_SECONDS * 1000), on_error=lambda _: None
    )
    try:
        producer.produce(
            Names(settings.topic_prefix).resolved, encode(command), key,
            on_delivery=lambda error, message: None if error else offsets.append(message.offset()),
        )  # fmt: skip
        producer.flush(SEND_SECONDS + 1)
    except KafkaException as error:
        raise Unavailable(f"Kafka did not take the command: {error.args[0].name()}.", "Try again later; see /readyz.") from error
    if not offsets:
        raise Unavailable("Kafka did not take the command.", "Try again later; see /readyz.")
    return offsets[0]


def _view(profile: Person, now: int) -> WaiterView | None:
    return WaiterView.model_validate(as_json(waiter(profile), now)) if profile.log.is_waiting else None
