"""Events for tests, short to write."""

import msgspec

from cdp.clock import DAY, Calendar
from cdp.events import Event, Identifier, encode
from cdp.profile import MARK, Profile
from rules.definitions.book import CompiledRules, compile_rules
from rules.definitions.load import load_rules
from streams.measure import Measure
from streams.records import Resolved, decode_resolved
from streams.schedule import Schedule
from streams.tag import Tagger

NOW = 1_795_000_000_000_000  # 2026-11-18, in microseconds
CALENDAR = Calendar("Asia/Shanghai")


def rules() -> CompiledRules:
    return compile_rules(load_rules())


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


def as_resolved(event: Event, person: int = 1) -> Resolved:
    head = {"one_id": f"P{person:010d}", "person": person, "origin": [0, 0]}
    return decode_resolved(msgspec.json.encode({**head, **msgspec.json.decode(encode(event))}))


def new_profile(person: int = 1) -> Profile:
    from cdp.profile import new_profile as make

    return make(person)


class Desk:
    """Applies events to a profile, as PROFILE does, without Redis or Flink."""

    def __init__(self) -> None:
        compiled = rules()
        self.rules = compiled
        self.measure = Measure(compiled, CALENDAR)
        self.tagger = Tagger(compiled)
        self.schedule = Schedule(compiled, CALENDAR)

    def apply(self, profile: Profile, *events: Event) -> Profile:
        from rules.language.evaluate import Context
        from streams.measure import add_mark, digest_of, find_mark, mark_of

        for event in events:
            record = as_resolved(event, profile.person)
            mark = mark_of(record)
            if find_mark(profile, mark) is not None:
                continue
            before = CALENDAR.day(profile.as_of) if profile.as_of else -1
            profile.as_of = max(profile.as_of, min(record.time, record.received_at))
            context = Context(profile, profile.as_of, CALENDAR, self.rules.windows)
            reading = self.measure.read(record)
            self.measure.apply(profile, record, reading, digest_of(mark), context.today)
            add_mark(profile, mark, record.received_at)
            if context.today != before:
                self.measure.prune(profile, context.today)
            self.tagger.evaluate(profile, context, None)
            profile.due = self.schedule.next_due(profile)
        return profile

    def tags(self, profile: Profile) -> dict[str, object]:
        return {name: tag.value for name, tag in profile.tags.items()}

    def at(self, profile: Profile, days: float) -> dict[str, object]:
        """The tags some days after the profile's clock."""
        from rules.language.evaluate import Context

        profile.as_of += int(days * DAY)
        self.tagger.evaluate(profile, Context(profile, profile.as_of, CALENDAR, self.rules.windows), None)
        return self.tags(profile)


def canonical(profile: Profile) -> bytes:
    """The part of a profile that is a function of the set of its events, in one spelling."""
    marks = {day: b"".join(sorted(d[i : i + MARK] for i in range(0, len(d), MARK))) for day, d in profile.marks.items()}
    values = {name: tag.value for name, tag in profile.tags.items()}
    plain = msgspec.structs.replace(profile, marks=marks, tags={}, offset=-1)
    return repr(_sorted(msgspec.to_builtins([plain, values]))).encode()


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return sorted((str(key), _sorted(inner)) for key, inner in value.items())
    return [_sorted(inner) for inner in value] if isinstance(value, list | tuple) else value
