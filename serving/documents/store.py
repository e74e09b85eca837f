"""Versions of documents in the definitions database: read, write, put in force, go back.

Versions of a document count from 1. The one in force is the highest that was published; the others are drafts, or were in force
before. Two people who edit the same version do not overwrite each other: who says which version was edited gets a ConflictError
if another one is in force by now.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cdp.errors import CdpError
from cdp.settings import Settings
from serving.definitions.database import reading
from serving.definitions.errors import ConflictError, NotFoundError
from serving.definitions.models import DocumentRow
from serving.documents.document import Document, Edit, Kind, Version

MAX_AUTHOR, MAX_NOTE = 100, 500


def read(settings: Settings, kind: Kind, version: int | None = None) -> Document:
    """A version, by default the one in force. Raises NotFoundError."""
    found = find(settings, kind.key, version)
    if found is not None:
        return found
    first = kind.first()
    if first is not None and (version is None or version == first.version > 0):
        return first
    if version is None:
        raise _missing(kind)
    raise _no_version(kind, version)


def find(settings: Settings, key: str, version: int | None = None) -> Document | None:
    """A stored version, by default the one in force; None if there is none."""
    with reading(settings) as session:
        row = in_force(session, key) if version is None else session.get(DocumentRow, (key, version))
        return as_document(row) if row is not None else None


def history(settings: Settings, kind: Kind, limit: int = 100) -> list[Version]:
    """The newest versions, drafts included, the newest first. Raises NotFoundError if there is no such document at all."""
    wanted = select(*_COLUMNS).where(DocumentRow.name == kind.key).order_by(DocumentRow.version.desc()).limit(limit)
    with reading(settings) as session:
        found = [as_version(row) for row in session.execute(wanted)]
    first = kind.first()
    if not found and first is None:
        raise _missing(kind)
    return found or ([_without_body(first)] if first is not None and first.version else [])


def version_in_force(settings: Settings, key: str) -> int:
    """The version in force; 0 if there is none."""
    with reading(settings) as session:
        return session.scalar(_newest(key, DocumentRow.version).where(DocumentRow.published.is_not(None))) or 0


def version_before(settings: Settings, key: str, version: int) -> int:
    """The version that was in force before another one came; 0 if there was none."""
    wanted = _newest(key, DocumentRow.version).where(DocumentRow.published.is_not(None), DocumentRow.version < version)
    with reading(settings) as session:
        return session.scalar(wanted) or 0


def put(settings: Settings, kind: Kind, body: Any, edit: Edit, *, draft: bool = False) -> Document:
    """A new version, in force at once, or kept as a draft.

    Raises:
        ConflictError: `edit.expected` is not in force any more.
        CdpError: the body makes no sense, is not JSON, or is larger than `kind.max_bytes`.
    """
    kind.check(body)
    text = as_text(body, kind.max_bytes)
    with kind.changing(settings) as session:
        _keep_first(session, kind)
        _expect(session, kind, edit)
        row = add(session, kind.key, text, edit, publish=not draft)
    return as_document(row)


def publish(settings: Settings, kind: Kind, version: int, edit: Edit) -> Document:
    """Put a draft in force; nothing happens if that version is. Raises NotFoundError, ConflictError, CdpError."""
    with kind.changing(settings) as session:
        _keep_first(session, kind)
        row = _stored(session, kind, version)
        _expect(session, kind, edit)
        current = in_force(session, kind.key)
        newest = current.version if current is not None else 0
        if version < newest:
            raise ConflictError(
                f"Version {newest} of {kind.title} is in force, and newer than version {version}.",
                f"Roll back to version {version}: that makes a new version of it.",
            )
        if version > newest:
            kind.check(json.loads(row.body))
            row.published, row.publisher = datetime.now(UTC), edit.author[:MAX_AUTHOR]
    return as_document(row)


def rollback(settings: Settings, kind: Kind, to: int, edit: Edit) -> Document:
    """A new version with the body of an old one, in force at once. Raises NotFoundError, ConflictError, CdpError."""
    with kind.changing(settings) as session:
        _keep_first(session, kind)
        old = _stored(session, kind, to)
        kind.check(json.loads(old.body))  # what an older version of the platform took may not do any more
        _expect(session, kind, edit)
        note = f"Back to version {to}. {edit.note}".strip()
        row = add(session, kind.key, old.body, replace(edit, note=note))
    return as_document(row)


# Within a transaction.


def in_force(session: Session, key: str) -> DocumentRow | None:
    """The version in force."""
    found: DocumentRow | None = session.scalar(_newest(key, DocumentRow).where(DocumentRow.published.is_not(None)))
    return found


def add(session: Session, key: str, text: str, edit: Edit, *, publish: bool = True, shipped: bool = False) -> DocumentRow:
    """A new version, whose body is JSON text."""
    newest, now = session.scalar(_newest(key, DocumentRow.version)) or 0, datetime.now(UTC)
    author = edit.author[:MAX_AUTHOR]
    row = DocumentRow(
        name=key, version=newest + 1, body=text, author=author, created=now, note=edit.note.replace("\x00", "")[:MAX_NOTE],
        published=now if publish else None, publisher=author if publish else "", shipped=shipped, book=None,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def as_text(body: Any, max_bytes: int) -> str:
    """A body as it is stored. Raises CdpError if it is not JSON, or too large."""
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise CdpError("The document is not JSON.", "Mind NaN, Infinity, broken Unicode and deep nesting.") from error
    if size > max_bytes:
        raise CdpError(f"The document is larger than {max_bytes:,} bytes.", "Make it smaller.")
    return text


def as_document(row: DocumentRow) -> Document:
    """A row as it is handed out."""
    return Document(**vars(as_version(row)), body=json.loads(row.body))


def as_version(row: Any) -> Version:
    """The same without the body."""
    return Version(
        version=row.version, author=row.author, created=_iso(row.created), note=row.note,
        published=_iso(row.published) if row.published is not None else "", publisher=row.publisher, book=row.book,
        shipped=row.shipped,
    )  # fmt: skip


_COLUMNS = (
    DocumentRow.version, DocumentRow.author, DocumentRow.created, DocumentRow.note, DocumentRow.published, DocumentRow.publisher,
    DocumentRow.book, DocumentRow.shipped,
)  # fmt: skip


def _newest(key: str, column: Any) -> Select[Any]:
    return select(column).where(DocumentRow.name == key).order_by(DocumentRow.version.desc()).limit(1)


def _stored(session: Session, kind: Kind, version: int) -> DocumentRow:
    row = session.get(DocumentRow, (kind.key, version))
    if row is None:
        raise _no_version(kind, version)
    return row


def _expect(session: Session, kind: Kind, edit: Edit) -> None:
    row = in_force(session, kind.key)
    current = row.version if row is not None else 0
    if edit.expected is not None and edit.expected != current:
        raise ConflictError(
            f"Version {edit.expected} is not in force: version {current} is." if current else "There is no version yet.",
            "Read the newest version, and make your change there.",
        )


def _keep_first(session: Session, kind: Kind) -> None:
    """The first change makes a version of what was in force before: then one can go back to it."""
    first = kind.first()
    if first is not None and first.version and session.scalar(_newest(kind.key, DocumentRow.version)) is None:
        add(session, kind.key, as_text(first.body, kind.max_bytes), Edit(first.author, first.note), shipped=True)


def _without_body(document: Document) -> Version:
    return Version(**{name: value for name, value in vars(document).items() if name != "body"})


def _missing(kind: Kind) -> NotFoundError:
    return NotFoundError(f"There is no {kind.title.removeprefix('the ')}.", f"See GET {kind.path.rpartition('/')[0]}.")


def _no_version(kind: Kind, version: int) -> NotFoundError:
    return NotFoundError(f"There is no version {version} of {kind.title}.", f"See GET {kind.path}/versions.")


def _iso(moment: datetime) -> str:
    """SQLite forgets the zone; it is always UTC."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
