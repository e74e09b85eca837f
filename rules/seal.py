"""Seal what is personal in an event: one rule in one place, for everything that takes events or looks people up.

Most events hold nothing personal, and finding that out must cost next to nothing: a text is looked at as bytes first, and
decoded only if a name or a sign in it may be personal.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import msgspec

from cdp.events import Identifier
from cdp.mask import has_at, has_phone, looks_personal, mask_all, replace_emails, replace_phones
from cdp.seal import HASHED, NUMBER, TEXT, Keyring, context_of_id, embed, is_token, sealed_in
from rules.identity import load_identity_rules, normalise
from rules.identity.model import IdentityRules
from rules.privacy import Names, Privacy, letters_of, load_privacy

REMEMBERED = 65_536
_SMALL = bytes(range(256)).lower()
_SIGNS = bytes(sign for sign in range(128) if not chr(sign).isalpha() and chr(sign) != '"')
_BACKSLASH = ord("\\")
_ESCAPED = re.compile(rb"\\u00[2-7]")  # an ordinary character, written so that a search does not see it
_MAYBE_PHONE = re.compile(rb"1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])")
_MAYBE_MOBILE = re.compile(r"1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])")
_MAYBE_ABROAD = re.compile(rb"\+[0-9]{8}")
_HASH = re.compile(rf"{HASHED}[0-9a-f]{{32}}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARAMETER = re.compile(
    r"((?:^|[?&;\s]|%(?:25)*(?:3[Ff]|26))([A-Za-z_.\-]{2,40})(?:=|%(?:25)*3[Dd]))((?:%(?:25)*2[0Bb]|[^&#%\s\"'])+)"
)

_ABROAD = "+%0"  # what a phone with a country code begins with

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def has_signs(text: bytes) -> bool:
    """Whether a JSON text may hold a phone or an e-mail address, wherever: false means no for sure."""
    return (
        b"@" in text
        or (b"%" in text and (b"40" in text or b"2B" in text or b"2b" in text))
        or (b"+" in text and _MAYBE_ABROAD.search(text) is not None)
        or _MAYBE_PHONE.search(text) is not None
        or (_BACKSLASH in text and _ESCAPED.search(text) is not None)
    )


def may_hold_personal(text: str) -> bool:
    """The same of a plain text, such as ids: quick."""
    return "@" in text or "+" in text or "%" in text or HASHED in text or _MAYBE_MOBILE.search(text) is not None


class _Search:
    """Whether a JSON text may hold a field of some names: false means no for sure, if `has_signs` says no as well."""

    def __init__(self, names: Names, parameters: Names) -> None:
        self._exact = frozenset(name.encode() for name in names.exact)
        self._begins = [b'"' + name.encode() for name in names.begins]
        shortest = {p for p in parameters.exact if not any(q in p for q in parameters.exact if q != p)}
        self._parameters = [name.encode() for name in sorted(shortest)]

    def __call__(self, text: bytes) -> bool:
        letters = text.translate(_SMALL, _SIGNS)
        if not self._exact.isdisjoint(letters.split(b'"')):
            return True
        for beginning in self._begins:
            if beginning in letters:
                return True
        return b"=" in text and any(name in letters for name in self._parameters)


class Sealer:
    """Seals with one keyring, by one list of names and one version of the identity rules; without these by the shipped ones.

    Attributes:
        identifier: an identifier as it is written down, from its type and value: see `_identifier`.
        label: a name, a channel or a store, with tokens in place of what is personal in it.
    """

    def __init__(self, keyring: Keyring, privacy: Privacy | None = None, rules: IdentityRules | None = None) -> None:
        self.keyring = keyring
        self._rules = rules if rules is not None else load_identity_rules()
        names = privacy if privacy is not None else load_privacy()
        self._traits, self._properties = names.traits, names.properties
        self._identifiers, self._parameters = names.identifiers, names.parameters
        self._ids_of_context = names.identifiers | Names(frozenset({"id"}))
        special = Names(frozenset({"traits", "externalids"}))
        self._search_traits = _Search(names.traits, names.parameters)
        self._search_properties = _Search(names.properties, names.parameters)
        self._search_context = _Search(names.properties | special, names.parameters)
        self._personal = frozenset(name for name, type_ in self._rules.identifiers.items() if type_.personal)
        self._types: dict[str, bool] = {}
        self._seal = lru_cache(REMEMBERED)(keyring.seal)
        self.label: Callable[[str], str] = lru_cache(REMEMBERED)(partial(self._tokens, kind="label"))
        self.identifier: Callable[[str, str], Identifier | None] = lru_cache(REMEMBERED)(self._identifier)

    # -- identifiers ------------------------------------------------------------------------------------------------

    def _identifier(self, type_: str, value: str) -> Identifier | None:
        """An identifier as it is written down; None if it is personal and identifies nobody (empty, too long, blocked).

        What is not personal, and what is a token already, stays as it is. Raises UnicodeError for half a surrogate.
        """
        if is_token(value) or not (self._is_personal(type_) or looks_personal(value)):
            return Identifier(type_, value)
        normal = normalise(type_, value, self._rules)
        if normal is None:
            return None
        return Identifier(type_, self.keyring.token(type_, normal), self.keyring.seal(context_of_id(type_), normal))

    def key(self, type_: str, normal: str) -> str:
        """What an identifier's normal form is looked up by: its token if it is personal, else itself."""
        found = self.identifier(type_, normal)
        return normal if found is None else found.value

    def _is_personal(self, type_: str) -> bool:
        """Whether a type's values are sealed: the rules say so, or it is called as a personal trait is."""
        known = self._types.get(type_)
        if known is None:
            known = type_ in self._personal or (type_ in self._traits and letters_of(type_) != "name")
            if len(self._types) < REMEMBERED:
                self._types[type_] = known
        return known

    def message_id(self, value: str) -> str:
        """A message's id, with tokens in place of what is personal in it. The same id gives the same, whatever key is active."""
        return self._tokens(value, "message")

    def _tokens(self, value: str, kind: str) -> str:
        if HASHED in value:
            value = _HASH.sub(lambda found: self.keyring.token(kind, found[0]), value)
        if has_at(value):
            value = replace_emails(value, lambda found: self.keyring.token(kind, found))
        return replace_phones(value, lambda found: self.keyring.token(kind, found)) if has_phone(value) else value

    # -- parts of an event, as JSON ---------------------------------------------------------------------------------
    # They return the text that they were given if nothing in it is personal. They raise what decoding raises, and UnicodeError.

    def traits(self, text: bytes) -> bytes:
        """The traits of an event of any kind."""
        if len(text) <= 2 or not (self._search_traits(text) or has_signs(text)):
            return text
        return self._again(text, lambda found: self._walk(found, self._traits, self._identifiers))

    def properties(self, text: bytes) -> bytes:
        """The properties."""
        if not self.is_personal(text):
            return text
        return self._again(text, lambda found: self._walk(found, self._properties, self._identifiers))

    def is_personal_name(self, name: str) -> bool:
        """Whether a property of this name is personal, whatever it holds."""
        return name in self._properties

    def is_personal(self, text: bytes) -> bool:
        """Whether properties, as JSON, may hold anything personal."""
        return len(text) > 2 and (has_signs(text) or self._search_properties(text))

    def context(self, text: bytes) -> bytes:
        """The context: as properties, but its `traits` are traits, and `externalIds` identifiers."""
        if len(text) <= 2 or not (self._search_context(text) or has_signs(text)):
            return text
        return self._again(text, self._context)

    @staticmethod
    def _again(text: bytes, change: Callable[[Any], Any]) -> bytes:
        before = _decode(text)
        after = change(before)
        return text if after == before else _encode(after)

    def _context(self, context: Any) -> Any:
        if not isinstance(context, dict):
            return self._walk(context, self._properties, self._ids_of_context)
        parts = {"traits": context.get("traits"), "externalIds": context.get("externalIds")}
        rest = {name: value for name, value in context.items() if name not in parts}
        made = self._walk(rest, self._properties, self._ids_of_context)
        if parts["traits"] is not None:
            made["traits"] = self._walk(parts["traits"], self._traits, self._identifiers)
        if parts["externalIds"] is not None:
            made["externalIds"] = self._external_ids(parts["externalIds"])
        return made

    def _external_ids(self, given: Any) -> Any:
        if not isinstance(given, list):
            return self._walk(given, self._properties, self._ids_of_context)
        return [
            {**one, "id": self._token_of(one["type"], one["id"])}
            if isinstance(one, dict) and isinstance(one.get("type"), str) and "id" in one
            else self._walk(one, self._properties, self._ids_of_context)
            for one in given
        ]

    def _token_of(self, type_: str, value: Any) -> Any:
        """An identifier's value: its token if it is personal."""
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return value
        found = self.identifier(type_, str(value))
        if found is None:
            return self._sealed(value)
        return value if found.value == str(value) else found.value

    def _walk(self, value: Any, personal: Names, identifiers: Names) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(name): self._field(name, inner, personal, identifiers) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._walk(inner, personal, identifiers) for inner in value]
        return value

    def _field(self, name: str, value: Any, personal: Names, identifiers: Names) -> Any:
        if name in personal:
            return self._sealed(value)
        if name in identifiers and isinstance(value, str | int) and looks_personal(str(value)):
            return self._token_of("user_id", value)
        return self._walk(value, personal, identifiers)

    def _sealed(self, value: Any) -> Any:
        """A value, sealed; of an object and a list all leaves. What is neither a text nor a number says nothing personal."""
        if isinstance(value, str):
            return value if not value or sealed_in(value) or is_token(value) else embed(self._seal(TEXT, value))
        if isinstance(value, dict):
            return {self._text(name): self._sealed(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._sealed(inner) for inner in value]
        if isinstance(value, bool) or value is None:
            return value
        return embed(self._seal(NUMBER, _encode(value).decode()))

    def _text(self, value: str) -> str:
        """A text of no personal field, with what is personal in it sealed: e-mail addresses, parameters of addresses, phones.

        A phone is one with a plus, and any in running text; eleven digits that stand alone may be an order's number.
        """
        if has_at(value):
            value = replace_emails(value, lambda found: embed(self._seal(TEXT, found)))
        if "=" in value or "%" in value:
            value = _PARAMETER.sub(self._parameter, value)
        if has_phone(value):
            is_prose = " " in value
            value = replace_phones(
                value, lambda found: embed(self._seal(TEXT, found)) if is_prose or found[0] in _ABROAD else found
            )  # fmt: skip
        return value

    def _parameter(self, found: re.Match[str]) -> str:
        before, name, value = found.groups()
        if name not in self._parameters or sealed_in(value):
            return found[0]
        return before + embed(self._seal(TEXT, value))

    # -- what is kept for people ------------------------------------------------------------------------------------

    def whole(self, context: str, text: str) -> str:
        """A whole text, sealed. Half a surrogate in it is replaced."""
        return embed(self.keyring.seal(context, text.encode("utf-8", "replace").decode()))

    def explanation(self, text: str, path: str) -> str:
        """An explanation of what is wrong at a path, without the values that it quotes."""
        names = [part for part in re.split(r"[.\[\]]+", path) if part]
        if any(name in self._traits for name in names[1:] or names):
            text = _QUOTED.sub('"..."', text)
        return mask_all(text)
