"""Rules that are edited live, by API processes, on a real Redis and a real Kafka broker: published, lost, published again."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp import redis
from cdp.rule_books import decode_book
from profiles.book import compile_book
from rules.definitions.load import load_rules, read_book
from serving.definitions import mint_token
from tests.integration.test_serving_kafka import PARTITIONS, World, answers, eventually, free_port, world

__all__ = ["world"]  # the fixture

NOBODY = "127.0.0.1:1"
TAG = {"title": "Vip", "type": "yes_no", "value": "tag.order_amount > 5000"}


class Api:
    """An API process."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def put(self, name: str, value: str = TAG["value"]) -> httpx.Response:
        return self._client.put(f"/v1/rules/tags/{name}", json=TAG | {"value": value})

    def get(self, path: str) -> Any:
        answer = self._client.get(f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def processes(world: World, *changes: dict[str, str]) -> Iterator[list[Api]]:
    """API processes on the same definitions, each at a port of its own."""
    token, env = mint_token(world.settings, "ops", "ops"), world.env
    with ExitStack() as started:
        urls = []
        for change in changes:
            port = free_port()
            world.env = env | {"CDP_PORT_BASE": str(port)} | change
            started.enter_context(world.process("serving"))
            urls.append(f"http://127.0.0.1:{port}")
        world.env = env
        for url in urls:
            eventually(lambda url=url: answers(url))  # type: ignore[misc]
        yield [Api(url, token) for url in urls]


def numbers(world: World) -> tuple[int, int]:
    """Of the newest book in Redis, and of the newest of which every partition has a record."""
    names = world.names
    found = redis.connect(world.settings.redis_url).mget([names.rule_book_number_key, names.rules_announced_key])
    return int(found[0] or 0), int(found[1] or 0)


def book(world: World, number: int) -> dict[str, str]:
    """The values of a book's tags, after a look whether the stream can use it."""
    body = redis.connect(world.settings.redis_url).get(world.names.rule_book_key(number))
    assert body is not None, number
    document = decode_book(body)
    assert document.number == number
    assert compile_book(read_book(document)).tags
    return {rule.name: rule.body["value"] for rule in document.tags}


def records(world: World, newest: int) -> dict[int, list[int]]:
    """By partition the numbers that were announced, up to the newest of all."""

    def complete(found: list[Any]) -> bool:
        return {partition for partition, _, _, value in found if value["book"] >= newest} == {*range(PARTITIONS)}

    found = world.read_until(world.names.resolved, complete)
    assert {(key, value["kind"]) for _, _, key, value in found} == {("-", "rules")}
    listed: dict[int, list[int]] = {}
    for partition, _, _, value in sorted(found, key=lambda record: record[:2]):
        listed.setdefault(partition, []).append(value["book"])
    return listed


def test_a_rule_is_in_force_when_the_answer_comes(world: World) -> None:
    with processes(world, {}) as (api,):
        eventually(lambda: numbers(world) == (1, 1))  # the shipped rules, by the background task
        made = api.put("vip")
        assert (made.status_code, made.json()["book"], numbers(world)) == (200, 2, (2, 2))
        assert records(world, 2) == {partition: [1, 2] for partition in range(PARTITIONS)}
        assert book(world, 2) == book(world, 1) | {"vip": TAG["value"]}
        assert api.get("tags")["book"] == 2
        client = redis.connect(world.settings.redis_url)
        client.delete(*client.keys(f"{world.names.prefix}:rules:*"))
        eventually(lambda: numbers(world) == (2, 2))
        assert book(world, 1) != book(world, 2)
        assert records(world, 2)[0][:2] == [1, 2]
    with processes(world, {}) as (api,):  # a restart changes nothing
        assert (api.get("tags")["book"], api.get("rules/upgrades")) == (2, {"upgrades": []})
        assert len(api.get("tags")["tags"]) == len(load_rules().tags) + 1


def test_two_editors_in_two_processes_come_one_after_the_other(world: World) -> None:
    each = 8
    with processes(world, {}, {}) as apis:
        made: list[httpx.Response] = []

        def edit(api: Api, own: str) -> None:
            for turn in range(each):
                made.append(api.put("shared" if turn % 2 else f"{own}_{turn}", str(turn)))

        editors = [threading.Thread(target=edit, args=one) for one in zip(apis, ("one", "two"), strict=True)]
        for editor in editors:
            editor.start()
        for editor in editors:
            editor.join()
        newest = 1 + 2 * each
        assert sorted(answer.json()["book"] for answer in made) == [*range(2, newest + 1)]
        assert numbers(world) == (newest, newest)
        final = book(world, newest)
        assert {f"{own}_{turn}" for own in ("one", "two") for turn in range(0, each, 2)} <= final.keys()
        assert [len(book(world, number)) for number in range(1, newest + 1)] == sorted(
            len(book(world, number)) for number in range(1, newest + 1)
        )
        for listed in records(world, newest).values():
            assert listed[-1] == newest or newest in listed
            assert {*listed} <= {*range(1, newest + 1)}
        for api in apis:
            eventually(lambda api=api: api.get("tags")["book"] == newest)  # type: ignore[misc]
        versions = apis[0].get("rules/tags/shared/versions")["versions"]
        assert [one["version"] for one in versions] == [*range(each, 0, -1)]


@pytest.mark.parametrize("away", [{"CDP_REDIS": f"redis://{NOBODY}/0"}, {"CDP_KAFKA": NOBODY}], ids=["redis", "kafka"])
def test_what_was_written_while_a_part_was_away_is_published_later(world: World, away: dict[str, str]) -> None:
    with processes(world, away) as (api,):
        answer = api.put("vip")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), answer.text
        assert answer.json()["message"].startswith("Version 1 of the tag 'vip' is written, but not in force yet: ")
        assert api.get("rules/tags/vip")["book"] == 2
        assert numbers(world)[1] == 0
    with processes(world, {}):
        eventually(lambda: numbers(world) == (2, 2))
        assert "vip" in book(world, 2) and "vip" not in book(world, 1)
        assert {listed[-1] for listed in records(world, 2).values()} == {2}


def test_a_topic_that_is_not_there_yet_is_waited_for(world: World, tmp_path: Path) -> None:
    prefix = f"{world.names.prefix}x"
    with processes(world, {"CDP_TOPIC_PREFIX": prefix}) as (api,):
        answer = api.put("vip")
        assert answer.status_code == 503
        assert f"Kafka has no topic {prefix}.resolved of {PARTITIONS} partitions." in answer.json()["message"]
