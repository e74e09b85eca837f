"""How a profile is kept: small slices in a string, large ones in a hash beside it, and an event writes what it touches."""

import msgspec
import pytest

from profiles.components.activity.state import ACTIVITY, Activity
from profiles.components.attributes.state import ATTRIBUTES, Attribute, Attributes
from profiles.components.identifiers.state import IDENTIFIERS, Known
from profiles.components.tags.state import TAGS, Tags
from profiles.inbox import BUCKET_KEPT, BUCKETS, INBOX, RECENT, add, find, fingerprint_of
from profiles.state import KEPT_HEAD, MAX_HEAD, Fields, Person, Stored, pack, unpack
from tests.shop import NOW, as_resolved, make_event


class Kept:
    """What Redis would hold of one profile. `fetched`: the fields that were read one by one."""

    def __init__(self) -> None:
        self.head, self.fields, self.fetched = b"", dict[str, bytes](), list[str]()

    def write(self, person: Person) -> Fields:
        stored: Stored = pack(person)
        self.head = stored.head
        for name, value in stored.fields.items():
            if value is None:
                self.fields.pop(name, None)
            else:
                self.fields[name] = value
        return stored.fields

    def read(self) -> Person:
        return unpack(self.head, fetch=self.fetch)

    def fetch(self, name: str) -> bytes | None:
        self.fetched.append(name)
        return self.fields.get(name)


def large(count: int = 200) -> Attributes:
    return Attributes({f"name {number}": Attribute("x" * 20, NOW, number) for number in range(count)})


def test_a_small_profile_is_one_string() -> None:
    kept, person = Kept(), Person(1)
    person.whole.put(ACTIVITY, Activity(3, NOW, NOW))
    assert kept.write(person) == {}
    assert kept.read().whole.get(ACTIVITY) == Activity(3, NOW, NOW)


def test_the_largest_slices_move_out_and_are_fetched_when_they_are_asked_for() -> None:
    kept, person = Kept(), Person(1)
    person.whole.put(ATTRIBUTES, large())
    person.whole.put(ACTIVITY, Activity(3, NOW, NOW))
    assert list(kept.write(person)) == ["attributes"]
    assert len(kept.head) < KEPT_HEAD
    read = kept.read()
    assert read.whole.get(ACTIVITY).events == 3
    assert kept.fetched == []
    assert read.whole.get(ATTRIBUTES) == large()
    assert kept.fetched == ["attributes"]


def test_what_is_outside_is_written_only_when_it_changes() -> None:
    kept, person = Kept(), Person(1)
    person.whole.put(ATTRIBUTES, large())
    kept.write(person)
    read = kept.read()
    read.whole.change(ACTIVITY).events += 1
    assert kept.write(read) == {}
    read.whole.change(ATTRIBUTES).values.clear()
    read.whole.get(ATTRIBUTES).values["a"] = Attribute("b", NOW, 1)
    assert list(kept.write(read)) == ["attributes"]
    assert kept.read().whole.get(ATTRIBUTES).values == {"a": Attribute("b", NOW, 1)}


@pytest.mark.parametrize("again", [False, True])
def test_a_slice_outside_that_becomes_empty_is_gone(again: bool) -> None:
    kept, person = Kept(), Person(1)
    person.whole.put(IDENTIFIERS, Known({f"email:{number}": NOW for number in range(400)}))
    kept.write(person)
    read = kept.read() if again else person
    read.whole.drop(IDENTIFIERS)
    assert kept.write(read) == {"identifiers": None}
    for one in (read, kept.read()):
        assert one.whole.get(IDENTIFIERS) == Known()
        one.whole.change(IDENTIFIERS).seen["email:1"] = NOW
        kept.write(one)
        assert kept.read().whole.get(IDENTIFIERS).seen == {"email:1": NOW}


def test_a_slice_that_should_be_there_and_is_not_is_an_error() -> None:
    kept, person = Kept(), Person(1)
    person.whole.put(ATTRIBUTES, large())
    kept.write(person)
    kept.fields.clear()
    with pytest.raises(msgspec.DecodeError, match="attributes is kept outside"):
        kept.read().whole.get(ATTRIBUTES)


def test_the_string_never_outgrows_its_bound_whatever_grows() -> None:
    kept, person = Kept(), Person(1)
    for number in range(60):
        person.whole.put(TAGS, Tags())
        person.whole.change(ATTRIBUTES).values[f"name {number}"] = Attribute("x" * 100, NOW, number)
        person.whole.change(IDENTIFIERS).seen[f"email:{number}{'y' * 60}"] = NOW
        kept.write(person)
        assert len(kept.head) <= MAX_HEAD
        person = kept.read()
    assert len(person.whole.get(ATTRIBUTES).values) == len(person.whole.get(IDENTIFIERS).seen) == 60


def test_of_many_messages_the_newest_are_known_and_an_event_reads_one_bucket() -> None:
    kept, person, count = Kept(), Person(1), RECENT + BUCKETS * BUCKET_KEPT
    events = [as_resolved(make_event(f"m{number}", "Viewed")) for number in range(count + 4_000)]
    for event in events:
        add(person.whole, fingerprint_of(event), event)
    kept.write(person)
    assert person.whole.get(INBOX).applied == len(events)
    read = kept.read()
    assert find(read.whole, fingerprint_of(events[-1])) == fingerprint_of(events[-1])
    assert len(kept.fetched) <= 1
    known = [find(read.whole, fingerprint_of(event)) is not None for event in events]
    assert all(known[:RECENT])
    assert all(known[-count // 2 :])
    assert not all(known[RECENT:])
