"""Ranges of time: of all that is known of a moment the highest version stands, in whatever order it was heard."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cdp.ranges import Range, find, note_all, within

_ranges = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 8), st.integers(1, 3)).map(lambda r: (r[0], r[0] + r[1], r[2])), max_size=8
)


def _numbered(drawn: list[tuple[int, int, int]]) -> list[Range]:
    return [(start, end, version, part, part) for version, (start, end, part) in enumerate(drawn, start=1)]


@given(_ranges, st.randoms())
def test_the_highest_version_stands_in_any_order(drawn: list[tuple[int, int, int]], draw: object) -> None:
    said = _numbered(drawn)
    shuffled = [*said, *said[:2]]
    draw.shuffle(shuffled)
    known = note_all([], shuffled)
    assert known == note_all([], said)
    for time in range(30):
        wanted = max((one for one in said if one[0] <= time < one[1]), key=lambda one: one[2], default=None)
        found = find(known, time)
        assert (found and found[2:]) == (wanted and wanted[2:])
    assert all(one[1] <= other[0] and one[0] < one[1] for one, other in pairwise(known))


@given(_ranges, st.integers(0, 30), st.integers(0, 30))
def test_what_lies_between_two_moments(drawn: list[tuple[int, int, int]], start: int, end: int) -> None:
    known = note_all([], _numbered(drawn))
    inside = within(known, start, end)
    for time in range(32):
        wanted = find(known, time) if start <= time < end else None
        assert (find(inside, time) or (0, 0))[2:] == (wanted or (0, 0))[2:]
