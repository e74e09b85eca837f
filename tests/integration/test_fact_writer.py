"""Facts into the real engine: each position once, whatever is repeated, whoever restarts."""

import json
import random
from datetime import date, timedelta

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from cdp.clickhouse import connect
from cdp.errors import Unavailable
from cdp.events import Assignment, DeadLetter, Item, Source, encode
from cdp.settings import Settings
from cdp.topics import Names
from sinks.migrate import migrate
from sinks.write import FactWriter
from streams.profile.refetch import PatientReader, Wanted, refetch
from tests.shop import make_event, order

NAMES = Names("cdp")
TABLES = (
    "arrived",
    "events",
    "orders",
    "order_items",
    "duplicates",
    "tag_changes",
    "merges",
    "overrides",
    "dead_letters",
    "items",
)


@pytest.fixture(scope="module")
def client(clickhouse_settings: Settings) -> Client:
    migrate(clickhouse_settings)
    return connect(clickhouse_settings)


@pytest.fixture(autouse=True)
def _empty(client: Client) -> None:
    for table in TABLES:
        client.command(f"TRUNCATE TABLE cdp.{table}")


def writer(client: Client) -> FactWriter:
    return FactWriter(client, "cdp", NAMES)


def fact(offset: int, partition: int = 3, **extra: object) -> tuple[bytes, str, int, int]:
    event = order(f"m{offset}", f"o{offset}", 12.34) if offset % 2 else make_event(f"m{offset}", "Product Viewed")
    head = {"p": partition, "o": offset, "one_id": "P0000000001", "person": 1, "origin": [0, offset]}
    return msgspec.json.encode({**head, **json.loads(encode(event)), **extra}), NAMES.facts, partition, offset


def offsets(client: Client, table: str = "events") -> list[int]:
    return [row[0] for row in client.query(f"SELECT source_offset FROM cdp.{table} ORDER BY source_offset").result_rows]


def test_columns_arrive_as_they_were_sent(client: Client) -> None:
    writer(client).process([fact(1)])
    row = client.query("SELECT order_id, customer_id, status, amount, quantity, items, currency FROM cdp.orders").first_row
    assert (row[0], row[1], row[2], float(row[3]), float(row[4]), row[5], row[6]) == ("o1", "u1", "completed", 12.34, 1.0, 1, "")
    item = client.query("SELECT line, sku, category, unit_price * quantity = amount, event_time FROM cdp.order_items").first_row
    assert item[:4] == (1, "a", "Shoes", 1)
    properties = json.loads(client.query("SELECT properties FROM cdp.events").first_row[0])
    assert properties == json.loads(fact(1)[0])["properties"]


def test_the_same_batch_twice_writes_once(client: Client) -> None:
    batch = [fact(offset) for offset in range(10)]
    first = writer(client)
    assert first.process(batch)["events"] == 10
    assert first.process(batch) == {"events": 0, "orders": 0, "order_items": 0}
    assert writer(client).process(batch) == {"events": 0, "orders": 0, "order_items": 0}
    assert offsets(client) == list(range(10))


def test_a_batch_that_was_written_in_part_is_completed(client: Client) -> None:
    """A crash between two tables, or between two parts of one insert, leaves holes below the highest position."""
    batch = [fact(offset) for offset in range(10)]
    writer(client).process([batch[offset] for offset in (0, 3, 9)])
    client.command("TRUNCATE TABLE cdp.orders")
    assert writer(client).process(batch)["events"] == 7
    assert offsets(client) == list(range(10))
    assert offsets(client, "orders") == [1, 3, 5, 7, 9]


@pytest.mark.parametrize("seed", range(3))
def test_repeats_and_late_positions_in_any_batches(client: Client, seed: int) -> None:
    """Replays jump back; an event that waited for a merge comes after later ones. Restarts come at any time."""
    source = random.Random(seed)
    current = writer(client)
    position = 0
    while position < 300:
        start = max(0, position - source.randrange(40)) if source.random() < 0.3 else position
        stop = min(300, start + source.randrange(1, 30))
        batch = [fact(o, partition=p) for o in range(start, stop) for p in (1, 2)]
        source.shuffle(batch)
        current.process(batch)
        position = max(position, stop)
        if source.random() < 0.2:
            current = writer(client)
    assert offsets(client) == sorted([*range(300), *range(300)])


def test_merges_are_seen_by_the_next_query(client: Client) -> None:
    merge = {
        "change": "merge", "one_id": "P0000000001", "person": 1, "loser": "P0000000009", "loser_person": 9, "version": 3,
        "time": 1_795_000_000_000_000, "message_id": "x", "p": 0, "o": 5, "seq": 1,
    }  # fmt: skip
    assert writer(client).process([(json.dumps(merge).encode(), NAMES.merges, 0, 0)]) == {}
    assert client.query("SELECT dictGet('cdp.person_overrides', 'person', toUInt64(9))").first_row[0] == 1
    for _ in range(2):
        writer(client).process([(json.dumps(merge).encode(), NAMES.changes, 0, 0)])
    assert client.query("SELECT person, loser_person, version FROM cdp.merges").result_rows == [(1, 9, 3)]


def test_rubbish_on_a_topic_is_kept_and_stops_nothing(client: Client) -> None:
    writer(client).process([(b"\xff{", NAMES.facts, 0, 1), (None, NAMES.changes, 0, 2), fact(2)])
    assert offsets(client) == [2]
    assert client.query("SELECT count(), any(stage) FROM cdp.dead_letters").first_row == (2, "facts")


def test_duplicates_say_whether_they_are_conflicts_and_replays_what_they_repair(client: Client) -> None:
    duplicate = {"outcome": "duplicate", "conflict": True, "replay_of": "1:5"}
    writer(client).process(
        [fact(1, source={"replay_of": "1:4"}), fact(2, **duplicate), fact(3, properties={"order_id": "o", "version": 7})]
    )
    assert client.query("SELECT conflict, replay_of FROM cdp.duplicates").result_rows == [(1, "1:5")]
    assert client.query("SELECT source_offset, replay_of FROM cdp.events ORDER BY 1").result_rows == [(1, "1:4"), (3, "")]
    assert client.query("SELECT source_offset, version FROM cdp.orders ORDER BY 1").result_rows == [(1, 0), (3, 7)]


def test_a_bots_order_is_an_event_and_no_order(client: Client) -> None:
    assert writer(client).process([fact(1, bot=True, properties={"total": "rubbish"}), fact(3, bot=True)]) == {"events": 2}


def test_items_are_kept_as_they_came_and_the_latest_counts(client: Client) -> None:
    def item(offset: int, id_: str, time: int, price: int | None, source: str = "shop") -> tuple[bytes, str, int, int]:
        said = Item(
            item_type="product", item_id=id_, time=time, received_at=time, message_id=f"m{offset}", source=Source(source),
            operation="delete" if price is None else "set", properties=msgspec.Raw(b'{"price":%d}' % (price or 0)),
        )  # fmt: skip
        return encode(said), NAMES.items, 0, offset

    batch = [item(0, "a", 5, 10), item(1, "a", 9, 12), item(2, "a", 7, 11), item(3, "b", 5, 1), item(4, "b", 6, None)]
    assert writer(client).process(batch) == {"items": 5}
    assert writer(client).process([*batch, item(5, "b", 4, 2)]) == {"items": 1}
    rows = client.query("SELECT item_type, item_id, properties FROM cdp.items_current").result_rows
    assert rows == [("product", "a", '{"price":12}')]


def test_letters_that_were_written_twice_are_one(client: Client) -> None:
    def letter(offset: int, **more: object) -> tuple[bytes, str, int, int]:
        said = DeadLetter(stage="collect", reason="r", time=5, payload="x", **more)  # type: ignore[arg-type]
        return encode(said), NAMES.dead_letters, 0, offset

    writer(client).process(
        [
            letter(0, letter_id="a", dialect="sensors", request=msgspec.Raw(b'{"sent_at":1}')), letter(1, letter_id="a"),
            letter(2, p=1, o=7), letter(3, p=1, o=7), letter(4), letter(5),
        ]
    )  # fmt: skip
    writer(client).process([fact(1, source={"replay_of": "0:2"}), fact(2, outcome="duplicate", replay_of="0:4")])
    rows = client.query("SELECT source_offset, replayed, dialect, request FROM cdp.letters ORDER BY source_offset").result_rows
    assert rows == [(0, 0, "sensors", '{"sent_at":1}'), (2, 1, "", "{}"), (4, 1, "", "{}"), (5, 0, "", "{}")]


def assignment(part: int, version: int, *facts: tuple[int, int]) -> tuple[bytes, str, int, int]:
    """Facts count in a fragment."""
    change = Assignment(one_id="P0000000001", person=1, part=part, facts=list(facts), version=version, time=0)
    return encode(change), NAMES.merges, 0, version


def mutations(client: Client) -> int:
    return int(client.query("SELECT uniqExact(mutation_id) FROM system.mutations WHERE database = 'cdp'").first_row[0])


PARTS = "SELECT source_offset, part FROM cdp.events ORDER BY 1"


def test_assignments_of_one_batch_are_made_together(client: Client) -> None:
    """A fuzzer's events lie in hundreds of months, and each mutation of a table costs something for each of them."""
    writer(client).process([fact(offset, part=1) for offset in range(0, 8, 2)])
    before = mutations(client)
    batch = [assignment(2, 10, (3, 2), (3, 4)), assignment(5, 11, (3, 4)), assignment(7, 12, (9, 4))]
    writer(client).process(batch)
    assert client.query(PARTS).result_rows == [(0, 1), (2, 2), (4, 5), (6, 1)]
    assert mutations(client) == before + 1  # there are no orders to be assigned
    writer(client).process(batch)
    assert client.query(PARTS).result_rows == [(0, 1), (2, 2), (4, 5), (6, 1)]
    assert mutations(client) == before + 1


@pytest.mark.parametrize("seed", range(6))
def test_of_several_assignments_the_highest_version_stands_in_any_order(client: Client, seed: int) -> None:
    draw = random.Random(seed)
    writer(client).process([fact(offset, part=1) for offset in range(10)])
    versions = range(1, 8)
    told = {version: (draw.randint(2, 5), draw.sample(range(10), 4)) for version in versions}
    records = [assignment(part, version, *((3, offset) for offset in some)) for version, (part, some) in told.items()]
    records += draw.sample(records, 3)
    draw.shuffle(records)
    while records:
        count = draw.randint(1, 4)
        writer(client).process(records[:count])
        del records[:count]
    wanted = {offset: max((v for v in versions if offset in told[v][1]), default=0) for offset in range(10)}
    expected = [(offset, told[version][0] if version else 1, version) for offset, version in wanted.items()]
    assert client.query("SELECT source_offset, part, assigned FROM cdp.events ORDER BY 1").result_rows == expected
    ordered = [row for row in expected if row[0] % 2]
    for table in ("orders", "order_items"):
        assert client.query(f"SELECT source_offset, part, assigned FROM cdp.{table} ORDER BY 1").result_rows == ordered


def test_a_retracted_fact_is_a_duplicate_and_never_comes_back(client: Client) -> None:
    """PROFILE, or the writer itself, may write it again after a restart."""
    facts = [fact(offset) for offset in range(5)]
    writer(client).process(facts)
    retraction = fact(3, outcome="duplicate", retracts=True)
    for batch in ([retraction], [retraction], facts, [facts[3], retraction], [facts[3]]):
        writer(client).process(batch)
        assert offsets(client) == [0, 1, 2, 4]
        assert offsets(client, "orders") == offsets(client, "order_items") == [1]
        assert offsets(client, "duplicates") == [3]


def test_the_last_fact_of_a_partition_is_retracted_and_never_comes_back(client: Client) -> None:
    facts = [fact(offset) for offset in range(4)]
    writer(client).process(facts)
    writer(client).process([fact(3, outcome="duplicate", retracts=True)])
    writer(client).process(facts)
    assert offsets(client) == [0, 1, 2]
    assert offsets(client, "order_items") == [1]


def test_what_moved_ranges_by_itself_in_an_older_version_is_passed_over(client: Client) -> None:
    old = msgspec.json.encode(
        {"change": "carve", "one_id": "P0000000001", "person": 1, "part": 1, "into": 2, "start": 0, "end": 9}
    )
    writer(client).process([(old, NAMES.merges, 0, 1)])
    assert offsets(client, "dead_letters") == []


def test_facts_of_parts_are_read_back_when_all_that_is_needed_has_arrived(client: Client) -> None:
    writer(client).process([fact(offset, part=offset % 3) for offset in range(9)] + [fact(9, outcome="duplicate")])

    def found(*needs: tuple[int, int]) -> list[tuple[int, int]] | None:
        answer = refetch(client, {7: Wanted(frozenset({1, 2}), frozenset(needs))}).get(7)
        return None if answer is None else sorted((one.position[1], one.label) for one in answer)

    everything = [(1, 1), (2, 2), (4, 1), (5, 2), (7, 1), (8, 2)]
    assert found() == found((3, 8)) == found((3, 8), (3, 9)) == everything  # a duplicate is a verdict as well
    assert found((3, 8), (3, 10)) is None
    assert found((3, 8), (2, 1)) is None
    writer(client).process([fact(6, part=5), fact(7, partition=2, part=1, e=12)])  # it had waited until then
    assert found((3, 10)) is None
    assert found((2, 12), (3, 9)) == sorted([*everything, (7, 1)])
    assert found((2, 13)) is None
    writer(client).process([fact(3, partition=9, outcome="duplicate", retracts=True)])
    assert found((9, 1)) is None  # of a fact of another partition
    (one,) = [one for one in refetch(client, {7: Wanted(frozenset({1}), frozenset())})[7] if one.position == (3, 1)]
    sent = msgspec.json.decode(fact(1)[0])
    assert (one.record.message_id, one.record.kind, one.record.event, one.record.time) == (
        "m1",
        "track",
        "Order Completed",
        sent["time"],
    )
    assert msgspec.json.decode(one.record.properties) == sent["properties"]
    assert (one.record.origin, one.assigned) == ((0, 1), 0)


def test_while_clickhouse_does_not_answer_no_fact_has_arrived_and_nothing_fails(
    client: Client, clickhouse_settings: Settings
) -> None:
    writer(client).process([fact(1, part=1)])
    wanted = {1: Wanted(frozenset({1}), frozenset())}
    clock, asked = [0.0], []

    def gone() -> Client:
        asked.append(clock[0])
        if clock[0] < 6:
            raise Unavailable("ClickHouse does not answer.")
        return connect(clickhouse_settings)

    reader = PatientReader(gone, lambda: clock[0])
    for clock[0] in (0.0, 1.0, 4.9, 5.1):  # it is not asked at every tick
        assert reader(wanted) == {}
    assert asked == [0.0, 5.1]
    clock[0] = 10.2
    assert [one.position for one in reader(wanted)[1]] == [(3, 1)]


def test_facts_of_every_year_since_1970_stand_at_their_time(client: Client) -> None:
    """A history may reach over more months than ClickHouse takes at once by itself."""
    days = [1, 9_800, *range(31, 47_000, 60)]  # 1970-01-02, an autumn of 1996, and on to 2098
    facts = writer(client)
    facts.process([fact(index, time=day * 86_400_000_000) for index, day in enumerate(days)])
    found = client.query(
        "SELECT source_offset, toString(toDate(event_time)), toUnixTimestamp64Micro(event_time) FROM cdp.events"
        " ORDER BY source_offset"
    ).result_rows
    dates = [(date(1970, 1, 1) + timedelta(days=day)).isoformat() for day in days]
    assert found == [(index, dates[index], day * 86_400_000_000) for index, day in enumerate(days)]
    first = client.query("SELECT min(event_time), toString(min(toDate(event_time))) FROM cdp.orders").result_rows[0]
    assert first[1] == "1970-04-02"
