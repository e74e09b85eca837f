"""Read sealed values back, whole or masked, for whoever may see them. Pure."""

from typing import Any

import msgspec

from cdp.mask import mask, mask_all
from cdp.seal import MARK, NUMBER, SEALED, TEXT, Keyring, SealError, context_of_id, is_token, sealed_in


class Reveal:
    """Opens what is sealed in values. With `masked`, only as much of it is shown as `cdp.mask` leaves."""

    def __init__(self, keyring: Keyring, *, masked: bool = False) -> None:
        self._keyring = keyring
        self._masked = masked

    def text(self, text: str) -> str:
        """A text with everything sealed in it opened; what cannot be opened stays as it is."""
        return SEALED.sub(self._found, text) if MARK in text else text

    def strictly(self, text: str) -> str:
        """The same. Raises SealError if something cannot be opened."""
        return SEALED.sub(lambda found: self._shown(str(self._opened(found[1]))), text) if MARK in text else text

    def value(self, value: Any) -> Any:
        """A JSON value with everything sealed in it opened; numbers are numbers again."""
        if isinstance(value, str):
            sealed = sealed_in(value)
            if not sealed:
                return self.text(value)
            try:
                opened = self._opened(sealed)
            except SealError:
                return value
            return self._shown(str(opened)) if self._masked else opened
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return value

    def identifier(self, type_: str, value: str, sealed: str) -> str:
        """An identifier's value; its token if there is nothing sealed that could be opened."""
        if not sealed:
            return value if not self._masked or is_token(value) else mask_all(value)
        try:
            return self._shown(self._keyring.open(context_of_id(type_), sealed))
        except SealError:
            return value

    def _found(self, found: Any) -> str:
        try:
            return self._shown(str(self._opened(found[1])))
        except SealError:
            return str(found[0])

    def _opened(self, sealed: str) -> Any:
        try:
            return self._keyring.open(TEXT, sealed)
        except SealError:
            return msgspec.json.decode(self._keyring.open(NUMBER, sealed))

    def _shown(self, plain: str) -> str:
        return mask(plain) if self._masked else plain
