"""Books of rules in the definitions database: a change of any rule makes the next book, in the same transaction.

So two people who change two rules at one moment come one after the other, and numbers have no gaps.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from cdp.clock import from_datetime
from cdp.errors import CdpError
from cdp.rule_books import PublishedRule, RuleBookDocument, decode_book, encode_book
from cdp.settings import Settings
from rules.definitions.entries import InvalidRule
from rules.definitions.load import read_book
from rules.definitions.order import Key
from serving.definitions.database import reading, writing
from serving.definitions.models import DocumentRow, RuleBookRow

RULE_KINDS = ("tags", "triggers")
MAX_BOOK_BYTES = 2_000_000  # a book is kept for ever, and read by every worker
LOCKED = 0  # the number of the empty book

Bodies = Mapping[Key, dict[str, Any]]
"""Rules' bodies by ``tags`` or ``triggers`` and name."""


@contextmanager
def changing_book(settings: Settings) -> Iterator[Session]:
    """A transaction in which rules are changed. It ends with the next book, if another version of a rule is in force.

    Raises InvalidRule, and changes nothing, if the book as a whole makes no sense. The path is that of the field, and begins
    with the rule (``tags.vip.value``) unless this rule is the only one that was changed.
    """
    with writing(settings) as session:
        session.execute(select(RuleBookRow.number).where(RuleBookRow.number == LOCKED).with_for_update())
        yield session
        _make_next(session)


def newest_number(settings: Settings) -> int:
    """The number of the book in force; 0 before the first."""
    with reading(settings) as session:
        return session.scalar(select(func.max(RuleBookRow.number))) or 0


def newest_book(settings: Settings) -> RuleBookDocument:
    """The book in force."""
    with reading(settings) as session:
        body = session.scalar(select(RuleBookRow.body).order_by(RuleBookRow.number.desc()).limit(1))
    return decode_book(body or b"")


def books_after(settings: Settings, number: int, limit: int) -> list[tuple[int, bytes]]:
    """Numbers and encoded books above a number, ascending."""
    wanted = select(RuleBookRow.number, RuleBookRow.body).where(RuleBookRow.number > number)
    with reading(settings) as session:
        rows = session.execute(wanted.order_by(RuleBookRow.number).limit(limit))
        return [(row.number, row.body.encode()) for row in rows]


def rules_in_force(session: Session) -> list[DocumentRow]:
    """The versions of rules that are in force, by name; those of retired and paused rules are among them."""
    newest = (
        select(DocumentRow.name, func.max(DocumentRow.version).label("version"))
        .where(is_rule(), DocumentRow.published.is_not(None)).group_by(DocumentRow.name).subquery()
    )  # fmt: skip
    wanted = select(DocumentRow).join(newest, and_(DocumentRow.name == newest.c.name, DocumentRow.version == newest.c.version))
    return list(session.scalars(wanted.order_by(DocumentRow.name)))


def is_rule(kinds: Iterable[str] = RULE_KINDS) -> Any:
    """A condition on DocumentRow."""
    return or_(*(DocumentRow.name.startswith(f"{kind}/") for kind in kinds))


def rule_key(name: str) -> Key:
    """The key of a rule out of its document's."""
    kind, _, rule = name.partition("/")
    return kind, rule


def as_book(bodies: Bodies, number: int = 0, time: int = 0, versions: Mapping[Key, int] | None = None) -> RuleBookDocument:
    """Bodies as a book, by name; without `versions` each is the first."""
    listed: dict[str, list[PublishedRule]] = {kind: [] for kind in RULE_KINDS}
    for key, body in sorted(bodies.items()):
        listed[key[0]].append(PublishedRule(key[1], versions[key] if versions else 1, body))
    return RuleBookDocument(number, time, **listed)


def trouble(document: RuleBookDocument, changed: Collection[Key] = ()) -> InvalidRule | None:
    """What is wrong with a book; None: nothing."""
    try:
        read_book(document, changed)
    except InvalidRule as error:
        return error
    return None


def _make_next(session: Session) -> None:
    rows = rules_in_force(session)
    changed = [row for row in rows if row.book is None]
    if not changed:
        return
    last = decode_book(session.scalar(select(RuleBookRow.body).order_by(RuleBookRow.number.desc()).limit(1)) or b"")
    now = datetime.now(UTC)
    bodies = {rule_key(row.name): json.loads(row.body) for row in rows}
    versions = {rule_key(row.name): row.version for row in rows}
    document = as_book(bodies, last.number + 1, from_datetime(now), versions)
    _check(document, [rule_key(row.name) for row in changed], last)
    body = encode_book(document)
    if len(body) > MAX_BOOK_BYTES:
        raise CdpError(f"All rules together are larger than {MAX_BOOK_BYTES:,} bytes.", "Make some of them shorter.")
    session.add(RuleBookRow(number=document.number, body=body.decode(), author=changed[0].publisher, created=now))
    for row in changed:
        row.book = document.number


def _check(document: RuleBookDocument, changed: list[Key], last: RuleBookDocument) -> None:
    error = trouble(document, changed)
    if error is None:
        return
    own = [".".join(key) + "." for key in changed]
    if not error.path.startswith(tuple(own)) and trouble(last) is not None:
        return  # an older version of the platform took what this one does not: such rules are put anew one by one
    raise InvalidRule(error.message, error.remedy, error.path.removeprefix(own[0]) if len(own) == 1 else error.path) from error
