"""Compare two versions of a document, or one with what comes with the platform."""

from typing import NamedTuple

from cdp.settings import Settings
from serving.definitions.errors import NotFoundError
from serving.documents import store
from serving.documents.difference import Change, difference
from serving.documents.document import Kind

SHIPPED = "shipped"


class Compared(NamedTuple):
    """What differs. `from_`: a version, 0 for what there was before the first, None for what comes with the platform."""

    from_: int | None
    to: int
    changes: list[Change]


def compare(settings: Settings, kind: Kind, from_: str | None = None, to: int | None = None) -> Compared:
    """The differences from a version to another one. Raises NotFoundError.

    Args:
        from_: a version's number, or ``shipped``; None: the version that was in force before `to`.
        to: None: the version in force.
    """
    new = store.read(settings, kind, to)
    after = kind.plain(new.body)
    if from_ == SHIPPED:
        shipped = kind.shipped()
        if shipped is None:
            raise NotFoundError(f"No {kind.title.removeprefix('the ')} comes with the platform.", "Name a version.")
        return Compared(None, new.version, difference(kind.plain(shipped), after))
    before = int(from_) if from_ is not None else store.version_before(settings, kind.key, new.version)
    if before:
        return Compared(before, new.version, difference(kind.plain(store.read(settings, kind, before).body), after))
    first = kind.first()
    return Compared(0, new.version, difference(kind.plain(first.body) if first is not None else {}, after))
