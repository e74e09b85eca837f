"""The identity rules as people write them: the text of a file, YAML or JSON. Pure."""

import json
from typing import Any

from rules.definitions.entries import InvalidRule, read_text
from rules.identity import number_identity_rules
from rules.identity.load import SHIPPED


def check_text(text: str) -> None:
    """Raises InvalidRule, with its path, if the rules make no sense."""
    number_identity_rules(text, 1)


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
