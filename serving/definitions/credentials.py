"""Make, list and look up write keys and tokens. The secret itself leaves this module once and is never stored."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cdp.errors import CdpError
from cdp.settings import Settings
from serving.definitions.database import engine_for
from serving.definitions.models import ROLES, Role, Token, WriteKey

DEFAULT_KEY = "default"
MAX_NAME = 100


@dataclass(frozen=True)
class Grant:
    """Who a credential belongs to; `role` is None for a write key."""

    name: str
    role: Role | None


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


def mint_write_key(settings: Settings, name: str) -> str:
    """A new write key under a name; an earlier key of that name stops working within a second."""
    secret = "wk_" + secrets.token_urlsafe(24)
    with Session(engine_for(settings)) as session, session.begin():
        session.merge(WriteKey(name=_checked(name), hash=digest(secret), created=datetime.now(UTC), disabled=False))
    return secret


def mint_token(settings: Settings, name: str, role: str) -> str:
    """A new token under a name, with a role: admin, ops or analyst; an earlier one stops working within a second."""
    if role not in ROLES:
        raise CdpError(f"There is no role {role!r}.", f"Use one of {', '.join(ROLES)}.")
    secret = "tk_" + secrets.token_urlsafe(24)
    with Session(engine_for(settings)) as session, session.begin():
        session.merge(Token(name=_checked(name), role=role, hash=digest(secret), created=datetime.now(UTC), disabled=False))
    return secret


def bootstrap_credentials(settings: Settings) -> dict[str, str] | None:
    """The first write key and a token for each role; None if there were any credentials before.

    Returns:
        ``write_key``, ``admin_token``, ``ops_token``, ``analyst_token``.
    """
    with Session(engine_for(settings)) as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (WriteKey, Token)]
    if any(counts):
        return None
    made = {"write_key": mint_write_key(settings, DEFAULT_KEY)}
    return made | {f"{role}_token": mint_token(settings, role, role) for role in reversed(ROLES)}


def list_credentials(settings: Settings) -> list[Credential]:
    """All write keys and tokens, by name."""
    with Session(engine_for(settings)) as session:
        keys = [Credential(k.name, "write key", k.created.isoformat(), k.disabled) for k in session.scalars(select(WriteKey))]
        tokens = [Credential(t.name, t.role, t.created.isoformat(), t.disabled) for t in session.scalars(select(Token))]
    return sorted([*keys, *tokens], key=lambda c: (c.role, c.name))


def revoke(settings: Settings, name: str, *, write_key: bool) -> None:
    """Disable a write key or a token; it stops working within a second. Raises CdpError if there is none."""
    with Session(engine_for(settings)) as session, session.begin():
        row: WriteKey | Token | None = session.get(WriteKey, name) if write_key else session.get(Token, name)
        if row is None:
            raise CdpError(
                f"There is no {'write key' if write_key else 'token'} named {name!r}.", "`cdp key list` shows them all."
            )
        row.disabled = True


def find(settings: Settings, secret: str) -> Grant | None:
    """Whose secret this is; None if nobody's, or disabled. One database read."""
    wanted = digest(secret)
    with Session(engine_for(settings)) as session:
        key = session.scalar(select(WriteKey).where(WriteKey.hash == wanted))
        if key is not None:
            return Grant(key.name, None) if compare_digest(key.hash, wanted) and not key.disabled else None
        token = session.scalar(select(Token).where(Token.hash == wanted))
        if token is None or token.disabled or not compare_digest(token.hash, wanted):
            return None
        return Grant(token.name, Role[token.role])


def _checked(name: str) -> str:
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise CdpError(f"{name!r} cannot be a credential's name.", f"Use 1 to {MAX_NAME} printable characters.")
    return name
