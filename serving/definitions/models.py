"""The tables of the definitions database."""

from datetime import datetime
from enum import IntEnum

from sqlalchemy import Boolean, DateTime, String
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
    """A key that lets a source send events; its name is the event's `source.name`."""

    __tablename__ = "write_keys"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)


class Token(Base):
    """A token that lets a person or program use the API."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
