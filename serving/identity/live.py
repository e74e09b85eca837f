"""The identity rules in force: for the API and the collector in memory, for RESOLVE in Redis."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from cdp.errors import Unavailable
from cdp.identity import PublishedRules, encode_rules
from cdp.settings import Settings
from cdp.topics import Names
from rules.identity import load_identity_rules, number_identity_rules
from rules.identity.model import IdentityRules
from serving.documents.document import Document
from serving.documents.kinds import IDENTITY
from serving.documents.publish import Publication
from serving.documents.store import find
from serving.documents.watch import watch

log = logging.getLogger(__name__)

PATIENCE = 2.0

Made = tuple[IdentityRules, Document | None]


def make_rules(document: Document | None) -> Made:
    """A version's rules; without one the shipped ones. Raises InvalidRule."""
    if document is None:
        return load_identity_rules(), None
    return number_identity_rules(document.body, document.version), document


async def publish(redis: Any, names: Names, document: Document) -> None:
    """Hand rules to RESOLVE; they hold from its next batch on. Raises Unavailable."""
    rules = encode_rules(PublishedRules(document.version, document.body))
    try:
        await redis.mset({names.identity_rules_key: rules, names.identity_rules_version_key: str(document.version)})
    except RedisError as error:
        raise Unavailable(
            f"Version {document.version} is written, but Redis does not answer.", "It will be in force soon after Redis is back."
        ) from error


class LiveRules:
    """Await `refresh` now and then; `rules` are those in force, as they were within the last second."""

    def __init__(self, settings: Settings, names: Names, redis: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._watched = watch(settings, IDENTITY.key, make_rules, clock)
        self._names = names
        self._redis = redis
        self.publication = Publication("the identity rules", self._compare, PATIENCE, clock)

    @property
    def rules(self) -> IdentityRules:
        """What `refresh` found last."""
        return self._watched.current[0]

    async def refresh(self) -> None:
        """Take newer rules, if there are any, and see to it that RESOLVE has them. Never raises."""
        await self._watched.get()
        await self.publication.refresh()

    async def _compare(self) -> None:
        """Publish what the definitions have, if Redis has something else."""
        _, document = self._watched.current
        found = int(await self._redis.get(self._names.identity_rules_version_key) or 0)
        if found == _version(document):
            return
        # Perhaps somebody has just published a version that this process has not seen yet: ask again.
        document = await asyncio.to_thread(find, self._settings, IDENTITY.key)
        if found == _version(document):
            return
        if document is None:
            await self._redis.delete(self._names.identity_rules_version_key, self._names.identity_rules_key)
        else:
            await publish(self._redis, self._names, document)
        log.info("published version %s of the identity rules, instead of %s", _version(document), found)


def _version(document: Document | None) -> int:
    """0: there is none; the shipped rules hold."""
    return document.version if document is not None else 0
