"""Read the events of a part back from the facts, when it has to be worked out anew."""

from collections.abc import Callable, Mapping

import msgspec
from clickhouse_connect.driver.client import Client

from cdp.events import Identifier, Source
from streams.records import Resolved

Recall = Callable[[Mapping[int, int]], dict[int, list[Resolved]]]
"""Takes parts with the number of messages that each has applied, and returns the events of those of which all have arrived
among the facts, and no other ones; the others are asked for again later."""

_QUERY = """
SELECT part, kind, event, message_id, toUnixTimestamp64Micro(event_time), toUnixTimestamp64Micro(received_at),
       ids, properties, traits, bot, replay_of
FROM events
WHERE part IN {parts:Array(UInt32)}
"""
_keys = msgspec.json.Decoder(list[str]).decode


def recall(client: Client, wanted: Mapping[int, int]) -> dict[int, list[Resolved]]:
    """See `Recall`."""
    if not wanted:
        return {}
    found: dict[int, list[Resolved]] = {part: [] for part in wanted}
    for row in client.query(_QUERY, parameters={"parts": list(wanted)}).result_rows:
        found[row[0]].append(_event(row))
    return {part: events for part, events in found.items() if len(events) == wanted[part]}


def _event(row: tuple[int, str, str, str, int, int, str, str, str, int, str]) -> Resolved:
    part, kind, event, message_id, time, received_at, ids, properties, traits, bot, replay_of = row
    identifiers = [Identifier(*key.split(":", 1)) for key in _keys(ids)]
    return Resolved(
        kind=kind, time=time, part=part, message_id=message_id, event=event, received_at=received_at, ids=identifiers,
        properties=msgspec.Raw(properties.encode()), traits=msgspec.Raw(traits.encode()), bot=bool(bot),
        source=Source(replay_of=replay_of),
    )  # fmt: skip
