"""The identity rules as a document with versions: read, put in force, go back. Nothing here knows HTTP.

A version's body is the text of the file, so that its comments are kept. Version 1 is the file that comes with the platform.
"""

import json
from contextlib import suppress
from typing import Any

from cdp.settings import Settings
from rules.definitions.entries import InvalidRule, read_text
from rules.identity import number_identity_rules
from rules.identity.load import SHIPPED
from serving.definitions.documents import Document, Version, read_document, read_history, rollback_document, write_document
from serving.definitions.errors import ConflictError, NotFoundError

NAME = "identity"
SHIPPED_VERSION = 1
AS_SHIPPED = Version(SHIPPED_VERSION, "StreamCDP", "", "as it comes with the platform")


def read_rules(settings: Settings, version: int | None = None) -> Document:
    """A version, by default the one in force. Raises NotFoundError."""
    found = read_document(settings, NAME, version)
    if found is not None:
        return found
    if version in (None, SHIPPED_VERSION):
        return Document(AS_SHIPPED.version, AS_SHIPPED.author, "", AS_SHIPPED.note, shipped_text())
    raise NotFoundError(f"There is no version {version} of the identity rules.", "See GET /v1/identity/rules/versions.")


def read_versions(settings: Settings, limit: int = 100) -> list[Version]:
    """The newest versions, the newest first."""
    return read_history(settings, NAME, limit) or [AS_SHIPPED]


def write_rules(settings: Settings, text: str, *, author: str, note: str = "", expected: int | None = None) -> Document:
    """Check rules and put them in force. Raises InvalidRule, ConflictError."""
    number_identity_rules(text, SHIPPED_VERSION)
    _keep_shipped(settings)
    return write_document(settings, NAME, text, author=author, note=note, expected=expected)


def rollback_rules(settings: Settings, to: int, *, author: str, expected: int | None = None) -> Document:
    """Put an old version in force again, as a new one. Raises NotFoundError, ConflictError, InvalidRule."""
    number_identity_rules(read_rules(settings, to).body, to)  # what an older version of the platform took may not do any more
    _keep_shipped(settings)
    return rollback_document(settings, NAME, to, author=author, expected=expected)


def as_text(body: bytes, *, is_json: bool) -> str:
    """The text of a file of rules out of a request. Raises InvalidRule."""
    try:
        text = body.decode("utf-8-sig")
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n" if is_json else text
    except (ValueError, RecursionError) as error:
        raise InvalidRule(
            f"The body is not {'JSON' if is_json else 'a text in UTF-8'}: {str(error)[:200]}.",
            "Send the rules as YAML with Content-Type: application/yaml, or as JSON with application/json.",
        ) from error


def as_object(text: str) -> dict[str, Any]:
    """What a text of rules says, as JSON could say it."""
    values = read_text(text, "identity rules").values
    return dict(json.loads(json.dumps(values, default=str)))


def shipped_text() -> str:
    """The file that comes with the platform."""
    return SHIPPED.read_text(encoding="utf-8")


def _keep_shipped(settings: Settings) -> None:
    """The first change makes a version of what was in force before: then one can go back to it."""
    if read_history(settings, NAME, 1):
        return
    with suppress(ConflictError):  # somebody else may do it at the same moment
        write_document(settings, NAME, shipped_text(), author=AS_SHIPPED.author, note=AS_SHIPPED.note, expected=0)
