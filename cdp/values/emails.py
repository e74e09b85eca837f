"""E-mail addresses as people, forms and spreadsheets write them. `docs/identity.md#e-mail-addresses` has the table."""

import re

from cdp.values.contacts import plain

_SCHEME = re.compile(r"mailto:", re.IGNORECASE)
_NAMED = re.compile(r"[^<>]*<([^<>]*)>")
_LOCAL = re.compile(r"[^\s,;@<>()\[\]\"\\]+")
_DOMAIN = re.compile(r"(?!-)[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*")
_BEHIND = ",;. \u3002\u3001"
_LONGEST = 254  # RFC 5321, 4.5.3.1.3


def read_email(text: str) -> str:
    """An address in small letters, its domain in ASCII. Dots and ``+tags`` stay: they may be other mailboxes.

    Raises ValueError with the reason.
    """
    written = plain(text)
    named = _NAMED.fullmatch(written)
    if named:
        written = named[1].strip()
    scheme = _SCHEME.match(written)
    if scheme:
        written = written[scheme.end() :].partition("?")[0]
    written = written.strip(_BEHIND)
    if "*" in written:
        raise ValueError("it is masked: it is as many people's as there are letters missing")
    local, at, domain = written.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("it is no address: a name, an @ and a domain")
    if "@" in local:
        raise ValueError("it is more than one address, and which one is meant is not said")
    domain = _ascii(domain.lower().replace("\u3002", ".").rstrip("."))
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain) or len(local) + len(domain) >= _LONGEST:
        raise ValueError("it is no address: a name, an @ and a domain")
    return f"{local.lower()}@{domain}"


def _ascii(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
