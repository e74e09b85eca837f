"""Who asks: the platform itself, or a reader. Passwords are made at the first start and kept in the data folder."""

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cdp.clickhouse import PLATFORM_USER, READER_USER, password_path
from cdp.settings import Settings
from infra.clickhouse.fail import AUTHENTICATION_FAILED, REQUIRED_PASSWORD, ClickHouseError


@dataclass(frozen=True)
class Account:
    """A user of the server; a reader may only look."""

    name: str
    reader: bool


def ensure_passwords(settings: Settings) -> dict[str, str]:
    """The password of each user, made where there is none yet (file mode 0600, folder 0700)."""
    settings.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {user: _ensure(password_path(settings, user)) for user in (PLATFORM_USER, READER_USER)}


def _ensure(path: Path) -> str:
    if not path.exists():
        # Written aside and renamed, so that no reader ever sees half a password.
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        fresh.rename(path)
    return path.read_text().strip()


def authenticate(passwords: Mapping[str, str], headers: Mapping[str, str], params: Mapping[str, str]) -> Account:
    """The account of a request. Raises ClickHouseError 194 without credentials, 516 with wrong ones.

    Args:
        headers: lower-case names: ``x-clickhouse-user`` and ``-key``, or ``authorization`` (Basic).
        params: of the query string: ``user`` and ``password``.
    """
    user, password = _credentials(headers, params)
    if not user:
        raise ClickHouseError(REQUIRED_PASSWORD, "A user and a password are required.")
    expected = passwords.get(user, "")
    # Compared even for unknown users, so that the time taken tells nobody which users exist.
    if not hmac.compare_digest(expected.encode(), password.encode()) or not expected:
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            f"{user}: Authentication failed: password is incorrect, or there is no user with such name.",
        )
    return Account(user, reader=user == READER_USER)


def _credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> tuple[str, str]:
    if "x-clickhouse-user" in headers:
        return headers["x-clickhouse-user"], headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return params.get("user", ""), params.get("password", "")
