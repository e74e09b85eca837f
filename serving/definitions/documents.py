"""Documents that are edited while everything runs (the tracking plan, the table of traffic): every version is kept.

A document is JSON under a name; its versions count from 1, and the highest is in force. Two people who edit the same version
do not overwrite each other: who says which version was edited gets a ConflictError if there is a newer one.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import select

from cdp.errors import CdpError
from cdp.settings import Settings
from serving.definitions.database import reading, writing
from serving.definitions.errors import ConflictError, NotFoundError
from serving.definitions.models import DocumentRow

log = logging.getLogger(__name__)

TTL = 1.0
PATIENCE = 2.0
MAX_BYTES = 2_000_000
MAX_AUTHOR, MAX_NOTE = 100, 500

T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A version of a document, without its body. `created` is ISO 8601, UTC."""

    version: int
    author: str
    created: str
    note: str


@dataclass(frozen=True)
class Document(Version):
    """A version of a document."""

    body: Any


def read_document(settings: Settings, name: str, version: int | None = None) -> Document | None:
    """A version, by default the one in force; None if there is none."""
    wanted = select(DocumentRow).where(DocumentRow.name == name).order_by(DocumentRow.version.desc()).limit(1)
    with reading(settings) as session:
        row = session.scalar(wanted if version is None else wanted.where(DocumentRow.version == version))
        return _document(row) if row is not None else None


def read_history(settings: Settings, name: str, limit: int = 100) -> list[Version]:
    """The newest versions, the newest first."""
    columns = (DocumentRow.version, DocumentRow.author, DocumentRow.created, DocumentRow.note)
    wanted = select(*columns).where(DocumentRow.name == name).order_by(DocumentRow.version.desc()).limit(limit)
    with reading(settings) as session:
        return [Version(row.version, row.author, _iso(row.created), row.note) for row in session.execute(wanted)]


def write_document(
    settings: Settings, name: str, body: Any, *, author: str, note: str = "", expected: int | None = None
) -> Document:
    """A new version, in force within a second.

    Args:
        body: anything that is JSON; whoever calls has checked that it makes sense.
        expected: the version that was edited, 0 for none; None: whichever is in force is replaced.

    Raises:
        ConflictError: `expected` is not in force any more.
        CdpError: the body is not JSON, or larger than MAX_BYTES.
    """
    text, note = _text(body), note.replace("\x00", "")
    with writing(settings) as session:
        newest = select(DocumentRow.version).where(DocumentRow.name == name).order_by(DocumentRow.version.desc()).limit(1)
        current = session.scalar(newest) or 0
        if expected is not None and expected != current:
            raise ConflictError(
                f"Version {expected} is not in force: version {current} is." if current else "There is no version yet.",
                "Read the newest version, and make your change there.",
            )
        row = DocumentRow(
            name=name, version=current + 1, body=text, author=author[:MAX_AUTHOR], created=datetime.now(UTC), note=note[:MAX_NOTE]
        )  # fmt: skip
        session.add(row)
        session.flush()
        return _document(row)


def rollback_document(settings: Settings, name: str, to: int, *, author: str, expected: int | None = None) -> Document:
    """A new version with the body of an old one. Raises NotFoundError if there is none such, ConflictError as when writing."""
    old = read_document(settings, name, to)
    if old is None:
        raise NotFoundError(f"There is no version {to}.", "Choose one of the history.")
    return write_document(settings, name, old.body, author=author, note=f"Back to version {to}.", expected=expected)


class Watched(Generic[T]):
    """What a document means, made anew at most a second after a new version is in force, and only then.

    `await watched.get()` does not wait while the answer is fresh. If the database is away, or a version cannot be used, the
    last good one stays in force; if there never was one, what no document at all means (`make(None)`).
    """

    def __init__(
        self, settings: Settings, name: str, make: Callable[[Document | None], T], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._name = name
        self._make = make
        self._clock = clock
        self._value = make(None)
        self._version = 0
        self._until = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    @property
    def current(self) -> T:
        """What `get` found last, without looking."""
        return self._value

    async def get(self) -> T:
        """The version in force, as it was within the last second."""
        if self._until > self._clock():
            return self._value
        task = self._looking
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._looking = asyncio.create_task(self._look())
        await asyncio.shield(task)
        return self._value

    async def _look(self) -> None:
        try:
            newer = await asyncio.wait_for(asyncio.to_thread(self._newer), PATIENCE)
            if newer is not None:
                self._version, self._value = newer
        except Exception as error:  # whatever is wrong with a document, collecting goes on
            log.error("the document %s could not be read; version %s stays in force: %s", self._name, self._version, error)
        self._until = self._clock() + TTL

    def _newer(self) -> tuple[int, T] | None:
        history = read_history(self._settings, self._name, 1)
        if not history or history[0].version == self._version:
            return None
        document = read_document(self._settings, self._name)
        return None if document is None else (document.version, self._make(document))


def _text(body: Any) -> str:
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise CdpError("The document is not JSON.", "Mind NaN, Infinity, broken Unicode and deep nesting.") from error
    if size > MAX_BYTES:
        raise CdpError(f"The document is larger than {MAX_BYTES:,} bytes.", "Make it smaller.")
    return text


def _document(row: DocumentRow) -> Document:
    return Document(row.version, row.author, _iso(row.created), row.note, json.loads(row.body))


def _iso(moment: datetime) -> str:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
