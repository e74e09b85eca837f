"""The file that holds the keyring: make it, read it, rotate it, and notice when it has changed.

JSON, mode 0600: ``{"version": 1, "index": KEY, "nonce": KEY, "active": "k2", "keys": {"k1": KEY, "k2": KEY}}``, each KEY 32
bytes in base64. Whoever has it can read everything that was sealed; whoever loses it, nothing.
"""

import os
import re
import secrets
import stat
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from cdp.errors import CdpError
from cdp.seal import KEY_BYTES, Keyring
from cdp.settings import Settings

VERSION = 1
NAME = "keyring.json"
FIRST = "k1"
TOO_OPEN = stat.S_IRWXO | stat.S_IWGRP  # a group may read it: that is how secrets are mounted in a cluster

_ID = re.compile(r"[a-z0-9]{1,16}")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    index: str
    nonce: str
    active: str
    keys: dict[str, str]


def path_of(settings: Settings) -> Path:
    """Where the keyring is: `CDP_KEYRING_FILE`, or in the data folder's secrets."""
    return Path(settings.keyring_file).expanduser() if settings.keyring_file else settings.secrets_dir / NAME


def generate() -> Keyring:
    """A new ring with one encryption key."""
    return Keyring(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES), {FIRST: secrets.token_bytes(KEY_BYTES)}, FIRST)


def rotated(ring: Keyring) -> Keyring:
    """The ring with one more encryption key, which seals from now on; the others still open."""
    number = 1 + max((int(name[1:]) for name in ring.keys if re.fullmatch(r"k[0-9]{1,9}", name)), default=0)
    name = f"k{number}"
    return Keyring(ring.index, ring.nonce, {**ring.keys, name: secrets.token_bytes(KEY_BYTES)}, name)


def read(path: Path) -> Keyring:
    """Read a ring. Raises CdpError if it is missing, readable by everybody, or not a keyring."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError as error:
        raise CdpError(
            f"The keyring {path} is missing.",
            "Restore it from a backup: without it nothing personal can be read, and nobody is recognised by phone or email."
            " `cdp keyring create` begins with a new one.",
        ) from error
    except OSError as error:
        raise CdpError(f"The keyring {path} cannot be read: {error.strerror or error}.", "Check its owner and mode.") from error
    if mode & TOO_OPEN:
        raise CdpError(f"The keyring {path} is open to others (mode {mode:03o}).", f"Close it: chmod 600 {path}.")
    return _parsed(content, path)


def write(path: Path, ring: Keyring, *, replace: bool = False) -> None:
    """Write a ring, whole or not at all, readable by its owner only.

    Raises CdpError if it cannot be written, or exists and is not to be replaced.
    """
    file = _File(
        VERSION, _text(ring.index), _text(ring.nonce), ring.active, {name: _text(key) for name, key in ring.keys.items()}
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)  # fails if it exists: a ring must never be overwritten by a new one
            draft.unlink()
    except FileExistsError as error:
        draft.unlink(missing_ok=True)
        raise CdpError(f"There is a keyring in {path} already.", "`cdp keyring rotate` adds a key to it.") from error
    except OSError as error:
        raise CdpError(f"The keyring {path} cannot be written: {error.strerror or error}.", "Check its folder.") from error


class KeyringFile:
    """A ring in use: the last good state of its file. Raises CdpError if there is none at the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = _stamp(path)
        self.current = read(path)

    def refresh(self) -> bool:
        """Read the file if it has changed. Returns whether the ring is another one now. Raises CdpError; the last one stays."""
        stamp = _stamp(self.path)
        if stamp == self._seen:
            return False
        ring = read(self.path)
        self._seen = stamp
        if ring.index != self.current.index:
            raise CdpError(f"The keyring {self.path} has another index key than before.", "Restore the right one.")
        changed = ring != self.current
        self.current = ring
        return changed


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def _text(key: bytes) -> str:
    return b64encode(key).decode()


def _parsed(content: bytes, path: Path) -> Keyring:
    def wrong(field: str, problem: str) -> CdpError:
        return CdpError(f"{path} is not a keyring: {field} {problem}.", "Restore it from a backup.")

    def key(field: str, text: str) -> bytes:
        try:
            found = b64decode(text, validate=True)
        except ValueError as error:
            raise wrong(field, "is not base64") from error
        if len(found) != KEY_BYTES:
            raise wrong(field, f"has {len(found)} bytes instead of {KEY_BYTES}")
        return found

    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise wrong("it", f"cannot be read ({str(error).splitlines()[0]})") from error
    if file.version != VERSION:
        raise wrong("version", f"is {file.version}; this release knows {VERSION}")
    for name in file.keys:
        if not _ID.fullmatch(name):
            raise wrong(f"keys.{name[:20]}", "is no name of 1 to 16 small letters and digits")
    if file.active not in file.keys:
        raise wrong("active", f"names {file.active[:20]!r}, which is not among the keys")
    keys = {name: key(f"keys.{name}", text) for name, text in file.keys.items()}
    ring = Keyring(key("index", file.index), key("nonce", file.nonce), keys, file.active)
    if len({ring.index, ring.nonce, *keys.values()}) != 2 + len(keys):
        raise wrong("keys", "has the same key twice")
    return ring
