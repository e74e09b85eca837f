"""The ledger's arithmetic."""

from dataclasses import replace

from serving.operations.ledger import Counts, Ledger, balance, wait_until_balanced

COUNTS = Counts(
    events_written=100, dead_letters_written=7, rejected=2, applied=90, duplicates=6, dead_letter_rows=7,
    dead_at_collect=3, dead_later=4,
)  # fmt: skip


def test_everything_is_somewhere() -> None:
    assert balance(COUNTS) == Ledger(105, 90, 6, 7, 2, 0, 0, True)


def test_what_is_on_its_way_shows() -> None:
    late = balance(replace(COUNTS, applied=80, dead_letters_written=8))
    assert (late.difference, late.dead_letters_in_flight, late.balanced) == (10, 1, False)


def test_parts_of_the_counts_change_no_balance() -> None:
    found = balance(replace(COUNTS, conflicts=2, replayed=3))
    assert (found.conflicts, found.replayed, found.balanced) == (2, 3, True)


def test_what_lies_in_the_spool_was_received_and_is_on_its_way() -> None:
    found = balance(replace(COUNTS, spooled=4))
    assert (found.received, found.difference, found.spooled, found.balanced) == (109, 4, 4, False)


def test_counting_twice_is_not_balanced() -> None:
    twice = balance(replace(COUNTS, applied=91))
    assert (twice.difference, twice.balanced) == (-1, False)


def test_waiting_ends_when_it_balances_or_time_is_up() -> None:
    counts = iter([balance(replace(COUNTS, applied=80)), balance(COUNTS)])
    assert wait_until_balanced(lambda: next(counts), 10, lambda _: None).balanced
    assert not wait_until_balanced(lambda: balance(replace(COUNTS, applied=80)), 0, lambda _: None).balanced
