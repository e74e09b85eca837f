"""Look for planted phones and addresses in bytes, in whatever form: plain, in base64, percent-encoded, in capitals, as UTF-16."""

import re
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from loadtest.planted import DOMAIN, MOST, Planted

CHUNK = 8 << 20
OVERLAP = 256
GZIP = b"\x1f\x8b"


def forms(head: bytes) -> set[bytes]:
    """How something that begins with these bytes may be written down."""
    found = {head, head.upper(), head.lower(), head.decode().encode("utf-16-le"), head.hex().encode()}
    found.add("".join(f"%{byte:02x}" for byte in head).encode())
    for before in range(3):  # of three bytes that begin a group of base64 it depends on where in one it stands
        for encoded in (b64encode(b"\0" * before + head), urlsafe_b64encode(b"\0" * before + head)):
            found.add(encoded[-(-before * 8 // 6) : (before + len(head)) * 8 // 6])
    return found


@dataclass
class Search:
    """Counts what it finds, by place. Only `planted` numbers count: another number with that head is somebody's offset."""

    planted: Planted
    numbers: int = MOST
    found: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        head, word = self.planted.head.encode(), self.planted.word.encode()
        spaced = f"{self.planted.head[:3]}[ -]{self.planted.head[3:]}".encode()
        apart = [f"{self.planted.head[:3]}{sign}{self.planted.head[3:]}".encode() for sign in " -"]
        self._quick = sorted({form.lower() for form in forms(word) | forms(head)} | set(apart))
        self._words = re.compile(b"|".join(map(re.escape, sorted(forms(word) | forms(head) - {head}))))
        self._phones = re.compile(
            rb"(?:(?<![0-9])|(?<=%[0-9A-Fa-f][0-9]))(?:0*86)?(?:" + head + rb"|" + spaced + rb")[ -]?([0-9]{4})(?![0-9])"
        )

    def look(self, place: str, content: bytes) -> None:
        """Search bytes that belong to a place."""
        if not self._may_hold(content):
            return
        for pattern in (self._words, self._phones):
            for hit in pattern.finditer(content):
                if pattern is self._phones and int(hit[1]) >= self.numbers:
                    continue
                self.found[place] += 1
                if len(self.examples) < 20:
                    around = content[max(0, hit.start() - 60) : hit.end() + 40]
                    self.examples.append(f"{place}: {around.decode('utf-8', 'replace')}")

    def _may_hold(self, content: bytes) -> bool:
        """Whether it is worth a closer look: a plain search is a hundred times as fast as a pattern."""
        if content.count(0) == len(content):  # Kafka lays its indexes out in advance
            return False
        small = content.lower()
        return any(form in small for form in self._quick)

    def needles(self) -> list[str]:
        """What ClickHouse is asked for: these are searched for in any case of letters."""
        address = quote(f"@{DOMAIN}", safe="")
        plain = [self.planted.word, self.planted.head, f"@{DOMAIN}", address, address.replace("%", "%25")]
        return plain + [form.decode() for head in (self.planted.word, self.planted.head) for form in forms(head.encode())
                        if form.isascii() and b"\0" not in form]  # fmt: skip


def scan_files(root: Path, search: Search, marker: bytes) -> tuple[int, int, int]:
    """Search every file below a folder: how many files, how many bytes, and in how many of the files the marker stands."""
    files = size = marked = 0
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.is_socket():
            continue
        files += 1
        seen = False
        for content in _chunks(path):
            size += len(content)
            seen = seen or marker in content
            search.look(str(path.relative_to(root)), content)
        marked += seen
    return files, size, marked


def _chunks(path: Path) -> Iterable[bytes]:
    """A file in pieces that overlap, and, if it is packed, what is in it."""
    try:
        with path.open("rb") as file:
            before = b""
            while content := file.read(CHUNK):
                yield before + content
                before = content[-OVERLAP:]
        if path.stat().st_size < CHUNK and path.read_bytes()[:2] == GZIP:
            yield zlib.decompress(path.read_bytes(), 31)
    except FileNotFoundError:  # a part has just replaced it
        return
    except zlib.error:  # numbers can begin as gzip does
        return
