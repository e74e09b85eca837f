"""Write keys: make, rotate, change, list. A key has one secret, or two while it is being rotated."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cdp.errors import CdpError
from cdp.settings import Settings
from serving.definitions.credentials import MAX_SECRET, checked_name, digest
from serving.definitions.database import reading, writing
from serving.definitions.errors import ConflictError, NotFoundError
from serving.definitions.models import WriteKey, WriteKeyApp, WriteKeySecret

OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=90)
MAX_RATE = 10_000_000.0
MAX_APP, MAX_DESCRIPTION, MAX_LISTED = 200, 500, 100
MIN_SECRET = 8  # shorter ones, brought along from elsewhere, could be guessed

SECRET_PATTERN = rf"[!-9;-~]{{{MIN_SECRET},{MAX_SECRET}}}"
TEXT_PATTERN = r"[^\x00-\x1f\x7f-\x9f]+"
ORIGIN_PATTERN = r"\*|null|[a-z][a-z0-9+.\-]{0,30}://[A-Za-z0-9.\-:\[\]]{1,253}"
_ORIGIN = re.compile(ORIGIN_PATTERN)


@dataclass(frozen=True)
class KeyInfo:
    """A write key without its secrets. Times are ISO 8601, UTC.

    Attributes:
        secrets: how many secrets work now: two while it is being rotated, none after all have expired.
        old_secret_until: until when the secret before the newest works; None if there is none.
    """

    name: str
    created: str
    disabled: bool
    secrets: int
    old_secret_until: str | None
    quota_rate: float | None
    quota_burst: float | None
    origins: list[str]
    apps: list[str]
    description: str


KEEP: Final[Any] = ...


@dataclass(frozen=True)
class KeyChange:
    """What to change of a key; a field that is KEEP stays as it is."""

    disabled: bool = KEEP
    quota_rate: float | None = KEEP
    quota_burst: float | None = KEEP
    origins: Sequence[str] = KEEP
    apps: Sequence[str] = KEEP
    description: str = KEEP


def mint_write_key(settings: Settings, name: str, secret: str = "") -> str:
    """A new secret under a name; an earlier one of that name stops working within a second. Quota and the like stay.

    Args:
        secret: one that sources already have, to keep them as they are; "" draws a new one.
    """
    made = _new_secret(secret)
    now = datetime.now(UTC)
    with writing(settings) as session:
        key = session.get(WriteKey, checked_name(name))
        if key is None:
            session.add(WriteKey(name=name, created=now, disabled=False, origins=["*"], description=""))
        else:
            key.disabled = False
            session.execute(delete(WriteKeySecret).where(WriteKeySecret.name == name))
        session.flush()
        _add_secret(session, name, made, now)
    return made


def create_key(settings: Settings, name: str, change: KeyChange, secret: str = "") -> tuple[KeyInfo, str]:
    """A new key and its secret. Raises ConflictError if there is one of that name, or it wants an application of another."""
    made = _new_secret(secret)
    now = datetime.now(UTC)
    with writing(settings) as session:
        if session.get(WriteKey, checked_name(name)) is not None:
            raise ConflictError(f"There is already a write key named {name!r}.", "Rotate it, or choose another name.")
        key = WriteKey(name=name, created=now, disabled=False, origins=["*"], description="")
        session.add(key)
        session.flush()
        _apply(session, key, change)
        _add_secret(session, name, made, now)
        session.flush()
        return _info(session, key, now), made


def rotate_key(settings: Settings, name: str, overlap: timedelta = OVERLAP, secret: str = "") -> tuple[KeyInfo, str]:
    """A second secret. The one before works on for `overlap`, or until the next rotation; one still older ends at once."""
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise CdpError("The overlap is not possible.", f"Use 0 to {MAX_OVERLAP.days} days.")
    made = _new_secret(secret)
    now = datetime.now(UTC)
    with writing(settings) as session:
        key = _existing(session, name)
        session.execute(delete(WriteKeySecret).where(WriteKeySecret.name == name, WriteKeySecret.expires.is_not(None)))
        for row in session.scalars(select(WriteKeySecret).where(WriteKeySecret.name == name)):
            row.expires = now + overlap
        session.flush()
        _add_secret(session, name, made, now)
        session.flush()
        return _info(session, key, now), made


def expire_old_secret(settings: Settings, name: str) -> KeyInfo:
    """End the secret before the newest now; nothing happens if there is none. Raises NotFoundError without such a key."""
    with writing(settings) as session:
        key = _existing(session, name)
        session.execute(delete(WriteKeySecret).where(WriteKeySecret.name == name, WriteKeySecret.expires.is_not(None)))
        return _info(session, key, datetime.now(UTC))


def change_key(settings: Settings, name: str, change: KeyChange) -> KeyInfo:
    """Change some of a key's fields; collectors heed it within a second. Raises NotFoundError, ConflictError, CdpError."""
    with writing(settings) as session:
        key = _existing(session, name)
        _apply(session, key, change)
        session.flush()
        return _info(session, key, datetime.now(UTC))


def list_keys(settings: Settings) -> list[KeyInfo]:
    """All write keys, by name."""
    with reading(settings) as session:
        now = datetime.now(UTC)
        return [_info(session, key, now) for key in session.scalars(select(WriteKey).order_by(WriteKey.name))]


def get_key(settings: Settings, name: str) -> KeyInfo:
    """One write key. Raises NotFoundError."""
    with reading(settings) as session:
        return _info(session, _existing(session, name), datetime.now(UTC))


def _existing(session: Session, name: str) -> WriteKey:
    key = session.get(WriteKey, name) if "\x00" not in name else None
    if key is None:
        raise NotFoundError(f"There is no write key named {name!r}.", "`cdp key list` shows them all.")
    return key


def _new_secret(given: str) -> str:
    if not given:
        return "wk_" + secrets.token_urlsafe(24)
    if not re.fullmatch(SECRET_PATTERN, given):
        raise CdpError(
            "The secret cannot be used.", f"Use {MIN_SECRET} to {MAX_SECRET} characters of ASCII, without spaces and colons."
        )
    return given


def _add_secret(session: Session, name: str, secret: str, now: datetime) -> None:
    hashed = digest(secret)
    if session.get(WriteKeySecret, hashed) is not None:
        raise ConflictError("The secret belongs to a write key already.", "Use another, or let one be drawn.")
    session.add(WriteKeySecret(hash=hashed, name=name, created=now, expires=None))


def _apply(session: Session, key: WriteKey, change: KeyChange) -> None:
    for field in ("disabled", "quota_rate", "quota_burst", "origins", "description"):
        value = getattr(change, field)
        if value is not KEEP:
            setattr(key, field, _CHECKS[field](value))
    if change.apps is not KEEP:
        _set_apps(session, key.name, _texts(change.apps, MAX_APP, "application's name"))


def _set_apps(session: Session, name: str, apps: list[str]) -> None:
    taken = session.scalar(select(WriteKeyApp).where(WriteKeyApp.app.in_(apps), WriteKeyApp.name != name))
    if taken is not None:
        raise ConflictError(f"The application {taken.app!r} belongs to the write key {taken.name!r}.", "Take it away there.")
    session.execute(delete(WriteKeyApp).where(WriteKeyApp.name == name))
    session.add_all(WriteKeyApp(app=app, name=name) for app in apps)


def _limit(value: Any) -> float | None:
    if value is not None and not 0 < value <= MAX_RATE:
        raise CdpError("A quota is a number above 0.", f"Use at most {MAX_RATE:,.0f}, or none for no limit.")
    return None if value is None else float(value)


def _origins(value: Any) -> list[str]:
    origins = _texts([origin.lower() for origin in value], 300, "origin")  # as browsers write them
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise CdpError(f"{origin!r} is not a web origin.", "Use * or scheme://host[:port], without a path.")
    return origins


def _description(value: Any) -> str:
    if len(value) > MAX_DESCRIPTION:
        raise CdpError("The description is too long.", f"Use at most {MAX_DESCRIPTION} characters.")
    return str(value).replace("\x00", "")


def _texts(value: Any, longest: int, what: str) -> list[str]:
    texts = list(dict.fromkeys(value))
    if len(texts) > MAX_LISTED:
        raise CdpError(f"There are more than {MAX_LISTED}: {what}.", "Use fewer.")
    for text in texts:
        if len(text) > longest or not re.fullmatch(TEXT_PATTERN, text):
            raise CdpError(f"{text[:40]!r} cannot be an {what}.", f"Use 1 to {longest} printable characters.")
    return texts


_CHECKS: Final[dict[str, Any]] = {
    "disabled": bool, "quota_rate": _limit, "quota_burst": _limit, "origins": _origins, "description": _description,
}  # fmt: skip


def _info(session: Session, key: WriteKey, now: datetime) -> KeyInfo:
    rows = session.scalars(select(WriteKeySecret).where(WriteKeySecret.name == key.name)).all()
    ends = [_aware(row.expires) for row in rows if row.expires is not None]
    later = [end for end in ends if end > now]
    apps = session.scalars(select(WriteKeyApp.app).where(WriteKeyApp.name == key.name).order_by(WriteKeyApp.app))
    return KeyInfo(
        name=key.name,
        created=_aware(key.created).isoformat(),
        disabled=key.disabled,
        secrets=len(rows) - len(ends) + len(later),
        old_secret_until=max(later).isoformat() if later else None,
        quota_rate=key.quota_rate,
        quota_burst=key.quota_burst,
        origins=list(key.origins),
        apps=list(apps),
        description=key.description,
    )


def _aware(moment: datetime) -> datetime:
    """SQLite forgets the zone; it is always UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
