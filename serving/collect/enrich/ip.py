"""IP addresses: read whatever stands for one, and keep no more of it than wanted. Pure."""

import ipaddress
from typing import Literal

IpMode = Literal["keep", "truncate", "drop"]
MAX_TEXT = 200
KEPT_BITS = {4: 24, 6: 48}


def read_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """``1.2.3.4``, ``1.2.3.4:5``, ``[::1]:5``, ``fe80::1%eth0``, or the first of a list; None if it is none. Never raises."""
    text = text[:MAX_TEXT].partition(",")[0].strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def kept(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, mode: IpMode) -> str:
    """What is kept of it: all, the network (/24, /48), or nothing ("")."""
    if mode == "drop":
        return ""
    if mode == "keep":
        return str(ip)
    cut = ip.max_prefixlen - KEPT_BITS[ip.version]
    return str(type(ip)(int(ip) >> cut << cut))
