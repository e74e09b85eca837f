"""The traffic table: which channel a visit came through. Pure; the shipped table is rules/shipped/traffic.yaml."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import rules
from cdp.errors import CdpError
from cdp.hosts import host_of, site_of

SHIPPED = Path(rules.__file__).parent / "shipped" / "traffic.yaml"
CAMPAIGN_FIELDS = ("name", "source", "medium", "term", "content", "id")
DIRECT, INTERNAL, REFERRAL, OTHER = "direct", "internal", "referral", "other"
MAX_ENTRIES = 5000
REMEMBERED = 20_000

MAX_TEXT = 253

CHANNEL = r"[a-z][a-z0-9_]{0,31}"
PARAMETER = r"[A-Za-z0-9_.\-]{1,64}"
_LABEL = r"[^\x00-,./:-@\[-\^`{-\x7f]+"  # of ASCII only letters, digits, - and _; of the rest anything
DOMAIN = rf"{_LABEL}(?:\.{_LABEL})+"
SITE_ENTRY = rf"(?:{DOMAIN}|[^./*]+(?:\.\*)?)"
"""A domain, a name, or like ``google.*``."""

_CHANNEL, _PARAMETER, _DOMAIN, _SITE_ENTRY = (re.compile(pattern) for pattern in (CHANNEL, PARAMETER, DOMAIN, SITE_ENTRY))


class InvalidTable(CdpError):
    """A traffic table that cannot be used; `path` is where: ``sites.search.baidu``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"Traffic table, {path}: {problem}.", "See docs/enrichment.md.")
        self.path = path


class Decision(NamedTuple):
    """A channel, and why it is that one."""

    channel: str
    reason: str


class Visit(NamedTuple):
    """What a channel is decided by; each "" if unknown. Hosts as `host_of` gives them, `click_id` is the parameter's name."""

    click_id: str = ""
    medium: str = ""
    source: str = ""
    referrer: str = ""
    page: str = ""


class Site(NamedTuple):
    """Somebody known: ``baidu`` of the channel ``search``."""

    channel: str
    name: str


@dataclass(frozen=True)
class TrafficTable:
    """A checked table, as `parse_table` makes it.

    Attributes:
        own_domains, return_domains: coming from there is internal.
        parameters: parameter of an address to field of the campaign.
        click_ids: parameter to channel, the most telling first.
        mediums: channel by utm_medium; `paid_mediums`: those that say that somebody paid. Patterns are whole matches.
        paid_channels, paid_otherwise: the paid channel of a channel, and of none.
        names, domains, labels: sites by name, by domain, and by the label before any ending (``google.*``).
        warnings: what stands in the table twice, and so means only the first of two sites.
    """

    own_domains: frozenset[str]
    return_domains: frozenset[str]
    parameters: dict[str, str]
    click_ids: dict[str, str]
    mediums: tuple[tuple[re.Pattern[str], str], ...]
    paid_mediums: re.Pattern[str]
    paid_channels: dict[str, str]
    paid_otherwise: str
    names: dict[str, Site]
    domains: dict[str, Site]
    labels: dict[str, Site]
    warnings: tuple[str, ...] = ()
    _known: dict[Visit, Decision] = field(default_factory=dict, compare=False, repr=False)

    def decide(self, visit: Visit) -> Decision:
        """The channel. Never raises; what was decided is remembered, up to a bound."""
        known = self._known.get(visit)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[visit] = self._decide(visit)
        return known

    def _decide(self, visit: Visit) -> Decision:
        if visit.click_id in self.click_ids:
            channel = self.click_ids[visit.click_id]
            return Decision(self._paid(visit.medium, channel), f"click id {visit.click_id}")
        if visit.medium or visit.source:
            return self._by_campaign(visit)
        if visit.referrer:
            return self._by_referrer(visit)
        return Decision(DIRECT, "no click id, no campaign, no referrer")

    def _by_campaign(self, visit: Visit) -> Decision:
        medium = _word(visit.medium)
        for pattern, channel in self.mediums:
            if pattern.fullmatch(medium):
                return Decision(channel, f"utm_medium {visit.medium}")
        site = self.site(visit.source) or (None if visit.source else self._by_host(visit.referrer))
        if site is not None:
            return Decision(self._paid(visit.medium, site.channel), f"{site.name}, utm_medium {visit.medium or '-'}")
        if self.paid_mediums.fullmatch(medium):
            return Decision(self.paid_otherwise, f"paid utm_medium {visit.medium}, unknown utm_source")
        return Decision(OTHER, "utm_medium and utm_source are in no list")

    def _by_referrer(self, visit: Visit) -> Decision:
        if visit.page and site_of(visit.referrer) == site_of(visit.page):
            return Decision(INTERNAL, f"the referrer {visit.referrer} is the page's own site")
        for suffix in _suffixes(visit.referrer):
            if suffix in self.own_domains:
                return Decision(INTERNAL, f"own domain {suffix}")
            if suffix in self.return_domains:
                return Decision(INTERNAL, f"return from {suffix}")
        site = self._by_host(visit.referrer)
        if site is not None:
            return Decision(site.channel, f"{site.name} by the referrer {visit.referrer}")
        return Decision(REFERRAL, f"the referrer {visit.referrer} is in no list")

    def _paid(self, medium: str, channel: str) -> str:
        return self.paid_channels.get(channel, channel) if self.paid_mediums.fullmatch(_word(medium)) else channel

    def site(self, source: str) -> Site | None:
        """Whom a utm_source means: a name, a domain or an address."""
        word = _word(source)
        return (self.names.get(word) if word else None) or self._by_host(host_of(source))

    def _by_host(self, host: str) -> Site | None:
        if not host:
            return None
        for suffix in _suffixes(host):
            if suffix in self.domains:
                return self.domains[suffix]
        return self.labels.get(site_of(host).partition(".")[0])


def _suffixes(host: str) -> Iterator[str]:
    while host:
        yield host
        host = host.partition(".")[2]


def _word(text: str) -> str:
    """Capitals, spaces and hyphens do not matter."""
    return re.sub(r"[\s\-]+", "_", text.strip().lower())


@cache
def shipped_table() -> TrafficTable:
    """The table that comes with the platform."""
    return parse_table(shipped_document())


def shipped_document() -> dict[str, Any]:
    """The shipped table as a document."""
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    assert isinstance(document, dict)  # noqa: S101 - our own file
    return document


def parse_table(document: Any) -> TrafficTable:
    """Check a table. Missing sections are empty; unknown ones, and anything of a wrong shape, raise InvalidTable."""
    sections = _mapping("the table", document)
    known = {"own_domains", "return_domains", "parameters", "click_ids", "mediums", "paid", "sites"}
    _only(sections, known, "the table")
    paid = _mapping("paid", sections.get("paid", {}))
    _only(paid, {"mediums", "channels", "otherwise"}, "paid")
    names, domains, labels, warnings = _sites(_mapping("sites", sections.get("sites", {})))
    return TrafficTable(
        own_domains=_domains("own_domains", sections.get("own_domains", [])),
        return_domains=_domains("return_domains", sections.get("return_domains", [])),
        parameters=_parameters(_mapping("parameters", sections.get("parameters", {}))),
        click_ids={
            _parameter("click_ids", name): _channel(f"click_ids.{name}", channel)
            for name, channel in _mapping("click_ids", sections.get("click_ids", {})).items()
        },
        mediums=tuple(
            (_patterns(f"mediums.{channel}", patterns), _channel(f"mediums.{channel}", channel))
            for channel, patterns in _mapping("mediums", sections.get("mediums", {})).items()
        ),
        paid_mediums=_patterns("paid.mediums", paid.get("mediums", [])),
        paid_channels={
            _channel("paid.channels", free): _channel(f"paid.channels.{free}", costly)
            for free, costly in _mapping("paid.channels", paid.get("channels", {})).items()
        },
        paid_otherwise=_channel("paid.otherwise", paid.get("otherwise", OTHER)),
        names=names,
        domains=domains,
        labels=labels,
        warnings=tuple(warnings),
    )


_Sites = dict[str, Site]


def _sites(channels: dict[str, Any]) -> tuple[_Sites, _Sites, _Sites, list[str]]:
    names: _Sites = {}
    domains: _Sites = {}
    labels: _Sites = {}
    warnings: list[str] = []

    def add(known: _Sites, key: str, site: Site) -> None:
        first = known.setdefault(key, site)
        if first != site:
            where, before = (f"sites.{one.channel}.{one.name}" for one in (site, first))
            warnings.append(f"{where}: {key!r} stands also at {before}, which counts")

    for channel, sites in channels.items():
        _channel(f"sites.{channel}", channel)
        for name, entries in _mapping(f"sites.{channel}", sites).items():
            where, site = f"sites.{channel}.{name}", Site(channel, name)
            add(names, _word(name), site)
            for entry in _texts(where, entries):
                if not _SITE_ENTRY.fullmatch(entry):
                    raise InvalidTable(where, f"{entry!r} is neither a domain, nor a name, nor like google.*")
                if entry.endswith(".*"):
                    add(labels, entry[:-2].lower(), site)
                elif _DOMAIN.fullmatch(entry):
                    add(domains, entry.lower().removeprefix("www."), site)
                else:
                    add(names, _word(entry), site)
    return names, domains, labels, warnings


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) and key for key in value):
        raise InvalidTable(where, "must be a mapping with texts as keys")
    if len(value) > MAX_ENTRIES:
        raise InvalidTable(where, f"has more than {MAX_ENTRIES} entries")
    return value


def _only(values: dict[str, Any], known: set[str], where: str) -> None:
    for name in values:
        if name not in known:
            raise InvalidTable(name if where == "the table" else f"{where}.{name}", f"is none of {', '.join(sorted(known))}")


def _texts(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) and 0 < len(text) <= MAX_TEXT for text in value):
        raise InvalidTable(where, "must be a list of texts")
    if len(value) > MAX_ENTRIES:
        raise InvalidTable(where, f"has more than {MAX_ENTRIES} entries")
    return value


def _domains(where: str, value: Any) -> frozenset[str]:
    for text in _texts(where, value):
        if not _DOMAIN.fullmatch(text):
            raise InvalidTable(where, f"{text!r} is not a domain")
    return frozenset(text.lower().removeprefix("www.") for text in value)


def _channel(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _CHANNEL.fullmatch(value):
        raise InvalidTable(where, f"{str(value)[:40]!r} is not a channel's name: a-z, 0-9 and _, up to 32")
    return value


def _parameter(where: str, value: str) -> str:
    if not _PARAMETER.fullmatch(value):
        raise InvalidTable(where, f"{value[:40]!r} cannot be a parameter of an address")
    return value.lower()


def _parameters(values: dict[str, Any]) -> dict[str, str]:
    for name, target in values.items():
        if not isinstance(target, str) or target not in CAMPAIGN_FIELDS:
            raise InvalidTable(f"parameters.{name}", f"must be one of {', '.join(CAMPAIGN_FIELDS)}")
    return {_parameter("parameters", name): target for name, target in values.items()}


def _patterns(where: str, value: Any) -> re.Pattern[str]:
    parts = (".*".join(map(re.escape, _word(text).split("*"))) for text in _texts(where, value))
    return re.compile("|".join(parts) or r"(?!)")
