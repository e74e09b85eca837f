"""Check, before anything is started, that everything can be: each failure is one sentence and one remedy."""

import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cdp.errors import CdpError
from cdp.settings import Settings
from infra.fetch import is_fetched
from infra.parts import Part
from infra.programs import find_program

FREE_BYTES = 1 << 30
JAVA = 17
_JARS = {"kafka": "kafka", "jobs": "flink"}


def check(settings: Settings, parts: Sequence[Part]) -> None:
    """Raises CdpError with the first thing that is amiss."""
    check_disk(settings.data_dir)
    check_programs(parts)
    check_ports(settings, parts)


def check_disk(root: Path) -> None:
    """At least 1 GiB must be free where the data folder is, or will be."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < FREE_BYTES:
        raise CdpError(
            f"The disk of the data folder {root} is nearly full: {free // (1 << 20)} MiB free, 1024 MiB needed.",
            "Free some space, or set CDP_DATA_DIR to a folder on another disk.",
        )


def check_programs(parts: Sequence[Part]) -> None:
    """Java, redis-server and the jars must be there for the parts that need them."""
    names = {part.name for part in parts}
    if any(part.java for part in parts) or "jobs" in names:
        check_java(find_program("java"))
    if "redis" in names:
        find_program("redis-server")
    for part, jars in _JARS.items():
        if part in names and not is_fetched(jars):
            raise CdpError(
                f"The jars of {jars} have not been fetched, or are of another version.", "Run `make setup` (or `cdp setup`)."
            )


def check_java(java: str) -> None:
    """Java must be recent enough."""
    output = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = java_version(output)
    if version < JAVA:
        raise CdpError(
            f"Java {version or 'of an unknown version'} is too old: {JAVA} is needed.",
            "Install it: sudo apt-get install -y openjdk-17-jre-headless.",
        )


def java_version(output: str) -> int:
    """The major version in the output of ``java -version``; 0 if there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(match.group(1)) if match else 0


def check_ports(settings: Settings, parts: Sequence[Part]) -> None:
    """Every port must be free."""
    for part in parts:
        for offset in part.ports:
            port = settings.port(offset)
            if not is_free(port):
                raise CdpError(
                    f"Port {port}, which {part.name} needs, is taken by another program.",
                    f"Set CDP_PORT_BASE to another number than {settings.port_base}: the parts use it and the hundred above.",
                )


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be bound."""
    if port > 65_535:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection's remains do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
