"""Labelled records with typing errors: how many pairs are rightly together, how many wrongly, in whatever order they come."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from rules.identity import load_identity_rules
from rules.identity.derive import Record, derive_values
from rules.identity.match import Resolution, resolve_records
from tests.febrl import Labelled, events, perturb, plant_relatives, read, score

MATCHING = load_identity_rules(Path(__file__).parents[1] / "data" / "febrl_identity.yaml").matching
assert MATCHING is not None


def resolved(records: Sequence[Labelled], seed: int) -> Resolution:
    said = events(records, seed)
    return resolve_records([Record(e["message_id"], derive_values(e["traits"], MATCHING)) for e in said], MATCHING)


def test_the_data_is_what_it_says() -> None:
    assert [len(read(number)) for number in (1, 2, 3, 4)] == [1000, 5000, 5000, 10_000]
    first = events(read(1), 1)[0]
    assert first.keys() == {"message_id", "time", "kind", "event", "ids", "traits", "properties", "truth"}
    assert first["ids"] == []
    assert isinstance(first["time"], int)
    assert {e["message_id"] for e in events(read(1), 1)} == {e["message_id"] for e in events(read(1), 2)}
    assert events(read(1), 1) != events(read(1), 2)


# Shuffles: every one of the smallest set, few of the others, whose runs take seconds.
@pytest.mark.parametrize(("number", "shuffles"), [(1, 20), (2, 3), (3, 3)])
def test_duplicates_are_found_in_any_order(number: int, shuffles: int) -> None:
    records = read(number)
    results = {resolved(records, seed).joined for seed in range(shuffles)}
    assert len(results) == 1
    found = score(results.pop().people, records)
    assert found.precision >= 0.999
    assert found.recall >= 0.985


@pytest.mark.parametrize("number", [1, 2, 3])
def test_relatives_stay_apart(number: int) -> None:
    base = read(number)
    records = base + plant_relatives(base, 600, seed=1)
    resolution = resolved(records, 1)
    found = score(resolution.joined.people, records)
    assert found.precision >= 0.995
    assert found.recall >= 0.97
    truth = {record.id: record.person for record in records}
    for person in resolution.joined.people:
        glued = {truth[record] for record in person}
        if any(name.startswith(("spouse-", "junior-")) for name in glued):
            assert len(glued) == 1, glued


def test_records_with_other_errors_than_those_of_febrl() -> None:
    """The rules were not made for these: other mistakes, more of them, people who moved."""
    originals = [record for record in read(4) if record.id.endswith("-org")][:1000]
    records = perturb(originals, seed=7)
    found = score(resolved(records, 1).joined.people, records)
    assert found.precision >= 0.995
    assert found.recall >= 0.94
