"""Which rule book holds where: a ``rules`` record on a partition of `resolved` puts a book in force from there on.

So no event is handled half by one book and half by another, and a replay of the log tells the same story. From which offset on a
book holds is kept in Redis, as a worker that starts later does not see the record. Whoever has an event is evaluated by the new
book with it. Everybody else is looked at in pages of numbers of people, one page at each tick: where pages begin and end depends
on the log alone, so a replay finds the same people at the same ticks.
"""

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import msgspec

from cdp.errors import CdpError, Unavailable
from cdp.kafka import partition_of
from cdp.people import one_id
from profiles.kernel import Kernel

PAGE = 1_000  # numbers of people that are gone through at a tick, of whom those of the partition are looked at

log = logging.getLogger(__name__)

MakeKernel = Callable[[int], Kernel]
"""The kernel for a book by its number; 0 are the shipped rules. Raises CdpError if the book cannot be used."""


class InForce(msgspec.Struct, array_like=True, frozen=True):
    """What holds on a partition.

    Attributes:
        book: its number; 0: none was published, and the shipped rules hold.
        next: the next number of a person who is looked at since the book came into force; 0: all have been.
        at: the offset of the last tick that has done so.
    """

    book: int = 0
    next: int = 0
    at: int = -1


class Changes(msgspec.Struct, frozen=True):
    """What a batch has changed.

    Attributes:
        since: (partition, offset, number) of each book that came into force.
        sweeps: by partition, how far it is.
    """

    since: list[tuple[int, int, int]]
    sweeps: dict[int, InForce]


NO_CHANGES = Changes([], {})


class Books:
    """The book of each partition.

    Args:
        make: see `MakeKernel`.
        find: what holds on a partition for the record at an offset, by what is in Redis.
        count_people: how many numbers have been given to people.
        partitions: of `resolved`.
    """

    def __init__(
        self, make: MakeKernel, find: Callable[[int, int], InForce], count_people: Callable[[], int], partitions: int
    ) -> None:
        self._make = lru_cache(maxsize=8)(make)
        self._find = find
        self._count_people = count_people
        self._people = lru_cache(maxsize=4)(partial(_by_partition, partitions))
        self._kernels: dict[int, Kernel] = {}
        self._in_force: dict[int, InForce] = {}
        self._changes = Changes([], {})

    def kernel(self, partition: int, offset: int) -> Kernel:
        """The kernel for a record at an offset; each partition is asked for in the order of its records."""
        kernel = self._kernels.get(partition)
        return self._begin(partition, offset) if kernel is None else kernel

    def plan(self, records: Iterable[tuple[int, int, int | None]]) -> dict[tuple[int, int], list[int]]:
        """For each tick of a batch, by partition and offset, the people of the partition who are looked at.

        Args:
            records: (partition, offset, number) of ``rules`` records, and of ticks, whose number is None, in their order.
        """
        pages: dict[tuple[int, int], list[int]] = {}
        for partition, offset, number in records:
            self.kernel(partition, offset)
            known = self._in_force[partition]
            if number is not None and number > known.book:
                self._sweep(partition, InForce(number, 1))
            elif number is None and known.next and offset > known.at:
                end = known.next + PAGE
                last = min(end, self._count_people() + 1)
                pages[partition, offset] = self._people(known.next, last)[partition]
                self._sweep(partition, InForce(known.book, end if last == end else 0, offset))
        return pages

    def advance(self, partition: int, offset: int, number: int) -> str:
        """A record puts a book in force. Returns what is wrong with it: then the former one holds. Records may come twice."""
        if number <= self.kernel(partition, offset).book.number:
            return ""
        try:
            self._kernels[partition] = self._make(number)
        except Unavailable:
            raise  # it will be there when the job has restarted
        except CdpError as error:
            log.error("rule book %s cannot be used on partition %s: %s", number, partition, error)
            return str(error)
        self._changes.since.append((partition, offset, number))
        return ""

    def take_changes(self) -> Changes:
        """What has changed since it was asked for last."""
        changes, self._changes = self._changes, Changes([], {})
        return changes

    def _begin(self, partition: int, offset: int) -> Kernel:
        found = self._in_force[partition] = self._find(partition, offset)
        kernel = self._kernels[partition] = self._make(found.book)
        return kernel

    def _sweep(self, partition: int, state: InForce) -> None:
        self._in_force[partition] = state
        self._changes.sweeps[partition] = state


def _by_partition(partitions: int, first: int, end: int) -> list[list[int]]:
    """The numbers from `first` to before `end`, each with those of its partition."""
    found: list[list[int]] = [[] for _ in range(partitions)]
    for number in range(first, end):
        found[partition_of(one_id(number), partitions)].append(number)
    return found


def fixed(kernel: Kernel) -> Books:
    """One kernel for ever, whatever is published: for tests and benches of the step."""
    return Books(lambda _: kernel, lambda *_: InForce(kernel.book.number), lambda: 0, 1)
