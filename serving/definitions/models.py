"""The tables of the definitions database."""

from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Float, ForeignKey, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Role(IntEnum):
    """What a token may do; a higher role may do all that a lower one may."""

    analyst = 1
    ops = 2
    admin = 3


ROLES = tuple(role.name for role in Role)


class Base(DeclarativeBase):
    """Every table's base."""


class WriteKey(Base):
    """A key that lets a source send events; its name is the event's `source.name`.

    `quota_rate` (events a second) and `quota_burst` (events at once) are null for no limit; `origins` are the web origins
    from which browsers may send, ``*`` for any.
    """

    __tablename__ = "write_keys"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    quota_rate: Mapped[float | None] = mapped_column(Float)
    quota_burst: Mapped[float | None] = mapped_column(Float)
    origins: Mapped[list[Any]] = mapped_column(JSON, default=lambda: ["*"])
    description: Mapped[str] = mapped_column(String(500), default="")


class WriteKeySecret(Base):
    """A live secret of a write key; while it is being rotated, a key has two. `expires` is null for the newest."""

    __tablename__ = "write_key_secrets"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(ForeignKey("write_keys.name", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class WriteKeyApp(Base):
    """An application's name that stands for a write key, where an SDK can send nothing else."""

    __tablename__ = "write_key_apps"

    app: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(ForeignKey("write_keys.name", ondelete="CASCADE"), index=True)


class Token(Base):
    """A token that lets a person or program use the API."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)


class DocumentRow(Base):
    """One version of a document that is edited while everything runs. `body` is JSON text.

    The highest version that was `published` is in force; null: a draft. `shipped`: it came with the platform. `book`: of a rule,
    the number of the book with which it came in force.
    """

    __tablename__ = "documents"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    body: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    note: Mapped[str] = mapped_column(String(500), default="")
    published: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    publisher: Mapped[str] = mapped_column(String(100), default="")
    shipped: Mapped[bool] = mapped_column(Boolean, default=False)
    book: Mapped[int | None] = mapped_column(Integer)


class RuleBookRow(Base):
    """All tags and triggers that are in force together; `body` is the JSON text of a `cdp.rule_books.RuleBookDocument`.

    Book 0 is empty: what there is before the first start, and the row that whoever makes the next book locks.
    """

    __tablename__ = "rule_books"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    body: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
