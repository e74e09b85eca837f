"""Campaign parameters and click ids out of a page's address. Pure; anything is an address."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

from cdp.hosts import MAX_ADDRESS, host_of
from serving.collect.enrich.traffic import TrafficTable

MAX_VALUE = 512
MAX_QUERY = 8192
_SEPARATOR = re.compile(r"[&;]")


class Landing(NamedTuple):
    """What an address says.

    Attributes:
        host: of the page.
        campaign: fields of ``context.campaign``.
        click_id: (name, value), or None.
    """

    host: str
    campaign: Mapping[str, str]
    click_id: tuple[str, str] | None


def read_address(url: str, table: TrafficTable) -> Landing:
    """Read the query, and the one behind a fragment's own question mark (``#/cart?utm_source=...``)."""
    host = host_of(url[:MAX_ADDRESS])
    campaign: dict[str, str] = {}
    clicks: dict[str, str] = {}
    for query in _queries(url):
        for pair in _SEPARATOR.split(query):
            name, _, value = pair.partition("=")
            name = name.lower()
            target = table.parameters.get(name)
            if target is not None or name in table.click_ids:
                text = unquote_plus(value, errors="replace")[:MAX_VALUE].strip()
                if text and target is not None:
                    campaign.setdefault(target, text)
                elif text:
                    clicks.setdefault(name, text)
    first = next((name for name in table.click_ids if name in clicks), None) if clicks else None
    return Landing(host, campaign, None if first is None else (first, clicks[first]))


def _queries(url: str) -> list[str]:
    if "?" not in url:
        return []
    before, _, fragment = url.partition("#")
    found = (before.partition("?")[2], fragment.partition("?")[2])
    return [query[:MAX_QUERY] for query in found if query]
