"""Which offsets may be committed when records finish in any order. Pure."""


class Offsets:
    """Records under way, by partition. A partition may be committed up to its lowest unfinished record."""

    def __init__(self) -> None:
        self._open: dict[int, set[int]] = {}
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    def start(self, partition: int, offset: int) -> bool:
        """A record was taken. False if it is under way already (read again after a rebalance)."""
        under_way = self._open.setdefault(partition, set())
        if offset in under_way:
            return False
        under_way.add(offset)
        self._next[partition] = max(self._next.get(partition, 0), offset + 1)
        return True

    def finish(self, partition: int, offset: int) -> None:
        """A record is done with; unknown ones (of a partition that was dropped) are ignored."""
        self._open.get(partition, set()).discard(offset)

    def drop(self, partition: int) -> None:
        """The partition is somebody else's now."""
        for by_partition in (self._open, self._next, self._committed):
            by_partition.pop(partition, None)

    def committable(self) -> dict[int, int]:
        """Partition to the offset to go on from; only those that moved since `committed`."""
        ready = {p: min(self._open[p], default=following) for p, following in self._next.items()}
        return {p: offset for p, offset in ready.items() if offset > self._committed.get(p, 0)}

    def committed(self, offsets: dict[int, int]) -> None:
        """These were committed."""
        self._committed.update(offsets)

    def __len__(self) -> int:
        """How many records are under way."""
        return sum(len(offsets) for offsets in self._open.values())
