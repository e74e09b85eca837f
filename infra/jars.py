"""Where the jars of Kafka and of Flink's connectors are: beside the interpreter, shared by all data folders."""

import sys
from pathlib import Path

from cdp.errors import CdpError


def jars_dir(part: str) -> Path:
    """The folder of a part's jars: ``kafka`` or ``flink``. It may not exist yet."""
    return Path(sys.prefix) / "share" / "streamcdp" / "jars" / part


def jars(part: str) -> list[Path]:
    """A part's jars, sorted by name. Raises CdpError if they have not been fetched."""
    found = sorted(jars_dir(part).glob("*.jar"))
    if not found:
        raise CdpError(f"The jars of {part} are not in {jars_dir(part)}.", "Fetch them with `make setup` (or `cdp setup`).")
    return found
