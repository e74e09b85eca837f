"""How identifiers and OneIDs are shown: one place, whatever may be masked or sealed one day."""

from cdp.clock import to_iso
from cdp.identity import Component
from cdp.people import one_id


def shown(key: str, component: Component | None = None) -> str:
    """An identifier ``type:value`` as those who may read profiles see it. `component`: where its sealed form is kept."""
    return key


def shown_person(number: int) -> str | None:
    """A person's OneID; None: there is none yet."""
    return one_id(number) if number else None


def iso(micros: int) -> str | None:
    """A time; None if it is none."""
    return to_iso(micros) if micros > 0 else None
