"""The outbox: what PROFILE put out for its records, kept until Kafka has it for certain.

It is in Redis before the profiles are. A crash before it leaves nothing. A crash in between leaves outputs of records that count
as not handled: they are handled again, to the same effect. After a crash behind both, the record comes again, is known by its
offset, and its outputs are emitted again from here. What lies below the committed offset will not come again, and is cut off.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streams.records import Output


class Emitted(msgspec.Struct, array_like=True):
    """What was put out for one record, besides its own fact; `refused`: it was not applied, and makes no fact."""

    outputs: list[Output]
    refused: bool = False


NOTHING_EMITTED = Emitted([])

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, Emitted]).decode


def read_outbox(blobs: Iterable[bytes], offset: int) -> dict[int, Emitted]:
    """What was put out for records from an offset on, of all batches that are kept."""
    emitted: dict[int, Emitted] = {}
    for blob in blobs:
        for at, found in _decode(blob).items():
            known = emitted.get(at)
            if at < offset or (known is not None and len(known.outputs) > len(found.outputs)):
                continue  # a tick that came again put out more each time, and each time all that it had put out before
            emitted[at] = Emitted(found.outputs, found.refused or (known is not None and known.refused))
    return emitted


def queue_outbox(pipeline: Any, key: str, emitted: Mapping[int, Emitted], committed: int) -> None:
    """Queue a partition's batch for writing, and cut off what is committed."""
    pipeline.zremrangebyscore(key, "-inf", f"({committed}")
    pipeline.zadd(key, {_encode(emitted): max(emitted)})
