"""The book of rules in force: for the API in memory, for the stream in Redis and, as a record, on every partition of `resolved`.

A book is published in four steps: its content to Redis, its number to Redis, the record to Kafka, and a note in Redis that the
record is there. Each may be done twice. Whatever is missing is done again within a second or so, by any API process that sees it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from cdp.errors import Unavailable
from cdp.rule_books import RulesRecord, encode_rules_record
from cdp.settings import Settings
from cdp.topics import Names
from rules.definitions.load import load_rules, read_book
from rules.definitions.model import RuleBook
from serving.documents.publish import Publication
from serving.documents.watch import Watched
from serving.rules.books import books_after, newest_book, newest_number

log = logging.getLogger(__name__)

PATIENCE = 30.0  # seconds for all that is missing in Redis and Kafka
PAGE = 20  # books that are handed to Redis in one go
# Two processes may publish two books at the same moment: the lower number must not stay.
RAISE = "if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end"


class LiveBook:
    """Await `refresh` now and then; `current` is the book in force, as it was within the last second.

    Args:
        announce: blocks; puts a record onto every partition of `resolved`. Raises Unavailable.
    """

    def __init__(
        self, settings: Settings, names: Names, redis: Any, announce: Callable[[bytes], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._names = names
        self._redis = redis
        self._announce = announce
        self._watched: Watched[tuple[int, RuleBook]] = Watched("the book of rules", self._newer, (0, load_rules()), clock)
        self._publication = Publication("the book of rules", self._publish, PATIENCE, clock)
        self._publishing = asyncio.Lock()

    @property
    def current(self) -> RuleBook:
        """What `refresh` found last; the shipped rules before the first book."""
        return self._watched.current[1]

    @property
    def number(self) -> int:
        """The number of `current`; 0: there is no book yet."""
        return self._watched.current[0]

    async def refresh(self) -> None:
        """Take a newer book, if there is one. Never raises."""
        await self._watched.get()

    async def keep_published(self) -> None:
        """See to it that the stream has the newest book. Never raises."""
        await self._publication.refresh()

    async def publish(self) -> None:
        """Hand the newest book to the stream, and return when it is there. Raises Unavailable: then it is done later."""
        await self._watched.get_now()
        try:
            await asyncio.wait_for(self._publish(), PATIENCE)
        except RedisError as error:
            raise Unavailable("Redis does not answer.", "Try again later; see /readyz.") from error
        except (SQLAlchemyError, TimeoutError) as error:
            raise Unavailable("It takes too long.", "Try again later; see /readyz.") from error

    def _newer(self, known: int) -> tuple[int, tuple[int, RuleBook]] | None:
        if newest_number(self._settings) == known:
            return None
        document = newest_book(self._settings)
        return document.number, (document.number, read_book(document))

    async def _publish(self) -> None:
        async with self._publishing:
            in_redis, announced = await self._in_redis()  # before the definitions are asked: they are never behind
            newest = await asyncio.to_thread(newest_number, self._settings)
            if in_redis == announced == newest:
                return
            if max(in_redis, announced) > newest:
                raise Unavailable(
                    f"Redis has book {max(in_redis, announced)}, but the definitions have {newest}: they do not belong together.",
                    "Restore both from one back-up; see the runbook.",
                )
            book = await asyncio.to_thread(newest_book, self._settings)
            await self._store_after(in_redis)  # this one included
            await asyncio.to_thread(self._announce, encode_rules_record(RulesRecord(book=book.number, time=book.time)))
            await self._redis.eval(RAISE, 1, self._names.rules_announced_key, book.number)
            log.info("published book %d of rules, after %d", book.number, announced)

    async def _in_redis(self) -> tuple[int, int]:
        found = await self._redis.mget([self._names.rule_book_number_key, self._names.rules_announced_key])
        return int(found[0] or 0), int(found[1] or 0)

    async def _store_after(self, number: int) -> None:
        """All books above a number: who reads old records needs them as well."""
        while page := await asyncio.to_thread(books_after, self._settings, number, PAGE):
            await self._redis.mset({self._names.rule_book_key(found): body for found, body in page})
            number = page[-1][0]
            await self._redis.eval(RAISE, 1, self._names.rule_book_number_key, number)
