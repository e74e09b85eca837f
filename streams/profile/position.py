"""What one record puts out."""

import msgspec

from streams.records import Output, Record


class Position(msgspec.Struct):
    """Where a record stands on `resolved`, and what it has put out so far; its own fact is kept apart from the rest.

    Attributes:
        refused: it was not applied, and makes no fact.
        also_refused: offsets of events that had waited and were not applied.
        recovered: how many of the outputs were put out before a restart already.
    """

    partition: int
    offset: int
    outputs: list[Output] = []
    fact: Output | None = None
    refused: bool = False
    also_refused: list[int] = []
    recovered: int = 0
    seq: int = 0

    def next_seq(self, count: int = 1) -> int:
        """Numbers for the next outputs of the position; returns the first."""
        first = self.seq + 1
        self.seq += count
        return first


class Read(msgspec.Struct):
    """A record as it stands on the log, and what it is; None: nothing of this platform."""

    value: bytes
    position: Position
    record: Record | None
