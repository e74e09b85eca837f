"""Tokens, and whose a secret is. The secret itself leaves this package once and is never stored."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import func, or_, select

from cdp.errors import CdpError
from cdp.settings import Settings
from serving.definitions.database import reading, writing
from serving.definitions.models import ROLES, Role, Token, WriteKey, WriteKeyApp, WriteKeySecret

DEFAULT_KEY = "default"
MAX_NAME = 100
MAX_SECRET = 256
NAME_PATTERN = r"[^\x00-\x1f\x7f-\x9f/]+"
ANY_ORIGIN = ("*",)


@dataclass(frozen=True)
class Grant:
    """Who a credential belongs to, and what it may do.

    Attributes:
        role: of a token; None for a write key.
        quota_rate: events a second that a write key may send; None for no limit.
        quota_burst: events that it may send at once; None: as many as in a second.
        origins: web origins from which browsers may use a write key, such as ``https://shop.example``; ``*`` for any.
    """

    name: str
    role: Role | None
    quota_rate: float | None = None
    quota_burst: float | None = None
    origins: tuple[str, ...] = ANY_ORIGIN


@dataclass(frozen=True)
class Credential:
    """A line of a listing: everything but the secret. `role` is ``write key`` for write keys."""

    name: str
    role: str
    created: str
    disabled: bool


def digest(secret: str) -> str:
    """What is stored in place of a secret. Secrets have 192 random bits, so that a plain hash is enough."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def mint_token(settings: Settings, name: str, role: str) -> str:
    """A new token under a name, with a role: admin, ops or analyst; an earlier one stops working within a second."""
    if role not in ROLES:
        raise CdpError(f"There is no role {role!r}.", f"Use one of {', '.join(ROLES)}.")
    secret = "tk_" + secrets.token_urlsafe(24)
    with writing(settings) as session:
        session.merge(Token(name=checked_name(name), role=role, hash=digest(secret), created=datetime.now(UTC), disabled=False))
    return secret


def bootstrap_credentials(settings: Settings) -> dict[str, str] | None:
    """The first write key and a token for each role; None if there were any credentials before.

    Returns:
        ``write_key``, ``admin_token``, ``ops_token``, ``analyst_token``.
    """
    from serving.definitions.keys import mint_write_key

    with reading(settings) as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (WriteKey, Token)]
    if any(counts):
        return None
    made = {"write_key": mint_write_key(settings, DEFAULT_KEY)}
    return made | {f"{role}_token": mint_token(settings, role, role) for role in reversed(ROLES)}


def list_credentials(settings: Settings) -> list[Credential]:
    """All write keys and tokens, by name."""
    with reading(settings) as session:
        keys = [Credential(k.name, "write key", k.created.isoformat(), k.disabled) for k in session.scalars(select(WriteKey))]
        tokens = [Credential(t.name, t.role, t.created.isoformat(), t.disabled) for t in session.scalars(select(Token))]
    return sorted([*keys, *tokens], key=lambda c: (c.role, c.name))


def revoke(settings: Settings, name: str, *, write_key: bool) -> None:
    """Disable a write key or a token; it stops working within a second. Raises CdpError if there is none."""
    with writing(settings) as session:
        row: WriteKey | Token | None = session.get(WriteKey, name) if write_key else session.get(Token, name)
        if row is None:
            raise CdpError(
                f"There is no {'write key' if write_key else 'token'} named {name!r}.", "`cdp token list` shows them all."
            )
        row.disabled = True


def find(settings: Settings, secret: str, now: datetime | None = None) -> Grant | None:
    """Whose secret this is; None if nobody's, expired, or disabled."""
    wanted = digest(secret)
    live = or_(WriteKeySecret.expires.is_(None), WriteKeySecret.expires > (now or datetime.now(UTC)))
    with reading(settings) as session:
        key = session.scalar(
            select(WriteKey).join(WriteKeySecret, WriteKeySecret.name == WriteKey.name).where(WriteKeySecret.hash == wanted, live)
        )
        if key is not None:
            return _grant(key)
        token = session.scalar(select(Token).where(Token.hash == wanted))
        return Grant(token.name, Role[token.role]) if token is not None and not token.disabled else None


def find_app(settings: Settings, app: str) -> Grant | None:
    """The write key that an application's name stands for; None if nobody registered it, or the key is disabled."""
    with reading(settings) as session:
        key = session.scalar(select(WriteKey).join(WriteKeyApp, WriteKeyApp.name == WriteKey.name).where(WriteKeyApp.app == app))
        return _grant(key) if key is not None else None


def _grant(key: WriteKey) -> Grant | None:
    origins = ANY_ORIGIN if ANY_ORIGIN[0] in key.origins else tuple(key.origins)
    return None if key.disabled else Grant(key.name, None, key.quota_rate, key.quota_burst, origins)


def checked_name(name: str) -> str:
    """The name, if a credential can have it. Raises CdpError if not."""
    if len(name) > MAX_NAME or not re.fullmatch(NAME_PATTERN, name):
        raise CdpError(f"{name!r} cannot be a credential's name.", f"Use 1 to {MAX_NAME} printable characters without a slash.")
    return name
