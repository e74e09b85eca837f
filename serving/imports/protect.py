"""What is kept of a record that was rejected: where it stands and why, with the record itself sealed."""

from collections.abc import Callable
from typing import Any

import msgspec

from cdp.errors import CdpError
from cdp.keyring import path_of, read
from cdp.seal import TEXT
from cdp.secrets import hide_in_text
from cdp.settings import Settings
from rules.seal import Sealer

Entry = dict[str, Any]
Protect = Callable[[Entry], Entry]


def protector(settings: Settings) -> Protect:
    """For this machine: with a keyring the record is sealed, and `cdp keyring open` reads it; without one it is left out."""
    try:
        sealer = Sealer(read(path_of(settings)))
    except CdpError:
        return without_input
    return lambda entry: sealed_input(entry, sealer)


def sealed_input(entry: Entry, sealer: Sealer) -> Entry:
    """The entry with its `input` sealed as JSON text, and no value of it quoted in its `message`."""
    written = msgspec.json.encode(entry["input"], enc_hook=str).decode()
    message = sealer.explanation(hide_in_text(str(entry["message"])), str(entry["field"]))
    return entry | {"message": message, "input": sealer.whole(TEXT, written)}


def without_input(entry: Entry) -> Entry:
    """The entry without what came: the source itself still has it."""
    return {name: value for name, value in entry.items() if name not in ("input", "message")}
