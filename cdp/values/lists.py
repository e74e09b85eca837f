"""Lists, also as PHP writes them."""

from typing import Any


def read_list(value: Any) -> Any:
    """A list; also of ``{"0": ..., "2": ...}``, as PHP writes one from which something was taken away.

    Anything else comes back as it is.
    """
    if isinstance(value, dict) and value and all(isinstance(key, str) and key.isascii() and key.isdigit() for key in value):
        return list(value.values())
    return value
