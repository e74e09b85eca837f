"""What ClickHouse would hold of the facts that PROFILE wrote, and when: each partition of a topic arrives in order, and late."""

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cdp.profile import Position
from streams import records
from streams.records import decode_resolved
from streams.refetch import Fact, Wanted


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
        gives_up: whether what is overdue counts as arrived if later facts of its partition have.
    """

    partitions: int
    rows: dict[Position, Row] = field(default_factory=dict)
    refused: dict[Position, str] = field(default_factory=dict)
    late: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    gives_up: bool = False

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

    def refetch(self, wanted: Mapping[int, Wanted]) -> dict[int, list[Fact]]:
        """See `streams.refetch.Refetch`."""
        there = self.rows.keys() | self.refused.keys()
        return {
            number: [
                Fact(position, row.part, row.assigned, decode_resolved(row.value))
                for position, row in self.rows.items()
                if row.part in one.labels
            ]
            for number, one in wanted.items()
            if all(need in there or (one.is_overdue and self._is_lost(need)) for need in one.needs)
        }

    def _is_lost(self, need: Position) -> bool:
        return self.gives_up and any(partition == need[0] and offset > need[1] for partition, offset in self.rows)

    def _take_fact(self, value: bytes) -> None:
        fact = msgspec.json.decode(value)
        position = (fact["p"], fact["o"])
        if "outcome" in fact:
            if position in self.rows and not fact.get("retracts"):
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
