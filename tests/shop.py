"""Events and people for tests, short to write."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from cdp.clock import DAY, Calendar
from cdp.events import Event, Identifier, encode
from profiles.book import compile_book
from profiles.canonical import spell
from profiles.components import COMPONENTS, Kinds
from profiles.components.activity.state import ACTIVITY
from profiles.components.tags.state import TAGS
from profiles.components.triggers.state import OCCASIONS
from profiles.inbox import BUCKET_ENTRY, BUCKET_SLOTS, FINGERPRINT, INBOX, fingerprint_of
from profiles.kernel import Kernel
from profiles.slots import Slot
from profiles.state import Person, pack, unpack
from profiles.transfer_log import TRANSFER
from rules.definitions.book import CompiledRules
from rules.definitions.load import load_rules
from streams.records import ResolvedEvent, decode_resolved

NOW = 1_795_000_000_000_000  # 2026-11-18, in microseconds
CALENDAR = Calendar("Asia/Shanghai")


def rules() -> CompiledRules:
    return compile_book(load_rules())


def make_event(
    message_id: str, name: str = "", *, ids: str = "user_id:u1", time: int = NOW, kind: str = "track",
    properties: dict | None = None, traits: dict | None = None,
) -> Event:  # fmt: skip
    identifiers = [Identifier(*pair.split(":", 1)) for pair in ids.split()]
    return Event(
        message_id=message_id, kind=kind, event=name, time=time, received_at=max(time, NOW), ids=identifiers,
        properties=msgspec.Raw(msgspec.json.encode(properties or {})), traits=msgspec.Raw(msgspec.json.encode(traits or {})),
    )  # fmt: skip


def order(message_id: str, order_id: str, total: float, **options: object) -> Event:
    products = [{"sku": "a", "quantity": 1, "price": total, "category": "Shoes"}]
    return make_event(
        message_id, "Order Completed", properties={"order_id": order_id, "total": total, "products": products}, **options
    )


def as_resolved(event: Event, person: int = 1) -> ResolvedEvent:
    head = {"one_id": f"P{person:010d}", "person": person, "part": person, "origin": [0, 0]}
    return decode_resolved(msgspec.json.encode({**head, **msgspec.json.decode(encode(event))}))


def make_person(number: int = 1, states: Mapping[Slot[Any], Any] | None = None, **options: object) -> Person:
    """Of one fragment, if `fragment` is among the options.

    Args:
        states: of the person, by slot.
        options: attributes of the person.
    """
    person = Person(number)
    for slot, state in (states or {}).items():
        person.whole.put(slot, state)
    person.log = person.whole.get(TRANSFER) if TRANSFER in person.whole else person.log
    for name, value in options.items():
        setattr(person, name, value)
    return person


class Harness:
    """Gives events to the profile kernel, without a log, Redis or Flink."""

    def __init__(self, book: CompiledRules | None = None, kinds: Kinds = COMPONENTS) -> None:
        self.kernel = Kernel(book or rules(), CALENDAR, kinds)

    def apply(self, person: Person, *events: Event) -> Person:
        for event in events:
            record = as_resolved(event, person.number)
            fingerprint = fingerprint_of(record)
            if self.kernel.find(person, fingerprint) is None:
                self.kernel.apply(person, record, self.kernel.read(record), fingerprint)
        return person

    def at(self, person: Person, days: float) -> dict[str, object]:
        """The tags some days after the person's clock."""
        self.kernel.wake(person, person.as_of + int(days * DAY))
        return tags_of(person)


def tags_of(person: Person) -> dict[str, object]:
    return {name: tag.value for name, tag in person.whole.get(TAGS).by_name.items()}


def events_of(person: Person) -> int:
    return person.whole.get(ACTIVITY).events


def folds(person: Person) -> dict[str, object]:
    """What a profile says by its messages alone: neither tags nor occasions. And of which days it knows how many messages."""
    parts = tuple(person.fragments.values()) or (person.whole,)
    days, applied = Counter[int](), [inbox for slices in parts if (inbox := slices.get(INBOX)).applied]
    for slices in parts:
        for day, known in slices.get(INBOX).recent.items():
            days[day] += len(known) // FINGERPRINT
        for known in map(slices.get, BUCKET_SLOTS):
            days.update(int.from_bytes(known[at + FINGERPRINT : at + BUCKET_ENTRY]) for at in range(0, len(known), BUCKET_ENTRY))
    span = min((inbox.first for inbox in applied), default=0), max((inbox.last for inbox in applied), default=0)
    messages = [sum(inbox.applied for inbox in applied), span, sorted(days.items())]
    return spell(person, without=("tags", "occasions")) | {"messages": messages}


def figures(person: Person) -> dict[str, object]:
    """The same, and which occasions there were: their times depend on which tick woke the person."""
    return folds(person) | {"fired": sorted(person.whole.get(OCCASIONS).fired)}


def copy_of(person: Person) -> Person:
    """The same person, to be changed without an effect on this one; nothing of it is stored."""
    states = {"whole": person.whole.copy(), "fragments": {number: slices.copy() for number, slices in person.fragments.items()}}
    names = ("as_of", "offset", "due", "book", "fragment", "version")
    return make_person(person.number, **{name: getattr(person, name) for name in names}, **states)


def reopened(person: Person) -> Person:
    """As it is read after it was written."""
    stored = pack(copy_of(person))
    return unpack(stored.head, {name: value for name, value in stored.fields.items() if value is not None})


def canonical(person: Person) -> bytes:
    """The part of a profile that is a function of the set of its events, in one spelling."""
    return repr([person.as_of, folds(person), sorted(tags_of(person).items())]).encode()
