"""Drill: phones, e-mail addresses and secrets in every request there is; afterwards none of them rests anywhere.

Looked through are the bytes of every file of the platform, all records of all topics, every value in Redis and all texts in
ClickHouse. That the search sees something is shown by the run's ids, which are not personal and must be found everywhere.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from cdp import kafka, redis
from cdp.clickhouse import connect
from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.topics import Names
from loadtest.drill_bad_input import wait_until_settled
from loadtest.planted import Planted, Sent, keyed, plant, requests
from loadtest.scan import Search, scan_files
from loadtest.stack import Access, environment, read_ledger

SETTLE_SECONDS = 120.0
LOOKED_UP = 50
PLAN = {
    "events": {
        "Planned": {"schema": {"properties": {"phone": {"type": "integer"}, "n": {"type": "number"}}}, "on_violation": "warn"},
        "Blocked": {"schema": {"properties": {"phone": {"type": "integer"}, "n": {"type": "number"}}}, "on_violation": "block"},
    },
    "traits": {"schema": {"properties": {"name": {"type": "number"}, "email": {"maxLength": 3}}}, "on_violation": "warn"},
}
Tell = Callable[[str], None]


@dataclass
class _Http:
    """One connection to the API, kept alive. Counts answers by status."""

    url: str
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        at = urlsplit(self.url)
        self._connection = http.client.HTTPConnection(at.hostname or "127.0.0.1", at.port or 80, timeout=60)

    def ask(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a request; a 503 is tried again. Raises CdpError if there is no other answer."""
        for _ in range(20):
            try:
                self._connection.request(method, target, body or None, headers or {})
                answer = self._connection.getresponse()
                content = answer.read()
            except ConnectionError:  # it stood idle for too long, and was closed
                self._connection.close()
                continue
            if answer.status != http.client.SERVICE_UNAVAILABLE:
                self.statuses[answer.status] += 1
                return answer.status, content
            time.sleep(0.5)
        raise CdpError(f"The API does not answer {method} {target.partition('?')[0]}.", "Is the platform up? See `cdp status`.")


def drill_privacy(settings: Settings, access: Access, people: int, seed: int, tell: Tell) -> dict[str, Any]:
    """Run the drill on a running platform of its own; ``passed`` says how it went."""
    planted, api = plant(seed), _Http(access.api_url)
    reader = {"Authorization": f"Bearer {access.token}", "Content-Type": "application/json"}
    status, said = api.ask("PUT", "/v1/plan", json.dumps(PLAN).encode(), reader)
    if status != http.client.OK:
        raise CdpError(f"The tracking plan was not taken: {said[:200]!r}.")
    time.sleep(1.5)  # the collector heeds it within a second
    tell(f"sending what {people:,} people send")
    for number in range(people):
        for sent in (*requests(planted, number), *keyed(planted, number)):
            api.ask(sent.method, sent.target, sent.body, _headers(sent, access.write_key))
    _import(settings, planted, people, access)
    wait_until_settled(lambda: read_ledger(access), SETTLE_SECONDS)
    tell("looking people up, and repairing dead letters")
    read_back = _use(api, planted, people, reader)
    ledger = wait_until_settled(lambda: read_ledger(access), SETTLE_SECONDS)
    unsent = _wait_for_deliveries(settings)
    tell("looking for what was sent, in every place")
    search = Search(planted, people)
    seen = _search_everywhere(settings, search, planted)
    return {
        "passed": not search.found and all(seen.values()) and all(read_back.values()) and not ledger.difference and unsent > 0,
        "people": people,
        "seed": seed,
        "requests": api.statuses.total(),
        "statuses": {str(status): count for status, count in sorted(api.statuses.items())},
        "found": dict(search.found.most_common(50)),
        "examples": search.examples,
        "searched": seen,
        "read_back": read_back,
        "unsent_webhooks": unsent,
        "in_flight": ledger.difference,
        "applied": ledger.applied,
        "dead_lettered": ledger.dead_lettered,
        "rejected": ledger.rejected,
    }


def _headers(sent: Sent, write_key: str) -> dict[str, str]:
    return dict(sent.headers) | {"Authorization": f"Basic {b64encode(f'{write_key}:'.encode()).decode()}"}


def _import(settings: Settings, planted: Planted, people: int, access: Access) -> None:
    """Import a file of orders, half of which cannot be used: the lines that are rejected are kept."""
    with tempfile.TemporaryDirectory(prefix="cdp-privacy-") as folder:
        path = Path(folder) / "orders.jsonl"
        with path.open("w") as file:
            for number in range(min(people, LOOKED_UP)):
                order = {
                    "id": 8_000_000 + number, "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
                    "currency": "EUR", "financial_status": "paid", "email": planted.email(number),
                    "phone": f"+86{planted.phone(number)}",
                    "total_price": f"about {planted.phone(number)}" if number % 2 else "20.00",
                    "line_items": [{"sku": "A", "quantity": 1, "price": "20.00"}],
                }  # fmt: skip
                file.write(json.dumps(order) + "\n")
        command = [sys.executable, "-m", "cdp.main", "import", str(path), "--mapping", "shopify"]
        env = {**environment(settings), "CDP_API_URL": access.api_url, "CDP_WRITE_KEY": access.write_key}
        subprocess.run(command, env=env, stdout=sys.stderr, timeout=120, check=False)


def _use(api: _Http, planted: Planted, people: int, reader: dict[str, str]) -> dict[str, bool]:
    """Ask for people and letters in plain words, as staff does; says whether what was sealed can be read by those who may."""
    whole, letters, without = False, False, True
    for number in range(min(people, LOOKED_UP)):
        phone, email = planted.phone(number), planted.email(number)
        status, profile = api.ask("GET", f"/v1/profiles?id=phone:{phone}", headers=reader)
        whole = whole or (status == http.client.OK and f"+86{phone}".encode() in profile and email.encode() in profile)
        for target in (
            f"/v1/profiles?id=email:{quote(email)}", f"/v1/profiles?id=user_id:{phone}", f"/v1/profiles?id=phone:{phone}%zz",
            f"/v1/profiles/{email}", f"/nowhere/{phone}?email={email}", f"/v1/tags?phone={phone}",
        ):  # fmt: skip
            api.ask("GET", target, headers=reader)
    status, made = api.ask("GET", f"/v1/dead-letters?limit=20&text={planted.word}", headers=reader)
    found = json.loads(made)["letters"] if status == http.client.OK else []
    letters = any(planted.word in letter["payload"].lower() for letter in found)
    for letter in found:
        fixed = {"type": "track", "event": "Repaired", "userId": planted.phone(1), "properties": {"phone": planted.phone(1)}}
        api.ask("POST", f"/v1/dead-letters/{letter['id']}/repair", json.dumps({"payload": fixed}).encode(), reader)
    rule = {"filter": {"text": planted.phone(0)}, "rule": [{"op": "remove", "path": "properties.total"}], "limit": 20}
    api.ask("POST", "/v1/dead-letters/replay", json.dumps(rule).encode(), reader)
    for target in ("/v1/plan/violations", "/v1/dead-letters/summary", "/metrics"):
        without = without and planted.word.encode() not in api.ask("GET", target, headers=reader)[1].lower()
    return {"profiles": whole, "dead letters": letters, "counts without values": without}


def _wait_for_deliveries(settings: Settings) -> int:
    """How many actions could not be delivered, after there is nothing left to try."""
    client = connect(settings)
    last, moved = -1, time.monotonic()
    while time.monotonic() - moved < 20:
        count = int(client.query("SELECT count() FROM deliveries").result_rows[0][0])
        if count != last:
            last, moved = count, time.monotonic()
        time.sleep(1)
    return int(client.query("SELECT count() FROM deliveries WHERE status = 'gave_up'").result_rows[0][0])


def _search_everywhere(settings: Settings, search: Search, planted: Planted) -> dict[str, int]:
    """Search; returns how much was looked at, and in how many places the run's own ids were seen: each must be above zero."""
    marker = planted.run.encode()
    store = redis.connect(settings.redis_url)
    store.bgrewriteaof()
    while store.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.2)
    records, marked_records = _search_kafka(settings, search, marker)
    keys, marked_keys = _search_redis(store, search, marker)
    columns, marked_columns = _search_clickhouse(settings, search, planted)
    files, size, marked_files = scan_files(settings.data_dir, search, marker)
    return {
        "files": files, "bytes": size, "files with the run's ids": marked_files, "records": records,
        "records with the run's ids": marked_records, "redis keys": keys, "redis values with the run's ids": marked_keys,
        "columns": columns, "columns with the run's ids": marked_columns,
    }  # fmt: skip


def _search_kafka(settings: Settings, search: Search, marker: bytes) -> tuple[int, int]:
    """All records of all topics, unpacked."""
    consumer = kafka.consumer(settings.kafka_servers, group="cdp-drill-privacy", client_id="cdp-drill")
    ends = {
        (topic, partition): end
        for topic in Names(settings.topic_prefix).all_topics()
        for partition, end in kafka.end_offsets(settings.kafka_servers, topic).items()
        if end
    }
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in ends])
    records = marked = 0
    deadline = time.monotonic() + SETTLE_SECONDS
    while ends and time.monotonic() < deadline:
        for message in consumer.consume(1000, 1.0):
            if message.error() is not None:
                continue
            content = (message.key() or b"") + b" " + (message.value() or b"")
            search.look(f"topic {message.topic()}", content)
            records, marked = records + 1, marked + (marker in content)
            if message.offset() + 1 >= ends.get((message.topic(), message.partition()), 0):
                ends.pop((message.topic(), message.partition()), None)
    consumer.close()
    if ends:
        raise CdpError(f"{len(ends)} partitions could not be read to their end.", "Is the broker up?")
    return records, marked


def _search_redis(store: Any, search: Search, marker: bytes) -> tuple[int, int]:
    """All keys with what they hold."""
    keys = marked = 0
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": store.get, b"hash": store.hgetall, b"list": lambda key: store.lrange(key, 0, -1), b"set": store.smembers,
        b"zset": lambda key: store.zrange(key, 0, -1, withscores=True),
    }  # fmt: skip
    for key in store.scan_iter(count=1000):
        kind = store.type(key)
        value = readers[kind if isinstance(kind, bytes) else kind.encode()](key)
        content = key + b" " + (value if isinstance(value, bytes) else repr(value).encode())
        search.look(f"redis {key.decode('utf-8', 'replace').split(':')[1]}", content)
        keys, marked = keys + 1, marked + (marker in content)
    return keys, marked


def _search_clickhouse(settings: Settings, search: Search, planted: Planted) -> tuple[int, int]:
    """Every text in every table: ClickHouse hands out those that a pattern may be in, and they are looked at here."""
    client = connect(settings, timeout=120)
    found = client.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String} AND type LIKE '%String%'"
        " AND table IN (SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree%')",
        parameters={"database": settings.clickhouse_database},
    ).result_rows
    marked = 0
    for table, column in found:
        text = f"toString({column})"
        query = f"SELECT DISTINCT {text} FROM {table} WHERE multiSearchAnyCaseInsensitive({text}, {{needles:Array(String)}})"  # noqa: S608
        for (value,) in client.query(query, parameters={"needles": search.needles()}).result_rows:
            search.look(f"table {table}.{column}", str(value).encode())
        seen = f"SELECT count() FROM {table} WHERE position({text}, {{run:String}}) > 0"  # noqa: S608
        marked += bool(client.query(seen, parameters={"run": planted.run}).result_rows[0][0])
    return len(found), marked


def closed_port_environment(port: int) -> dict[str, str]:
    """Environment of a platform whose webhooks go where nobody listens."""
    return {"CDP_WEBHOOK_URL": f"http://127.0.0.1:{port}/nobody", "CDP_WEBHOOK_SECRET": os.urandom(8).hex()}
