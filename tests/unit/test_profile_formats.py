"""Profiles as older versions wrote them: each format that was ever released has samples, and is read as it was meant.

The samples are in tests/data/profiles. Beside each is what the code of its time said of it, in its own words: a fragment was a
part then, and a fingerprint a mark.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
import xxhash

from profiles.canonical import fingerprints
from profiles.components.activity.state import ACTIVITY
from profiles.components.attributes.state import ATTRIBUTES
from profiles.components.identifiers.state import IDENTIFIERS
from profiles.components.metrics.state import METRICS
from profiles.components.orders.state import ORDERS
from profiles.components.tags.state import TAGS
from profiles.components.triggers.state import OCCASIONS
from profiles.formats import UPGRADES, unpack_old_fragment
from profiles.fragments import fragment_of, from_remainder, unpack_fragment
from profiles.inbox import BUCKET_ENTRY, BUCKET_SLOTS, FINGERPRINT, INBOX, RECENT
from profiles.kernel import Kernel
from profiles.state import FORMAT, Person, Slices, pack, unpack
from profiles.transfer_log import Awaited, Gone, Rebuild
from rules.definitions.book import CompiledRules
from serving.waiters import waits_of
from streams.commands import (
    Bundle,
    Command,
    ExpectFragments,
    ExpectRange,
    FragmentState,
    RangeState,
    ReassignRange,
    RebuildPerson,
    TransferFragments,
    encode_command,
)
from streams.profile.books import fixed
from streams.profile.step import ProfileStep
from streams.records import decode_record
from tests.shop import CALENDAR, NOW, Harness, copy_of, make_event, reopened, tags_of
from tests.timers import MemoryStore, rule_book, tag, trigger

DATA = Path(__file__).resolve().parents[1] / "data" / "profiles"
SAMPLES = sorted(path.stem for path in DATA.glob("format-*.txt"))
RULED = ["format-4-crowded", "format-4-plain", "format-4-rich"]
AS_OF = 1_795_000_060_000_000
PARTITION = 3  # on which the records of the samples stood

_LOG = (
    "gone", "awaiting", "received", "brought", "pending", "ranges", "family", "expected", "answered", "unanswered", "rebuild",
)  # fmt: skip
_NOTES = (
    "needs", "ranges", "family", "awaited", "expected", "received", "brought", "answered", "unanswered", "rebuild",
)  # fmt: skip
_HEAD_OF_COMMAND = ("person", "one_id", "other", "version", "time", "message_id", "again")


# -- the samples ---------------------------------------------------------------------------------------------------------------


def packed(name: str) -> bytes:
    return base64.b64decode((DATA / f"{name}.txt").read_text())


def sample(name: str) -> Person:
    return unpack(packed(name))


def expected(name: str) -> dict[str, Any]:
    """What was said of a sample. Metrics had names in full."""
    return by_id(json.loads((DATA / f"{name}.json").read_text()))


def by_id(said: Any) -> Any:
    """The same with metrics by their ids."""
    if isinstance(said, list):
        return [by_id(one) for one in said]
    if not isinstance(said, dict):
        return said
    return {name: named(one) if name in ("days", "moments") else by_id(one) for name, one in said.items()}


def named(metrics: dict[str, Any]) -> dict[str, Any]:
    return {str(metric_id(key)): kept for key, kept in metrics.items()}


def metric_id(key: str) -> int:
    return xxhash.xxh32_intdigest(key.encode())


def rules_of(name: str) -> CompiledRules:
    rules = json.loads((DATA / f"{name}.json").read_text())["rules"]
    tags = [tag(*one) for one in rules["tags"].items()]
    return rule_book(*tags, *(trigger(one, when, occasion, tuple(on)) for one, when, occasion, on in rules["triggers"]))


# -- today's profiles in the words of then -------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def say(person: Person) -> dict[str, Any]:
    log = person.log
    numbers = person.fragment_numbers
    return {
        "version": person.version, "person": person.number, "as_of": person.as_of, "offset": person.offset, "due": person.due,
        "parts": numbers, "wake_at": person.wake_at, "waits_since": log.waits_since,
        "waits": [asdict(one) for one in waits_of(person)], "figures": say_figures(person.whole, inboxes(person)),
        "tags": plain(person.whole.get(TAGS).by_name),
        "by_part": {str(number): say_fragment(fragment_of(person, number)) for number in numbers},
        "log": {name: plain(getattr(log, name)) for name in _LOG}
        | {"handed": {str(number): say_remainder(from_remainder(kept)) for number, kept in log.handed.items()}},
    }  # fmt: skip


def inboxes(person: Person) -> tuple[Slices, ...]:
    """The states that have an inbox: the fragments', or the whole's if it is the only one."""
    return tuple(person.fragments.values()) or (person.whole,)


def say_figures(states: Slices, with_inbox: Iterable[Slices]) -> dict[str, Any]:
    activity, known, attributes = states.get(ACTIVITY), states.get(IDENTIFIERS), states.get(ATTRIBUTES)
    metrics = states.get(METRICS)
    return {
        "first_seen": activity.first_seen, "last_seen": activity.last_seen, "events": activity.events, "silent": activity.silent,
        "identifiers": known.seen, "sealed": known.sealed, "attributes": plain(attributes.values),
        "deleted": plain(attributes.deleted), "days": plain(metrics.days), "moments": plain(metrics.moments),
        "orders": plain(states.get(ORDERS).by_id), "occasions": states.get(OCCASIONS).fired, "marks": say_marks(with_inbox),
    }  # fmt: skip


def say_fragment(states: Slices | None) -> dict[str, Any]:
    assert states is not None
    inbox = states.get(INBOX)
    applied = [inbox.applied, inbox.first, inbox.last]
    return say_figures(states, [states]) | {"applied": applied, "fact_at": plain(inbox.fact_at)}


def say_remainder(states: Slices) -> dict[str, Any]:
    sealed, fact_at = states.get(IDENTIFIERS).sealed, plain(states.get(INBOX).fact_at)
    return {"occasions": states.get(OCCASIONS).fired, "sealed": sealed, "fact_at": fact_at}


def say_marks(with_inbox: Iterable[Slices]) -> dict[str, str]:
    found: dict[int, list[str]] = defaultdict(list)
    for states in with_inbox:
        for day, known in states.get(INBOX).recent.items():
            found[day] += [mark.hex() for mark in split(known, FINGERPRINT)]
        for entry in (entry for slot in BUCKET_SLOTS for entry in split(states.get(slot), BUCKET_ENTRY)):
            found[int.from_bytes(entry[FINGERPRINT:])].append(entry[:FINGERPRINT].hex())
    return {str(day): "".join(sorted(marks)) for day, marks in found.items()}


def split(known: bytes, width: int) -> list[bytes]:
    return [known[at : at + width] for at in range(0, len(known), width)]


def say_command(command: Command) -> dict[str, Any]:
    said = {name: getattr(command, name) for name in _HEAD_OF_COMMAND} | {"giver_part": 0}
    match command:
        case ExpectFragments():
            said |= {"event": "await", "parts": command.fragments}
        case TransferFragments():
            said |= {"event": "move", "parts": command.fragments}
        case FragmentState():
            said |= {"event": "state", "parts": [command.fragment], **say_bundle(command.bundle)}
        case ExpectRange():
            said |= {"event": "expect", "parts": [command.fragment], "carved": [say_range(command.range)]}
            said["giver_part"] = command.giver
        case ReassignRange():
            said |= {"event": "carve", "parts": [command.fragment], "carved": [say_range(command.range)]}
        case RangeState():
            said |= {"event": "range", "parts": [command.fragment], **say_bundle(command.bundle)}
        case RebuildPerson():
            said |= {"event": "rebuild", "parts": []}
    return said


def say_range(known: tuple[int, int, int, int, int]) -> list[int]:
    start, end, version, part, person = known
    return [version, start, end, part, person]


def say_bundle(bundle: Bundle) -> dict[str, Any]:
    state = say_fragment(unpack_fragment(bundle.state)) | {"as_of": bundle.as_of} if bundle.state else None
    return {"fragment": {name: plain(getattr(bundle, name)) for name in _NOTES}, "state": state}


# -- what is read --------------------------------------------------------------------------------------------------------------


def test_there_is_a_sample_of_every_format() -> None:
    assert {int(name.split("-")[1]) for name in SAMPLES} == set(UPGRADES) == set(range(3, FORMAT))
    assert {packed(name)[8] for name in SAMPLES} == set(UPGRADES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_profile_says_what_it_said(name: str) -> None:
    found = say(sample(name))
    assert found == {field: value for field, value in expected(name).items() if field in found}


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_written_in_todays_format_and_says_the_same(name: str) -> None:
    person = sample(name)
    before, head = say(person), pack(copy_of(person)).head
    again = reopened(person)
    assert (head[8], again.version) == (FORMAT, person.version + 1)
    for _ in range(2):
        assert say(again) == before | {"version": again.version}
        again = reopened(again)


@pytest.mark.parametrize("name", RULED)
def test_rules_say_of_it_what_they_said(name: str) -> None:
    person, said = sample(name), expected(name)
    assert Kernel(rules_of(name), CALENDAR).reevaluate(person) == []
    assert (plain(person.whole.get(TAGS).by_name), person.due) == (said["tags"], said["next_due"])


@pytest.mark.parametrize("name", RULED)
def test_it_goes_on_as_it_did(name: str) -> None:
    """Repetitions are known, a refund that is told again stands once, timers run out."""
    said, store = expected(name), MemoryStore()
    store._heads[said["person"]], store._fields[said["person"]] = packed(name), {}
    step = ProfileStep(store, fixed(Kernel(rules_of(name), CALENDAR)), {}, lambda _: {}, lambda: NOW)
    for offset, value in enumerate(said["next"], start=said["first_offset"]):
        step.process([(value.encode(), PARTITION, offset)])
    found = say(store.load([said["person"]])[said["person"]].person)
    assert _untimed(found) == _untimed(said["after"]) | {"version": found["version"]}


def _untimed(said: dict[str, Any]) -> dict[str, Any]:
    """Without the times of occasions: they were those of what fired, and are those of the firing now."""
    figures, parts = said["figures"], said["by_part"]
    return said | {
        "figures": figures | {"occasions": sorted(figures["occasions"])},
        "by_part": {number: part | {"occasions": sorted(part["occasions"])} for number, part in parts.items()},
    }


def test_more_messages_than_are_kept_one_by_one_are_known_all_the_same() -> None:
    person = sample("format-4-crowded")
    (inbox,) = [slices.get(INBOX) for slices in inboxes(person) if slices.get(INBOX).has_buckets]
    assert sum(map(len, inbox.recent.values())) == RECENT * FINGERPRINT < len(fingerprints(person)) * FINGERPRINT


def test_the_rich_sample_has_everything() -> None:
    said = expected("format-4-rich")
    assert all(said["log"].values())
    assert all(said["figures"].values())
    assert len(said["by_part"]) == 3


# -- formats one by one ---------------------------------------------------------------------------------------------------------


def test_what_a_profile_of_format_3_says_of_its_person_is_read_as_it_was() -> None:
    person = sample("format-3-waiting")
    assert (person.number, person.as_of, person.whole.get(ACTIVITY).events, person.offset, person.due, person.version) == (
        9, AS_OF, 2, 40, 1_795_003_600_000_000, 5,
    )  # fmt: skip
    whole = person.whole
    assert whole.get(ATTRIBUTES).values["name"].value == "Li Na"
    placed = whole.get(ORDERS).by_id["o1"].placed
    assert placed is not None
    assert placed.amount == 123_400
    assert (whole.get(METRICS).days, whole.get(ACTIVITY).silent) == ({metric_id("count|any|"): {-1: 2, 20775: 2}}, 1)
    assert (tags_of(person)["order_count"], whole.get(OCCASIONS).fired) == (1, {"signup_welcome|ever": AS_OF})
    assert fingerprints(person) == sorted([b"0123456789ab".hex(), b"ba9876543210".hex()])
    assert whole.get(IDENTIFIERS).sealed == {"phone:~t": "k1.x"}
    assert {number: list(slices.get(IDENTIFIERS).seen) for number, slices in person.fragments.items()} == {
        9: ["anonymous_id:a"], 12: ["user_id:u"],
    }  # fmt: skip


def test_who_waited_in_format_3_is_asked_for_or_counted_again() -> None:
    log = sample("format-3-waiting").log
    assert log.gone == {7: Gone(8, 77)}
    assert log.awaiting == {12: {81: Awaited(0, AS_OF), 82: Awaited(0, AS_OF)}}
    assert log.pending == [(41, b'{"kind":"track"}')]
    assert log.ranges == {9: [(1_795_000_030_000_000, 2**62, 81, 12, 9)]}
    assert (log.family, log.rebuild) == ({9: [12]}, {9: Rebuild(AS_OF)})
    assert (log.received, log.brought) == ({12: [80]}, {12: [80]})


def test_orders_of_before_refunds_had_numbers_are_read_and_go_on() -> None:
    person = sample("format-4-before-refund-ids")
    orders = person.whole.get(ORDERS).by_id
    assert (orders["o1"].refunded, orders["o2"].refunded, orders["o1"].unpaid) == (300_000, None, 0)
    person.whole.drop(INBOX)  # what was received long ago may come again
    again = make_event("r", "Order Refunded", properties={"order_id": "o1", "total": 30, "refund_id": "R1"})
    assert Harness().apply(person, again).whole.get(ORDERS).by_id["o1"].refunded == 300_000


# -- commands ------------------------------------------------------------------------------------------------------------------

COMMANDS = (DATA / "commands-format-4.txt").read_bytes().splitlines()
SAID = by_id(json.loads((DATA / "commands-format-4.json").read_text()))


@pytest.mark.parametrize(("value", "said"), zip(COMMANDS, SAID, strict=True), ids=[one["event"] for one in SAID])
def test_commands_that_lie_in_the_log_are_understood(value: bytes, said: dict[str, Any]) -> None:
    command = decode_record(value)
    assert isinstance(command, Command)
    assert say_command(command) == said | {"event": "range" if said["event"] == "stretch" else said["event"]}
    assert decode_record(encode_command(command)) == command


def test_every_command_of_then_has_a_sample() -> None:
    assert {one["event"] for one in SAID} == {"await", "move", "state", "expect", "carve", "range", "stretch", "rebuild"}
    assert any(one["again"] for one in SAID)
    assert {one["state"]["deleted"][0] > 0 for one in SAID if one.get("state")} == {True, False}


def test_a_command_of_then_that_means_nothing_is_refused() -> None:
    value = json.loads(COMMANDS[0])
    for change in ({"event": "dance"}, {"event": "carve"}, {"event": "expect"}, {"person": "x"}):
        assert decode_record(json.dumps(value | change).encode()) is None
    state = next(json.loads(value) for value in COMMANDS if b'"event":"state"' in value)
    for packed_ in (b"", b"x", b"\0" * 9, b"\0" * 8 + b"\x63\x90", b"\0" * 8 + b"\4rubbish"):
        broken = base64.b64encode(packed_).decode() or "no base64"
        assert decode_record(json.dumps(state | {"fragment": {"state": broken}}).encode()) is None


# -- what is refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", [0, 1, 2, FORMAT + 1, 99, 255])
def test_a_format_that_nobody_knows_is_refused(format_: int) -> None:
    value = packed("format-3-waiting")
    with pytest.raises(msgspec.DecodeError, match=f"another format: {format_}, not {FORMAT}; this data folder is of another"):
        unpack(value[:8] + bytes([format_]) + value[9:])
    with pytest.raises(msgspec.DecodeError, match=f"another format: {format_}"):
        unpack_old_fragment(value[:8] + bytes([format_]) + value[9:])


@pytest.mark.parametrize("format_", [*UPGRADES, FORMAT])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"rubbish"])
def test_what_is_no_profile_is_refused(format_: int, body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack(b"\0" * 8 + bytes([format_]) + body)
    for short in (b"", b"\0" * 8):
        with pytest.raises(msgspec.DecodeError, match="too short"):
            unpack(short)


@pytest.mark.parametrize("format_", [0, 2, 255])
def test_a_slice_of_another_format_is_refused(format_: int) -> None:
    with pytest.raises(msgspec.DecodeError, match=f"orders of format {format_}, not 1: written by another version"):
        ORDERS.decode(msgspec.msgpack.encode((format_, [{}])))


@pytest.mark.parametrize("raw", [b"", b"\0", b"\2\x90", b"\xff\x90", b"\x91\1", b"\x92\xa1a\x90"])
def test_what_is_no_slice_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError, match="orders cannot be read: "):
        ORDERS.decode(raw)
