"""Seal personal values: a keyed hash to look them up by, and ciphertext to read them back from. Pure.

A look-up token is a blind index: ``~`` and the first 16 bytes of HMAC-SHA256(index key, type NUL normal form) in URL-safe
base64, 23 characters. A sealed value is ``KEY ID.BASE64(nonce | ciphertext | tag)``, AES-256-GCM under the key of that name;
inside other text it stands between two tildes.

Sealing is deterministic, so that a message that is sent again is the same to the last byte. GCM breaks when one nonce is used
for two plaintexts; here it is the first 12 bytes of HMAC-SHA256(nonce key, key id NUL context NUL plaintext), so the same nonce
comes again only with the same plaintext (up to a collision of 96 bits, as with random nonces). This is the construction of a
synthetic IV (Rogaway and Shrimpton, 2006), with the reasoning of RFC 8452: what it gives away is that two plaintexts of one
context are equal, and nothing else.
"""

import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import digest
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cdp.errors import CdpError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
TOKEN_BYTES = 16
MARK = "~"

TOKEN = re.compile(r"~[A-Za-z0-9_-]{22}")
SEALED = re.compile(r"~([a-z0-9]{1,16}\.[A-Za-z0-9_-]{38,})~")
"""A sealed value inside other text; its group is what `Keyring.open` takes."""

TOKEN_LENGTH = 23

TEXT, NUMBER, LETTER, ANSWER = "text", "number", "letter", "answer"
"""Contexts: of texts and numbers in an event, of dead letters, of answers that are kept for their repetition."""

HASHED = "#"
"""Begins a message's id that is a hash of its content, in 32 hexadecimal digits. Where it is written down, a token stands for
it: whoever had the hash, and the rest of the message, could find out by trying what is personal in it."""


def context_of_id(type_: str) -> str:
    """The context of an identifier."""
    return f"id:{type_}"


class SealError(CdpError):
    """A sealed value cannot be opened: its key is not on the ring, or it was not sealed like this."""


@dataclass(frozen=True)
class Keyring:
    """The keys of a platform, each of 32 random bytes.

    Attributes:
        index: hashes identifiers. It never changes: with another one nobody is recognised.
        nonce: derives nonces.
        keys: encryption keys by their ids.
        active: id of the key that seals; all others only open.
    """

    index: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    keys: Mapping[str, bytes] = field(repr=False)
    active: str
    _ciphers: Mapping[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ciphers", {name: AESGCM(key) for name, key in self.keys.items()})

    def token(self, kind: str, normal: str) -> str:
        """The token of a text of its kind: of an identifier's normal form. Raises UnicodeError for half a surrogate."""
        hashed = digest(self.index, f"{kind}\0{normal}".encode(), "sha256")
        return MARK + urlsafe_b64encode(hashed[:TOKEN_BYTES])[:22].decode()

    def seal(self, context: str, plain: str) -> str:
        """Seal a text. It opens under the same context only. Raises UnicodeError for half a surrogate."""
        text, aad = plain.encode(), context.encode()
        nonce = digest(self.nonce, b"\0".join((self.active.encode(), aad, text)), "sha256")[:NONCE_BYTES]
        ciphertext = self._ciphers[self.active].encrypt(nonce, text, aad)
        return f"{self.active}.{urlsafe_b64encode(nonce + ciphertext).rstrip(b'=').decode()}"

    def open(self, context: str, sealed: str) -> str:
        """The inverse of `seal`, under any key of the ring. Raises SealError."""
        name, _, encoded = sealed.partition(".")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SealError(f"The key {name[:16]!r} is not on the keyring.", "Use the keyring that it was sealed with.")
        try:
            raw = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            return str(cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode())
        except (InvalidTag, ValueError) as error:
            raise SealError("A sealed value was changed, or sealed with other keys.", "Restore the keyring.") from error

    @property
    def fingerprint(self) -> str:
        """Tells one ring's index key from another's, and gives nothing away: eight characters."""
        return b64encode(digest(self.index, b"fingerprint", "sha256"), altchars=b"-_")[:8].decode()


def is_token(value: str) -> bool:
    """Whether a text is a look-up token: an identifier's value that is in normal form already."""
    return len(value) == TOKEN_LENGTH and value[0] == MARK and TOKEN.fullmatch(value) is not None


def embed(sealed: str) -> str:
    """A sealed value as it stands inside other text."""
    return f"{MARK}{sealed}{MARK}"


def sealed_in(text: str) -> str:
    """The sealed value that a text is, to the last character; "" if it is none."""
    found = SEALED.fullmatch(text) if text[:1] == MARK else None
    return found[1] if found is not None else ""
