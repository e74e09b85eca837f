"""Facts are told whose they are. Nothing that is asked changes by it, whatever moves, is assigned, comes late or breaks off."""

import json
import random
from collections.abc import Iterator

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from cdp.clickhouse import connect
from cdp.events import Assignment, Merge, TagChanges, encode
from cdp.people import one_id
from cdp.settings import Settings
from cdp.topics import Names
from sinks.migrate import migrate
from sinks.owner import OF_PARTS, OF_PERSONS, dictionary, owner
from sinks.squash import squash
from sinks.write import FactWriter, Record
from tests.shop import order

NAMES = Names("cdp")
BASE = 1_795_000_000_000_000
PARTS = range(1, 7)


@pytest.fixture
def client(clickhouse_settings: Settings) -> Iterator[Client]:
    migrate(clickhouse_settings)
    client = connect(clickhouse_settings)
    for table in (*OF_PARTS, *OF_PERSONS, "overrides", "squashes"):
        client.command(f"TRUNCATE TABLE cdp.{table}")
    yield client
    client.close()


class Shop:
    """People whose parts move, in the engine and, beside it, in plain dictionaries."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.writer = FactWriter(client, "cdp", NAMES)
        self.offset = 0
        self.version = 0
        self.owners = {part: part for part in PARTS}
        self.parts: dict[str, int] = {}
        self.positions: dict[str, tuple[int, int]] = {}

    def position(self) -> int:
        self.offset += 1
        return self.offset

    def fact(self, part: int, person: int | None = None) -> Record:
        """An order, written for whoever has the part, or for somebody who had it."""
        offset = self.position()
        message_id, person = f"m{offset}", person or self.owners[part]
        self.parts[message_id], self.positions[message_id] = part, (0, offset)
        head = {"p": 0, "o": offset, "one_id": one_id(person), "person": person, "part": part, "origin": [0, offset]}
        said = {**json.loads(encode(order(message_id, f"o{offset}", 1.0))), **head, "time": BASE + offset}
        return msgspec.json.encode(said), NAMES.facts, 0, offset

    def tag(self, person: int) -> Record:
        offset = self.position()
        change = TagChanges(
            one_id=one_id(person), person=person, tags=[("vip", None, True)], time=BASE, message_id=f"t{offset}",
            p=0, o=offset, seq=1,
        )  # fmt: skip
        return encode(change), NAMES.changes, 0, offset

    def move(self, part: int, person: int, version: int = 0) -> Record:
        """A part is somebody else's; with a version of before it is not."""
        offset = self.position()
        if not version:
            self.version += 1
            self.owners[part] = person
        change = Merge(
            one_id=one_id(person), person=person, loser=one_id(part), loser_person=part, version=version or self.version,
            time=BASE + offset, message_id="", p=0, o=offset, seq=1,
        )  # fmt: skip
        return encode(change), NAMES.merges, 0, offset

    def assign(self, part: int, into: int) -> list[Record]:
        """All facts of a part until now count in another one; its owner says so, too."""
        offset = self.position()
        self.version += 1
        facts = [self.positions[message_id] for message_id, counts_in in self.parts.items() if counts_in == part]
        self.parts |= {message_id: into for message_id, counts_in in self.parts.items() if counts_in == part}
        change = Assignment(
            one_id=one_id(self.owners[part]), person=self.owners[part], part=into, facts=facts, version=self.version, time=BASE
        )
        return [(encode(change), NAMES.merges, 0, offset), self.move(into, self.owners[into])]

    def write(self, *records: Record) -> None:
        """Each merge is told on two topics, which have a writer each."""
        history = [(value, NAMES.changes, p, o) for value, topic, p, o in records if topic == NAMES.merges and b"loser" in value]
        self.writer.process(records)
        self.writer.process(history)

    def squash(self) -> int:
        return squash(self.client, "cdp", 0, lambda _: "").parts

    def found(self) -> dict[str, int]:
        whose = owner("part", f"'{dictionary('cdp')}'")
        return dict(self.client.query(f"SELECT message_id, {whose} FROM cdp.events").result_rows)

    def wanted(self) -> dict[str, int]:
        return {message_id: self.owners[part] for message_id, part in self.parts.items()}

    def entries(self) -> int:
        (entries,) = self.client.query("SELECT element_count FROM system.dictionaries WHERE name = 'person_overrides'").first_row
        return int(entries)


def test_what_was_squashed_is_looked_up_no_longer(client: Client) -> None:
    shop = Shop(client)
    shop.write(shop.fact(1), shop.fact(2), shop.fact(3), shop.tag(2))
    shop.write(shop.move(2, 1), shop.move(3, 1))
    assert (shop.entries(), set(shop.found().values())) == (2, {1})
    assert shop.squash() == 2
    assert (shop.entries(), set(shop.found().values())) == (0, {1})
    for table in ("orders", "order_items"):
        assert client.query(f"SELECT DISTINCT owner FROM cdp.{table}").result_rows == [(1,)]
    assert client.query("SELECT person, owner FROM cdp.tag_changes").result_rows == [(2, 1)]
    assert client.query("SELECT person, counts FROM cdp.order_states").result_rows == [(1, 1)] * 3
    assert client.query("SELECT parts, written_before <= started_at AND started_at <= ended_at FROM cdp.squashes").first_row == (
        2,
        1,
    )
    shop.write(shop.move(2, 2))
    assert (shop.entries(), shop.found()) == (1, shop.wanted())
    assert shop.squash() == 1
    assert (shop.entries(), shop.found(), shop.squash()) == (0, shop.wanted(), 0)


def test_what_moved_just_now_is_left_and_so_is_everything_while_the_jobs_are_behind(client: Client) -> None:
    shop = Shop(client)
    shop.write(shop.fact(2), shop.move(2, 1))
    young = squash(client, "cdp", 3_600_000_000, lambda _: "")
    behind = squash(client, "cdp", 0, lambda moment: f"waits for {moment > BASE}")
    assert (young.parts, young.left, young.waits_for) == (0, 1, "")
    assert (behind.parts, behind.left, behind.waits_for) == (0, 1, "waits for True")
    assert (shop.entries(), shop.found()) == (1, shop.wanted())


def test_a_merge_that_comes_after_a_later_one_says_nothing(client: Client) -> None:
    shop = Shop(client)
    shop.write(shop.fact(3))
    shop.version = 4
    late = shop.move(3, 2, version=4)
    shop.write(shop.move(3, 1))
    shop.write(late)
    assert shop.found() == shop.wanted()
    shop.squash()
    assert (shop.entries(), shop.found()) == (0, shop.wanted())


def test_what_is_assigned_goes_to_a_part_that_was_squashed(client: Client) -> None:
    shop = Shop(client)
    shop.write(shop.fact(3), shop.fact(4), shop.move(4, 2))
    shop.squash()
    assignment, said = shop.assign(3, 4)
    shop.write(assignment)
    assert shop.found() == shop.wanted()
    shop.write(said)
    shop.squash()
    assert (shop.entries(), shop.found()) == (0, shop.wanted())


def test_a_writer_that_broke_off_before_the_dictionary_knew_loses_nothing(client: Client) -> None:
    shop = Shop(client)
    shop.write(shop.fact(3))
    client.insert("overrides", [[1, 3, 1]], column_names=["person", "loser_person", "version"])
    shop.squash()
    shop.owners[3] = 1
    assert (shop.entries(), shop.found()) == (0, shop.wanted())


def test_a_run_that_broke_off_is_done_again(client: Client) -> None:
    class BreaksOff:
        """Fails at the n-th command."""

        def __init__(self, commands: int) -> None:
            self.left = commands
            self.query = client.query

        def command(self, *arguments: object, **more: object) -> None:
            self.left -= 1
            if self.left < 0:
                raise ConnectionError("killed")
            client.command(*arguments, **more)  # type: ignore[arg-type]

    for commands in (0, 1, 4, 8, 9, 10):
        shop = Shop(client)
        for table in (*OF_PARTS, "merges", "overrides"):
            client.command(f"TRUNCATE TABLE cdp.{table}")
        shop.write(shop.fact(1), shop.fact(2), shop.move(2, 1))
        with pytest.raises(ConnectionError):
            squash(BreaksOff(commands), "cdp", 0, lambda _: "")  # type: ignore[arg-type]
        assert shop.found() == shop.wanted()
        shop.squash()
        assert (shop.entries(), shop.found()) == (0, shop.wanted())


@pytest.mark.parametrize("seed", range(2))
def test_any_history_has_the_same_answers_with_squashes_in_it(client: Client, seed: int) -> None:
    source, shop = random.Random(seed), Shop(client)
    for _ in range(25):
        part, other = source.sample(PARTS, 2)
        match source.choice(("fact", "fact", "stale", "move", "move", "back", "assign", "squash", "restart")):
            case "fact":
                shop.write(shop.fact(part))
            case "stale":  # written for whom it was before the move that came with it
                before = shop.owners[part]
                shop.write(shop.move(part, other), shop.fact(part, person=before))
            case "move":
                shop.write(shop.move(part, other))
            case "back":
                shop.write(shop.move(part, part))
            case "assign":
                shop.write(*shop.assign(part, other))
            case "squash":
                shop.squash()
            case "restart":
                shop.writer = FactWriter(client, "cdp", NAMES)
        assert shop.found() == shop.wanted()
    shop.squash()
    assert (shop.entries(), shop.found()) == (0, shop.wanted())
