"""The API's endpoints of rules, with a real definitions database, and stand-ins for Redis and Kafka that can be away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from redis.exceptions import ConnectionError as RedisAway

from cdp.errors import CdpError, Unavailable
from cdp.rule_books import RuleBookDocument, RulesRecord, decode_book, decode_rules_record
from cdp.topics import Names
from rules.identity import load_identity_rules
from serving.client import Content
from serving.rules.books import Bodies
from serving.rules.live import RAISE, LiveBook
from serving.rules.shipped import follow_shipped
from tests.sealing import unsealed
from tests.unit import test_keys_and_plan_http as http

NAMES = Names("cdp")


class FakeRedis:
    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.away = False

    def _answer(self) -> None:
        if self.away:
            raise RedisAway("away")

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        self._answer()
        return [self.store.get(key) for key in keys]

    async def mset(self, values: dict[str, bytes]) -> None:
        self._answer()
        self.store |= values

    async def eval(self, script: str, _: int, key: str, number: int) -> None:
        self._answer()
        assert script == RAISE
        self.store[key] = str(max(number, int(self.store.get(key, b"0")))).encode()

    def books(self) -> dict[int, RuleBookDocument]:
        prefix = NAMES.rule_book_number_key + ":"
        return {int(key.removeprefix(prefix)): decode_book(body) for key, body in self.store.items() if key.startswith(prefix)}

    @property
    def numbers(self) -> tuple[int, int]:
        """Of the newest book in Redis, and of the newest that was announced."""
        keys = (NAMES.rule_book_number_key, NAMES.rules_announced_key)
        number, announced = (int(self.store.get(key, b"0")) for key in keys)
        return number, announced


class FakeKafka:
    def __init__(self) -> None:
        self.records: list[RulesRecord] = []
        self.away = False

    def announce(self, record: bytes) -> None:
        if self.away:
            raise Unavailable("Kafka does not answer.", "Try again later; see /readyz.")
        self.records.append(decode_rules_record(record))

    @property
    def books(self) -> list[int]:
        return [record.book for record in self.records]


class Api(http.Api):
    """One API process, started: the shipped rules are book 1."""

    def __init__(self, folder: Path, shipped: Bodies | None = None) -> None:
        super().__init__(folder)
        self.redis: Any = FakeRedis()
        self.kafka = FakeKafka()
        self.live = self.process()
        self.app.state.parts = SimpleNamespace(
            settings=self.settings, names=NAMES, clock=lambda: http.NOW, redis=self.redis, rules=self.live,
            credentials=self.app.state.parts.credentials, sealing=unsealed(),
            identity=SimpleNamespace(rules=load_identity_rules()),
        )  # fmt: skip
        follow_shipped(self.settings, shipped)

    def process(self) -> LiveBook:
        """What another API process holds."""
        return LiveBook(self.settings, NAMES, self.redis, self.kafka.announce)


@contextmanager
def reaching(api: http.Api, caller: str) -> Iterator[None]:
    """Commands that reach this application instead of an address."""

    def call(_: Any, method: str, path: str, values: dict[str, Any], *, caller: str, content: Content | None = None) -> Any:
        assert caller == expected
        path = path.removeprefix("/v1/")
        headers: dict[str, str] = {}
        if content is not None:
            headers = {"Content-Type": content.type} | ({"If-Match": content.expected} if content.expected else {})
        if method == "GET" or content is not None:
            given = {name: value for name, value in values.items() if value is not None}
            path += "?" + urlencode(given) if given else ""
        body: Any = content.body if content is not None else None if method == "GET" else values
        answer = api.call(method, path, body, role="ops", **headers)
        if answer.status_code >= 400:
            raise CdpError(answer.json()["message"], answer.json().get("remedy", ""))
        return answer.json()

    expected = caller
    with patch("serving.client.call", call):
        yield
