"""What ClickHouse would hold of the facts that PROFILE wrote, and when: each partition of a topic arrives in order, and late."""

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from profiles.transfer_log import Position
from streams import records
from streams.profile.refetch import Fact, Wanted
from streams.records import decode_resolved


@dataclass
class Row:
    """An applied event: the part in which it counts, since which version, and its fact."""

    part: int
    value: bytes
    assigned: int = 0


@dataclass
class FactTable:
    """The facts.

    Attributes:
        rows: applied events by position.
        refused: duplicates by position, retracted facts among them.
        late: what was written and has not arrived, by topic and partition.
        arrived: how far all facts of a partition can be read. Some may be read earlier, as batches are not written at once.
    """

    partitions: int
    rows: dict[Position, Row] = field(default_factory=dict)
    refused: dict[Position, str] = field(default_factory=dict)
    late: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    arrived: dict[int, int] = field(default_factory=dict)

    def write(self, topic: str, key: str, value: bytes) -> None:
        """A record was written to the topic of facts, or of merges."""
        self.late.setdefault((topic, zlib.crc32(key.encode()) % self.partitions), []).append(value)

    def arrive(self, draw: random.Random | None = None) -> None:
        """Let everything arrive; or, of each partition, as much as is drawn."""
        for (topic, _), values in self.late.items():
            count = draw.randint(0, len(values)) if draw is not None else len(values)
            for value in values[:count]:
                (self._take_fact if topic == records.FACTS else self._take_merge)(value)
            del values[:count]
            if draw is not None and topic == records.FACTS:
                for value in draw.sample(values, draw.randint(0, len(values))):
                    self._take_fact(value, is_whole=False)

    def refetch(self, wanted: Mapping[int, Wanted]) -> dict[int, list[Fact]]:
        """See `streams.profile.refetch.Refetch`."""
        return {
            number: [
                Fact(position, row.part, row.assigned, decode_resolved(row.value))
                for position, row in self.rows.items()
                if row.part in one.labels
            ]
            for number, one in wanted.items()
            if all(self.arrived.get(partition, -1) >= offset for partition, offset in one.needs)
        }

    def _take_fact(self, value: bytes, *, is_whole: bool = True) -> None:
        fact = msgspec.json.decode(value)
        position, retracts = (fact["p"], fact["o"]), fact.get("retracts", False)
        if retracts and not is_whole:
            return
        if is_whole and not retracts:
            self.arrived[fact["p"]] = max(self.arrived.get(fact["p"], -1), fact["o"], fact.get("e", -1))
        if "outcome" in fact:
            if position in self.rows and not retracts:
                raise AssertionError(f"A fact is applied and refused: {fact}")
            self.refused[position] = fact["message_id"]
            self.rows.pop(position, None)
        elif position not in self.refused:
            self.rows.setdefault(position, Row(fact["part"], value))

    def _take_merge(self, value: bytes) -> None:
        change = msgspec.json.decode(value)
        if change["change"] != "assign":
            return
        for partition, offset in change["facts"]:
            row = self.rows.get((partition, offset))
            if row is not None and row.assigned < change["version"]:
                row.part, row.assigned = change["part"], change["version"]
