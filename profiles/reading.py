"""Decoding of what events carry, the same for all components."""

from typing import Any

import msgspec

from cdp.errors import InvalidEvent

_NO_OBJECT = (b"", b"{}", b"null")
_decode = msgspec.json.Decoder().decode


def read_object(raw: msgspec.Raw, field: str) -> dict[str, Any]:
    """Properties or traits as a mapping. Raises InvalidEvent or msgspec.DecodeError."""
    if bytes(raw) in _NO_OBJECT:
        return {}
    values = _decode(raw)
    if not isinstance(values, dict):
        raise InvalidEvent(f"invalid_{field}", field, f"{field} must be an object.")
    return values


def storable(value: Any) -> Any:
    """A value as the profile can hold it: integers beyond 64 bits become text, as do objects that hold such."""
    if isinstance(value, str | float | bool | None):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, msgspec.MsgspecError):
        return str(value)
    return value
