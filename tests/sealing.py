"""A keyring for tests, the same in every run, and events read back through it."""

import msgspec

from cdp import keyring
from cdp.events import Event, Identifier, decode_event
from cdp.reveal import Reveal
from cdp.seal import Keyring
from cdp.settings import Settings
from rules.seal import Sealer
from serving.sealing import Sealing

RING = Keyring(b"i" * 32, b"n" * 32, {"k1": b"1" * 32}, "k1")
SEALER = Sealer(RING)
REVEAL = Reveal(RING)


def sealer() -> Sealer:
    return SEALER


def sealing(settings: Settings) -> Sealing:
    """What an API opens and seals with: the test's ring, as a file in the data folder."""
    path = keyring.path_of(settings)
    if not path.exists():
        keyring.write(path, RING)
    return Sealing(path)


def opened(value: bytes) -> Event:
    """An event as it was before anything in it was sealed; identifiers are in normal form."""
    event = decode_event(value)
    event.ids = [Identifier(one.type, REVEAL.identifier(one.type, one.value, one.sealed)) for one in event.ids]
    for part in ("properties", "traits", "context"):
        raw = bytes(getattr(event, part))
        if b"~" in raw:
            setattr(event, part, msgspec.Raw(msgspec.json.encode(REVEAL.value(msgspec.json.decode(raw)))))
    return event
