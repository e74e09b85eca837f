"""The vendors' own packages, sending over HTTP to the running collector: every event is there once, of the right person.

Each sender of `tests/vendors` is a program of its own, which prints what it sent. All run first, side by side; then each
test looks at one of them.
"""

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest

from cdp.clickhouse import connect
from cdp.keyring import path_of, read
from cdp.people import one_id
from cdp.reveal import Reveal
from tests.vendors.refusing import refusing
from tests.vendors.senders import SENDERS, Object, Sender

SIDE_BY_SIDE = 3
SECONDS = 60  # the longest wait for what was sent
EVENTS = """
    SELECT kind, event, message_id, toUnixTimestamp64Micro(event_time) / 1000 AS time, properties, traits, context,
           dictGetOrDefault(person_overrides, 'person', toUInt64(part), owner) AS person
    FROM events WHERE source = {source:String} ORDER BY event_time
"""
LETTERS = "SELECT stage, reason, field, detail, left(payload, 500) FROM dead_letters WHERE source = {source:String}"
ITEMS = "SELECT item_type, item_id, operation, properties FROM items WHERE source = {source:String}"


def each(senders: list[Sender]) -> Any:
    return pytest.mark.parametrize("sender", senders, ids=lambda sender: sender.name)


@dataclass
class Sent:
    """What a sender said that it sent under a write key; `error` if it failed.

    Attributes:
        hits: the requests that it made.
        until: when all of it has to have arrived.
    """

    source: str
    facts: Object
    error: str = ""
    hits: int = 0
    until: float = 0.0


@pytest.fixture(scope="module")
def run() -> str:
    """A word that makes names and identifiers unique."""
    return uuid.uuid4().hex[:10]


@pytest.fixture(scope="module")
def sent(stack, run) -> dict[str, Sent]:
    """All senders' calls, made."""
    keys = {sender.name: mint(stack, sender, f"{sender.name}-{run}") for sender in SENDERS}

    def send(sender: Sender) -> Sent:
        name = f"{sender.name}-{run}"
        return attempt(sender, name, stack.settings.api_url, "" if sender.by_app else keys[sender.name], name.replace("-", "_"))

    return side_by_side(send)


def mint(stack: Any, sender: Sender, name: str) -> str:
    from serving.definitions import mint_write_key
    from serving.definitions.keys import KeyChange, change_key

    secret = mint_write_key(stack.settings, name)
    if sender.by_app:
        change_key(stack.settings, name, KeyChange(apps=[name]))
    return secret


def attempt(sender: Sender, name: str, url: str, key: str, run: str, *, one: bool = False) -> Sent:
    try:
        return Sent(name, sender.run(url, key, run, sender.app.format(name=name), one=one))
    except Exception as error:  # belongs to the test that looks at this sender
        return Sent(name, {}, repr(error) if not isinstance(error, AssertionError) else str(error))


def side_by_side(send: Callable[[Sender], Sent], senders: list[Sender] = SENDERS) -> dict[str, Sent]:
    there = [sender for sender in senders if not sender.missing()]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = dict(zip((sender.name for sender in there), pool.map(send, there), strict=True))
    for one in found.values():
        one.until = time.monotonic() + SECONDS
    return found


def of(sender: Sender, sent: dict[str, Sent]) -> Sent:
    if sender.missing():
        pytest.skip(sender.missing())
    found = sent[sender.name]
    assert not found.error, found.error
    return found


# --- what must be there


@pytest.mark.stack
@pytest.mark.timeout(240)
@each(SENDERS)
def test_every_event_of_a_package_is_there_once_with_the_right_person_name_time_and_properties(stack, sent, sender) -> None:
    found = of(sender, sent)
    assert found.facts["errors"] == []
    arrives(stack, found)


def arrives(stack: Any, sent: Sent) -> None:
    """Look until nothing differs, or time is up."""
    while (found := differences(stack, sent)) and time.monotonic() < sent.until:
        time.sleep(0.3)
    assert not found, "\n".join(found)


def differences(stack: Any, sent: Sent) -> list[str]:
    """Each thing that is not as the sender says, as a line for a person to read."""
    facts = sent.facts
    with connect(stack.settings) as client:
        rows, items, letters = (
            list(client.query(query, parameters={"source": sent.source}).named_results()) for query in (EVENTS, ITEMS, LETTERS)
        )
    reveal = Reveal(read(path_of(stack.settings)))  # of what is personal the tables hold sealed text
    for row in [*rows, *items]:
        row |= {name: reveal.value(json.loads(row[name])) for name in ("properties", "traits", "context") if name in row}
    found, persons = [], {name: set[int]() for name in facts["people"]}
    left = list(rows)
    for fact in facts["sent"]:
        row, wrong = best(fact, left, facts)
        if row is None:
            found.append(f"{fact['kind']} {fact['event']!r} of {fact.get('person')} is missing")
            continue
        left.remove(row)
        found += wrong
        if fact.get("person"):
            persons[fact["person"]].add(row["person"])
    found += [f"dead letter: {letter}" for letter in letters]
    found += [f"too many: {row['kind']} {row['event']!r} {row['message_id']}" for row in left]
    found += [f"item {item} is missing" for item in facts.get("items", []) if item not in items]
    return found + wrong_people(stack, facts["people"], persons)


def best(fact: Object, rows: list[Object], facts: Object) -> tuple[Object | None, list[str]]:
    """The row that is nearest to a fact, and in what it differs."""
    named = [row for row in rows if (row["kind"], row["event"]) == (fact["kind"], fact["event"])]
    if fact.get("message_id"):
        named = [row for row in named if row["message_id"] == fact["message_id"]]
    judged = sorted(((wrong(fact, row, facts), index) for index, row in enumerate(named)), key=lambda one: (len(one[0]), one[1]))
    return (named[judged[0][1]], judged[0][0]) if judged else (None, [])


def wrong(fact: Object, row: Object, facts: Object) -> list[str]:
    name = f"{fact['kind']} {fact['event']!r}"
    found = [
        f"{name}: {part} {row[part]} lacks {fact[part]}"
        for part in ("properties", "traits", "context")
        if part in fact and not holds(row[part], fact[part])
    ]
    earliest, latest = facts["began"] - 1000, facts["ended"] + 1000
    if "time" in fact:
        earliest, latest = fact["time"] - fact.get("within", 1), fact["time"] + fact.get("within", 1)
    if not earliest <= row["time"] <= latest:
        found.append(f"{name}: at {row['time']}, expected {earliest} to {latest}")
    return found


def holds(whole: Any, part: Any) -> bool:
    """Whether `whole` has everything that `part` has; lists are equal."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and holds(whole[name], value) for name, value in part.items())
    return bool(whole == part) and isinstance(whole, bool) == isinstance(part, bool)


def wrong_people(stack: Any, people: Object, persons: dict[str, set[int]]) -> list[str]:
    found, seen = [], dict[str, str]()
    with httpx.Client(base_url=stack.settings.api_url, headers=authorised(stack), timeout=20) as api:
        for name, person in people.items():
            profiles = {id: api.get("/v1/profiles", params={"id": id, "events": 0}).json() for id in person["ids"]}
            ones = {profile.get("one_id") for profile in profiles.values()}
            if len(ones) != 1 or not person["ids"]:
                found.append(f"{name} is " + ", ".join(f"{id}={profile.get('one_id')}" for id, profile in profiles.items()))
                continue
            one = str(ones.pop())
            if {one_id(number) for number in persons[name]} != {one}:
                found.append(f"the events of {name}, {one}, belong to {sorted(map(one_id, persons[name]))}")
            if one in seen:
                found.append(f"{name} and {seen[one]} are the same person")
            seen[one] = name
            has = {attribute: value["value"] for attribute, value in profiles[person["ids"][0]].get("attributes", {}).items()}
            if not holds(has, person["attributes"]) or has.keys() & set(person["absent"]):
                found.append(f"{name} has {has}, expected {person['attributes']} without {person['absent']}")
    return found


_tokens: dict[str, str] = {}


def authorised(stack: Any) -> dict[str, str]:
    """One token for all tests of this module, of a role that sees personal values: minting again ends the one before."""
    from serving.definitions import mint_token

    url = stack.settings.api_url
    if url not in _tokens:
        _tokens[url] = mint_token(stack.settings, "vendor-packages", "ops")
    return {"Authorization": f"Bearer {_tokens[url]}"}


# --- what packages do when they are refused


RETRYING = [sender for sender in SENDERS if sender.retries]


@pytest.fixture(scope="module")
def refused(stack, run) -> dict[str, dict[str, Sent]]:
    """One event of each sender, against a collector that refuses: for ever with 400 or 401, or once with 503."""
    cases: dict[str, list[str | int]] = {"503": ["lose", "pass"], "400": [400], "401": ["pass"]}
    keys = {sender.name: mint(stack, sender, f"{sender.name}-again-{run}") for sender in SENDERS}

    def send(case: str, sender: Sender) -> Sent:
        name = f"{sender.name}-again-{run}" if case != "401" else f"unknown-{run}"
        key = "wk_unknown" if case == "401" else keys[sender.name]
        with refusing(stack.settings.api_url, cases[case]) as (url, proxy):
            word = f"{case}_{run}_{sender.name}".replace("-", "_")
            found = attempt(sender, name, url, "" if sender.by_app else key, word, one=True)
            found.hits = proxy.hits
        return found

    return {case: side_by_side(partial(send, case), RETRYING if case == "503" else SENDERS) for case in cases}


@pytest.mark.stack
@pytest.mark.timeout(240)
@each(RETRYING)
def test_what_was_answered_by_503_comes_again_and_counts_once(stack, refused, sender) -> None:
    found = of(sender, refused["503"])
    assert found.hits == 2
    arrives(stack, found)


@pytest.mark.stack
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", ["400", "401"])
@each(SENDERS)
def test_what_cannot_be_taken_is_not_sent_for_ever(stack, refused, sender, case) -> None:
    found = of(sender, refused[case])
    assert found.hits == 1
