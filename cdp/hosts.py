"""Host names out of addresses of pages: what a referrer's domain is, and whether two pages belong to one site. Pure."""

import re
from functools import lru_cache

MAX_ADDRESS = 2048  # of a longer one the rest says nothing about its host

_END = re.compile(r"[/?#\\]")
_HOST = re.compile(r"[\w\-.]{1,253}")
_BARE = re.compile(r"[\w\-]+(\.[\w\-]+)*\.[^\W\d_]{2,}")
_SECOND_LEVEL = frozenset(("com", "co", "net", "org", "gov", "edu", "ac", "or", "ne", "go", "gob", "mil"))  # com.cn, co.uk
# Below these every name is somebody else's site.
_SHARED = frozenset((
    "tmall.com", "taobao.com", "jd.com", "youzan.com", "weidian.com", "weimob.com", "myshopify.com", "shopify.com",
    "wixsite.com", "wordpress.com", "blogspot.com", "github.io", "netlify.app", "vercel.app", "pages.dev", "web.app",
))  # fmt: skip


def host_of(address: str) -> str:
    """``https://user@WWW.Example.com:443/x`` -> ``example.com``: lower-case, without ``www.``; "" if there is none.

    An app's address (``android-app://com.tencent.mm``) gives its name. Never raises.
    """
    return _host(address[:MAX_ADDRESS])


@lru_cache(maxsize=8192)
def _host(address: str) -> str:
    scheme, found, rest = address.strip().partition("://")
    if not found:
        rest = scheme.removeprefix("//")
    host = _END.split(rest, maxsplit=1)[0].rpartition("@")[2]
    host = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    host = host.lower().strip(".")
    if not (_HOST if found else _BARE).fullmatch(host):  # SDKs also write words here: "$direct"
        return ""
    return host.removeprefix("www.")


def site_of(host: str) -> str:
    """The registered part of a host: ``shop.example.com.cn`` -> ``example.com.cn``. A rule of thumb, not the whole list."""
    labels = host.split(".")
    if len(labels) <= 2 or labels[-1].isdigit():
        return host
    is_national = len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    own = 3 if is_national or ".".join(labels[-2:]) in _SHARED else 2
    return ".".join(labels[-own:])
