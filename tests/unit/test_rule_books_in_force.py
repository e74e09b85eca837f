"""Which rule book holds where, and in which order everybody is looked at."""

from collections.abc import Callable

import pytest

from cdp.clock import Calendar
from cdp.errors import CdpError, Unavailable
from cdp.kafka import partition_of
from cdp.people import one_id
from profiles.book import compile_book
from profiles.kernel import Kernel
from rules.definitions.model import RuleBook
from streams.profile.books import PAGE, Books, InForce

PARTITIONS, PEOPLE = 3, 2 * PAGE + 10


def make(number: int) -> Kernel:
    if number == 13:
        raise CdpError("no book")
    if number == 14:
        raise Unavailable("not there yet")
    return Kernel(compile_book(RuleBook((), (), ()), number), Calendar("Asia/Shanghai"))


def books(find: Callable[[int, int], InForce] = lambda *_: InForce()) -> Books:
    return Books(make, find, lambda: PEOPLE, PARTITIONS)


def test_a_book_holds_from_its_record_on_for_its_partition_alone() -> None:
    known = books()
    assert known.kernel(0, 5).book.number == 0
    assert known.advance(0, 6, 2) == ""
    assert (known.kernel(0, 7).book.number, known.kernel(1, 7).book.number) == (2, 0)
    assert known.advance(0, 8, 2) == known.advance(0, 9, 1) == ""
    assert known.kernel(0, 10).book.number == 2
    assert known.take_changes().since == [(0, 6, 2)]
    assert known.take_changes().since == []


def test_a_book_that_cannot_be_used_leaves_the_former_one() -> None:
    known = books()
    known.advance(0, 1, 2)
    assert "no book" in known.advance(0, 2, 13)
    assert known.kernel(0, 3).book.number == 2
    with pytest.raises(Unavailable):
        known.advance(0, 4, 14)


def test_everybody_is_looked_at_once_page_by_page() -> None:
    known, seen = books(), []
    for offset in range(6):
        pages = known.plan([(1, 0, 4)] if offset == 0 else [(1, offset, None)])
        seen.append(pages.get((1, offset), []))
    assert [len(page) > 0 for page in seen] == [False, True, True, True, False, False]
    everybody = [number for page in seen for number in page]
    assert everybody == [n for n in range(1, PEOPLE + 1) if partition_of(one_id(n), PARTITIONS) == 1]


@pytest.mark.parametrize("together", [1, 2, 5])
def test_the_pages_do_not_depend_on_batches(together: int) -> None:
    records = [(0, 0, 4), (0, 1, None), (2, 0, None), (0, 2, None), (2, 1, 4), (2, 2, None), (0, 3, None)]
    known, pages = books(), {}
    for first in range(0, len(records), together):
        pages |= known.plan(records[first : first + together])
    assert pages == books().plan(records)


def test_a_restart_goes_on_where_it_was() -> None:
    known = books()
    known.plan([(0, 0, 4), (0, 1, None)])
    left = known.take_changes().sweeps[0]
    later = books(lambda *_: left)
    assert later.plan([(0, 0, 4), (0, 1, None)]) == {}
    assert later.plan([(0, 2, None)]) == known.plan([(0, 2, None)])
