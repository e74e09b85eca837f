"""Add to an event what follows from it: the client, the campaign, the traffic channel, the place, and whether a robot sent it."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from cdp.hosts import host_of
from serving.collect.draft import Draft, Object
from serving.collect.enrich.address import Landing, read_address
from serving.collect.enrich.agent import MAX_AGENT, Agent, AgentReader
from serving.collect.enrich.geo import GeoReader
from serving.collect.enrich.ip import MAX_TEXT, IpMode, kept, read_ip
from serving.collect.enrich.traffic import TrafficTable, Visit

REMEMBERED_AGENTS = 10_000
REMEMBERED_ADDRESSES = 5_000
REMEMBERED_IPS = 20_000
MAX_REMEMBERED_ADDRESS = 1024
MAX_TAG = 100

LANDINGS = frozenset(("page", "screen"))
OPENINGS = frozenset(("Application Opened", "Deep Link Opened"))  # their properties hold the address that led into the app
SYSTEMS = {"iphone os": "iOS", "ios": "iOS", "ipados": "iOS", "android": "Android", "harmonyos": "HarmonyOS"}
IP_PROPERTY = "$ip"  # where some SDKs leave the address

# What runs on a person's device: for requests of other programs the HTTP request tells about a server, not about a person.
_DEVICE_AGENT = re.compile(r"Mozilla/|Dalvik/|okhttp/|SensorsAnalytics (?:iOS|Android)|.*CFNetwork/")
_BROWSER_LIBRARY = re.compile(r"(?!.*node).*(?:\bjs\b|\.js|javascript|\bweb\b)", re.IGNORECASE)

K = TypeVar("K")
V = TypeVar("V")


class Enriched(NamedTuple):
    """What stands at the top of an event.

    Attributes:
        bot: a program sent it; ``context.bot`` says which.
        traffic: the channel, "" for what is no arrival.
    """

    bot: bool
    traffic: str


class Place(NamedTuple):
    """What is kept of an IP address, and where it is."""

    kept: str
    geo: dict[str, str]


NOTHING, BOT = Enriched(False, ""), Enriched(True, "")
UNKNOWN = Place("", {})
NOWHERE = Landing("", {}, None)


class _Remember(dict[K, V]):
    """Answers of a function, up to a bound; full, it forgets all of them, which is cheaper than keeping an order."""

    def __init__(self, make: Callable[[K], V], bound: int) -> None:
        super().__init__()
        self._make, self._bound = make, bound

    def __missing__(self, key: K) -> V:
        if len(self) >= self._bound:
            self.clear()
        value = self[key] = self._make(key)
        return value


class Enricher:
    """Enriches one event after the other; holds nothing but what it remembers of texts that it has read before."""

    def __init__(self, traffic_table: TrafficTable, geo: GeoReader | None = None, ip_mode: IpMode = "truncate") -> None:
        self._geo = geo
        self._ip_mode = ip_mode
        self._agents = _Remember(AgentReader().read, REMEMBERED_AGENTS)
        self._places = _Remember(self._place, REMEMBERED_IPS)
        self._devices: _Remember[str, bool] = _Remember(lambda agent: _DEVICE_AGENT.match(agent) is not None, REMEMBERED_AGENTS)
        self._browsers: _Remember[str, bool] = _Remember(
            lambda library: _BROWSER_LIBRARY.match(library) is not None, REMEMBERED_AGENTS
        )
        self.use(traffic_table)

    @property
    def table(self) -> TrafficTable:
        """The traffic table in use."""
        return self._table

    def use(self, table: TrafficTable) -> None:
        """Take another traffic table, from the next event on."""
        self._table = table
        self._addresses: _Remember[str, Landing] = _Remember(lambda url: read_address(url, table), REMEMBERED_ADDRESSES)
        self._arrivals = _Remember(self._arrival, REMEMBERED_ADDRESSES)

    def enrich(self, draft: Draft, client_ip: str, client_agent: str) -> Enriched:
        """Add to ``draft.context``: client, campaign, click_id, bot, geo, ip. Objects inside it are replaced, never changed.

        Args:
            client_ip, client_agent: of the HTTP request; "" if unknown, NO_AGENT if it says none. They count only if a person's
                device made the request.

        Never raises, whatever stands in the draft.
        """
        context: Object = draft.context
        if not isinstance(context, dict):
            return NOTHING
        client_agent = client_agent[:MAX_AGENT]
        said = context.get("userAgent")
        said = said[:MAX_AGENT] if isinstance(said, str) else ""
        bot = False
        if said or client_agent[:8] == "Mozilla/":
            bot = self._client(context, self._agents[said or client_agent])
        elif "os" in context or "device" in context:
            _app_client(context)
        if not bot and (draft.kind == "page" if said else client_agent and self._browsers[draft.library[:64]]):
            bot = self._pretended(context, said or client_agent)
        if "ip" in context:
            self._own_ip(context, client_ip if self._devices[client_agent] else "")
        elif client_ip and self._devices[client_agent]:
            self._put_ip(context, self._places[client_ip[:MAX_TEXT]])
        if IP_PROPERTY in draft.properties:
            draft.properties = self._without_ip(draft.properties)
        if "page" in context or "campaign" in context or draft.kind in LANDINGS or draft.event in OPENINGS:
            return Enriched(bot, self._traffic(draft, context))
        return BOT if bot else NOTHING

    def _client(self, context: Object, agent: Agent) -> bool:
        """Say what the agent is; whether it is a robot."""
        context["client"] = agent.client.copy()
        if agent.robot:
            context["bot"] = {"reason": "robot", "agent": agent.robot}
        return bool(agent.robot)

    def _pretended(self, context: Object, text: str) -> bool:
        """A page's agent, or that of a browser's SDK, is a program such as curl, or none: no browser is without one."""
        if not self._agents[text].is_tool:
            return False
        context["bot"] = {"reason": "no_browser", "agent": text}
        return True

    def _own_ip(self, context: Object, client_ip: str) -> None:
        own = context.pop("ip")
        found = self._places[own[:MAX_TEXT]] if isinstance(own, str) and own else UNKNOWN
        if found is UNKNOWN and client_ip:
            found = self._places[client_ip[:MAX_TEXT]]
        self._put_ip(context, found)

    def _put_ip(self, context: Object, found: Place) -> None:
        """Where the address is, and what may be kept of it."""
        if found.geo:
            context["geo"] = found.geo.copy()
        if found.kept:
            context["ip"] = found.kept

    def _without_ip(self, properties: Object) -> Object:
        value = properties[IP_PROPERTY]
        found = self._places[value[:MAX_TEXT]] if isinstance(value, str) else UNKNOWN
        others = {name: value for name, value in properties.items() if name != IP_PROPERTY}
        return others | {IP_PROPERTY: found.kept} if found.kept else others

    def _place(self, text: str) -> Place:
        ip = read_ip(text)
        if ip is None:
            return UNKNOWN
        return Place(kept(ip, self._ip_mode), self._geo.find(str(ip)) if self._geo is not None else {})

    def _traffic(self, draft: Draft, context: Object) -> str:
        """The channel of an arrival; fills campaign and click id from the page's address."""
        url, referrer = _links(draft, context)
        if (
            not (url or referrer)
            or "campaign" in context
            or "click_id" in context
            or len(url) + len(referrer) > MAX_REMEMBERED_ADDRESS
        ):
            return self._channel(context, url, referrer, draft.kind in LANDINGS)
        channel, added = self._arrivals[url, referrer]
        for name, part in added:
            context[name] = part.copy()
        return channel

    def _arrival(self, links: tuple[str, str]) -> tuple[str, list[tuple[str, Object]]]:
        """The channel of an event whose SDK says nothing itself, and what is added to its context."""
        added: Object = {}
        return self._channel(added, *links, True), list(added.items())

    def _channel(self, context: Object, url: str, referrer: str, is_landing: bool) -> str:
        given = context.get("campaign")
        if not url and not referrer and not given:
            return self._table.decide(Visit()).channel if is_landing else ""
        landing = self._landing(url) if url else NOWHERE
        campaign = given if isinstance(given, dict) else {}
        if landing.campaign or isinstance(given, str):
            campaign = context["campaign"] = fill_campaign(given, landing)
        click = _click(context, landing)
        if not url and not referrer and not is_landing:
            return ""
        return self._table.decide(visit_of(landing, campaign, click, referrer)).channel

    def _landing(self, url: str) -> Landing:
        return self._addresses[url] if len(url) <= MAX_REMEMBERED_ADDRESS else read_address(url, self._table)


def reads_properties(kind: str, event: str) -> bool:
    """Whether the properties have a say as well, where the context has no page."""
    return kind in LANDINGS or event in OPENINGS


def _links(draft: Draft, context: Object) -> tuple[str, str]:
    """The page's address and its referrer, "" if unknown."""
    page = context.get("page")
    url: Any = ""
    referrer: Any = ""
    if isinstance(page, dict):
        url, referrer = page.get("url") or page.get("search"), page.get("referrer")
    elif reads_properties(draft.kind, draft.event):
        url, referrer = draft.properties.get("url"), draft.properties.get("referrer")
    return url if isinstance(url, str) else "", referrer if isinstance(referrer, str) else ""


def visit_of(landing: Landing, campaign: Object, click: str, referrer: str) -> Visit:
    """What the channel is decided by."""
    medium, source = campaign.get("medium"), campaign.get("source")
    return Visit(
        click,
        medium[:MAX_TAG] if isinstance(medium, str) else "",
        source[:MAX_TAG] if isinstance(source, str) else "",
        host_of(referrer) if referrer else "",
        landing.host,
    )


def fill_campaign(given: Any, landing: Landing) -> Object:
    """The SDK's campaign, filled up from the address: what the SDK says wins. A plain text is its name."""
    if isinstance(given, str):
        given = {"name": given} if given else {}
    if not isinstance(given, dict):
        return dict(landing.campaign)
    return {**landing.campaign, **{name: value for name, value in given.items() if value not in ("", None)}}


def _click(context: Object, landing: Landing) -> str:
    """The click id's parameter; put into the context, unless the SDK did."""
    given = context.get("click_id")
    if isinstance(given, dict) and isinstance(given.get("name"), str):
        return str(given["name"])[:64]
    if landing.click_id is None:
        return ""
    context["click_id"] = {"name": landing.click_id[0], "value": landing.click_id[1]}
    return landing.click_id[0]


def _app_client(context: Object) -> None:
    """The client of an app, which has no user agent: out of the SDK's own words."""
    system, device = context.get("os"), context.get("device")
    system = system if isinstance(system, dict) else {}
    device = device if isinstance(device, dict) else {}
    name = _text(system.get("name"))
    name = SYSTEMS.get(name.lower(), name)
    kind = _device(_text(device.get("type")).lower(), _text(device.get("model")).lower(), name)
    client = {"os": name, "os_version": _text(system.get("version")), "device": kind}
    if client := {key: value for key, value in client.items() if value}:
        context["client"] = client


def _device(kind: str, model: str, system: str) -> str:
    if "ipad" in model or "tablet" in kind:
        return "tablet"
    if "tv" in kind:
        return "tv"
    if kind == "desktop":
        return kind
    return "mobile" if kind in ("ios", "android", "mobile", "phone") or system in ("iOS", "Android", "HarmonyOS") else ""


def _text(value: Any) -> str:
    return value[:64] if isinstance(value, str) else ""
