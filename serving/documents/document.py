"""What a document, a version of it, and a kind of documents are. Pure."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from cdp.settings import Settings
from serving.definitions.database import writing

MAX_BYTES = 2_000_000
PLATFORM = "StreamCDP"  # the author of what comes with the platform

Changing = Callable[[Settings], AbstractContextManager[Session]]
"""A transaction in which versions are written; it may refuse them, or write more, before it commits."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a document, without its body. Times are ISO 8601, UTC.

    Attributes:
        published: when it was put in force; "" for a draft.
        publisher: who did that.
        book: of a rule: the number of the book of rules with which it came in force.
        shipped: whether it came with the platform.
    """

    version: int
    author: str = ""
    created: str = ""
    note: str = ""
    published: str = ""
    publisher: str = ""
    book: int | None = None
    shipped: bool = False


@dataclass(frozen=True, kw_only=True)
class Document(Version):
    """A version of a document."""

    body: Any


@dataclass(frozen=True)
class Edit:
    """Who changes a document, why, and which version was looked at.

    Attributes:
        expected: the version that was edited, 0 for none; None: whichever is in force is replaced.
    """

    author: str
    note: str = ""
    expected: int | None = None


def _nothing() -> None:
    return None


def _as_it_is(body: Any) -> Any:
    return body


@dataclass(frozen=True)
class Kind:
    """A document, and what is special about it.

    Attributes:
        key: its name in the database.
        title: how messages call it, such as ``the tracking plan``.
        path: of its endpoints, for remedies.
        check: raises CdpError, with the mistake's place as `path`, if a body makes no sense.
        first: what holds before anybody has changed anything. If its version is above 0, the first change keeps it as a version.
        shipped: the body that comes with this release of the platform; None: there is none.
        plain: a body as JSON values, to compare versions by.
        max_bytes: of a body, as JSON.
        changing: the transaction of a change.
    """

    key: str
    title: str
    path: str
    check: Callable[[Any], object]
    first: Callable[[], Document | None] = _nothing
    shipped: Callable[[], Any] = _nothing
    plain: Callable[[Any], Any] = _as_it_is
    max_bytes: int = MAX_BYTES
    changing: Changing = writing
