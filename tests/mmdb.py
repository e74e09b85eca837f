"""A tiny writer of MaxMind's database format, for tests: IPv4, records of 24 bits."""

import ipaddress
from typing import Any

EMPTY = -1
UINT16, UINT32, UINT64 = 5, 6, 9


def write_mmdb(networks: dict[str, Any]) -> bytes:
    """A database that says of each network what stands beside it: maps of texts, lists, maps, and (kind, whole number)."""
    nodes: list[list[int]] = [[EMPTY, EMPTY]]
    leaves: list[tuple[int, int, int]] = []  # node, side, place in the data
    data = b""
    for network, record in networks.items():
        parsed = ipaddress.IPv4Network(network)
        bits = [(int(parsed.network_address) >> (31 - index)) & 1 for index in range(parsed.prefixlen)]
        node = 0
        for bit in bits[:-1]:
            if nodes[node][bit] == EMPTY:
                nodes.append([EMPTY, EMPTY])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        leaves.append((node, bits[-1], len(data)))
        data += encode(record)
    count = len(nodes)
    tree = [[count if child == EMPTY else child for child in node] for node in nodes]
    for node, side, place in leaves:
        tree[node][side] = count + 16 + place
    body = b"".join(child.to_bytes(3, "big") for node in tree for child in node)
    metadata = {
        "node_count": (UINT32, count), "record_size": (UINT16, 24), "ip_version": (UINT16, 4), "database_type": "Test-City",
        "languages": ["en"], "binary_format_major_version": (UINT16, 2), "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, 1), "description": {"en": "test"},
    }  # fmt: skip
    return body + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encode(metadata)


def encode(value: Any) -> bytes:
    """A value in the format's data section."""
    match value:
        case str():
            text = value.encode()
            return _head(2, len(text)) + text
        case (int(kind), int(number)):
            digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
            return _head(kind, len(digits)) + digits
        case dict():
            return _head(7, len(value)) + b"".join(encode(key) + encode(item) for key, item in value.items())
        case _:
            return _head(11, len(value)) + b"".join(map(encode, value))


def _head(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([kind << 5 | size]) if kind <= 7 else bytes([size, kind - 7])
