"""Open a dead letter for whoever asks: as it came from ops on, masked for analysts. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec

from cdp.mask import mask, mask_all
from cdp.reveal import Reveal
from cdp.seal import LETTER, Keyring, SealError, sealed_in
from rules.privacy import Privacy, letters_of, load_privacy
from serving.dead_letters.letters import Stored, decoded

PERSONS = frozenset({"traits", "set", "setonce", "userattributes"})
"""What dialects call the object that describes a person: a name in it is the person's."""
WITHHELD = "(not JSON: it needs the role ops to be read)"
CLOSED = "(sealed with a key that is not on the keyring)"


def opened(ring: Keyring) -> Callable[[Stored], Stored]:
    """Letters as they came."""
    reveal = Reveal(ring)

    def show(letter: Stored) -> Stored:
        payload = _whole(ring, letter.payload)
        if letter.stage != "collect":
            payload = _again(payload, reveal.value)
        request = letter.request
        if request.startswith('"'):
            request = _whole(ring, str(msgspec.json.decode(request)))
        return _named(letter._replace(payload=payload, request="{}" if request == CLOSED else request))

    return show


def masked(ring: Keyring) -> Callable[[Stored], Stored]:
    """Letters in which what is personal, or may be, is masked. What is not JSON cannot be looked through, and is withheld."""
    names = load_privacy()
    reveal = Reveal(ring, masked=True)

    def show(letter: Stored) -> Stored:
        if letter.stage != "collect":
            return _named(letter._replace(payload=_again(letter.payload, reveal.value)))
        message = decoded(_whole(ring, letter.payload))
        if isinstance(message, str):
            return letter._replace(payload=WITHHELD, request="{}")
        payload = msgspec.json.encode(_masked(message, names)).decode()
        return _named(letter._replace(payload=payload, request="{}"))

    return show


def _whole(ring: Keyring, text: str) -> str:
    """A text that was sealed whole; one that was not (of an inner stage, or older) as it is."""
    sealed = sealed_in(text)
    if not sealed:
        return text
    try:
        return ring.open(LETTER, sealed)
    except SealError:
        return CLOSED


def _again(payload: str, change: Callable[[Any], Any]) -> str:
    message = decoded(payload)
    if isinstance(message, str):
        return payload
    changed = change(message)
    return payload if changed == message else msgspec.json.encode(changed).decode()


def _masked(value: Any, names: Privacy, *, person: bool = False, personal: bool = False) -> Any:
    """A message of any dialect, with every personal field masked, and every phone and address that is found."""
    if isinstance(value, str):
        return mask(value) if personal else mask_all(value)
    if isinstance(value, dict):
        return {
            mask_all(name): _masked(
                inner, names, person=person or letters_of(name) in PERSONS,
                personal=personal or (name in names.traits and (person or name.lower() != "name")),
            )
            for name, inner in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        return [_masked(inner, names, person=person, personal=personal) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    shown = str(value)
    return mask(shown) if personal else value if mask_all(shown) == shown else mask_all(shown)


def _named(letter: Stored) -> Stored:
    """The letter with the event's name, if its payload has one."""
    message = decoded(letter.payload) if letter.payload[:1] == "{" else None
    event = message.get("event") if isinstance(message, dict) else None
    return letter._replace(event=event if isinstance(event, str) else "")
