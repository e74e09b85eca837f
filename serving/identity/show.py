"""How identifiers and OneIDs are shown: to whom, and how much of what is personal."""

from contextvars import ContextVar

from cdp.clock import to_iso
from cdp.identity import Component
from cdp.people import one_id
from cdp.reveal import Reveal
from serving.definitions.credentials import Grant
from serving.parts import Parts

_reveal: ContextVar[Reveal | None] = ContextVar("reveal", default=None)


def show_to(parts: Parts, grant: Grant) -> None:
    """From here on, for the length of this request, what the holder of a token may see is shown."""
    _reveal.set(parts.sealing.shown_to(grant))


def shown(key: str, component: Component | None = None) -> str:
    """An identifier ``type:value``; of a personal one the token, if nobody may see more. `component`: where it is kept sealed."""
    reveal = _reveal.get()
    node = component.nodes.get(key) if component is not None else None
    if reveal is None:
        return key
    type_, _, value = key.partition(":")
    return f"{type_}:{reveal.identifier(type_, value, node.sealed if node is not None else '')}"


def shown_person(number: int) -> str | None:
    """A person's OneID; None: there is none yet."""
    return one_id(number) if number else None


def iso(micros: int) -> str | None:
    """A time; None if it is none."""
    return to_iso(micros) if micros > 0 else None
