"""What a user agent tells: browser, system, kind of device, and whether it is a program and not a person. Pure."""

import re
from typing import NamedTuple

from ua_parser import Domain, Parser
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

NO_AGENT = "-"  # stands for a request that says none; "" is one of which nothing is known
MAX_AGENT = 512  # a longer one says nothing more

# Beside those that ua-parser calls spiders: browsers without a person, and what watches whether a site is up.
_ROBOT = re.compile(
    r"headless|phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|cypress|jsdom|lighthouse|page ?speed"
    r"|gtmetrix|webpagetest"
    r"|pingdom|uptime|statuscake|site24x7|datadog|newrelic|new relic|catchpoint|dynatrace|monitor\b|zabbix|nagios|blackbox"
    r"|(?<!cu)bots?\b|spider|crawl|scrapy|slurp|fetcher\b|validator\b|preview\b|archiver",
    re.IGNORECASE,
)
# Programs: nobody looks at a page with them.
_TOOL = re.compile(
    r"[\s\-]*$|(?:curl|wget|python|aiohttp|httpx|go-http-client|java|apache-httpclient|libwww-perl|lwp|php|guzzlehttp|ruby|axios|node"
    r"|undici|got|postman|insomnia|httpie|okhttp|locust|k6|jmeter|apachebench)\b",
    re.IGNORECASE,
)
_TV = re.compile(
    r"smart-?tv|google ?tv|apple ?tv|android ?tv|hbbtv|netcast|viera|bravia|roku|\bAFT[A-Z]+\b|crkey|mitv|tvbox|\bTV\b|web0s"
)
_TABLET = re.compile(r"ipad|tablet|playbook|kindle|silk/|matepad", re.IGNORECASE)
_MOBILE = re.compile(r"mobi|iphone|ipod|\bphone\b|opera mini|blackberry|symbian", re.IGNORECASE)
_DESKTOP = frozenset(
    ("Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "Debian", "FreeBSD", "OpenBSD", "Red Hat", "SUSE")
)
_MAJOR_MINOR = 2


class Agent(NamedTuple):
    """A user agent, understood.

    Attributes:
        client: ``context.client``: browser, browser_version, os, os_version, device; what is unknown is left out.
        robot: the name of a robot, "" for what may be a person.
        is_tool: a program such as curl, or nothing at all.
    """

    client: dict[str, str]
    robot: str
    is_tool: bool


class AgentReader:
    """Reads user agents; made once, since the patterns take a third of a second to load."""

    def __init__(self) -> None:
        self._parser = Parser(Resolver(load_builtins()))

    def read(self, text: str) -> Agent:
        """Understand one. Never raises; 100 - 500 us, so callers remember the answer."""
        text = text[:MAX_AGENT].encode("utf-8", "replace").decode()
        found = self._parser(text, Domain.ALL)
        browser, system, device = found.user_agent, found.os, found.device
        robot = ""
        if (device is not None and device.brand == "Spider") or _ROBOT.search(text):
            robot = browser.family if browser is not None else "unknown"
        client = {
            "browser": browser.family if browser else "",
            "browser_version": _version(browser.major, browser.minor) if browser else "",
            **_system(text, system.family if system else "", _version(system.major, system.minor) if system else ""),
        }
        brand = (device.brand or "") if device is not None else ""
        client["device"] = "bot" if robot else _device(text, client["os"], brand)
        return Agent({name: value for name, value in client.items() if value}, robot, _TOOL.match(text) is not None)


def _version(*parts: str | None) -> str:
    known = [part for part in parts[:_MAJOR_MINOR] if part]
    return ".".join(known)


def _system(text: str, family: str, version: str) -> dict[str, str]:
    if "HarmonyOS" in text or "OpenHarmony" in text:  # calls itself Android as well, or nothing that is known
        found = re.search(r"(?:Open)?Harmony(?:OS)?[ /]([\d.]+)", text)
        return {"os": "HarmonyOS", "os_version": found[1] if found else ""}
    return {"os": family, "os_version": version}


def _device(text: str, system: str, brand: str) -> str:
    if _TV.search(text):
        return "tv"
    if _TABLET.search(text) or brand == "Generic_Android_Tablet" or (system == "Android" and not _MOBILE.search(text)):
        return "tablet"
    if _MOBILE.search(text) or system in ("Android", "iOS", "HarmonyOS"):
        return "mobile"
    return "desktop" if system in _DESKTOP else "other"
