"""The data folder: everything the platform keeps is in it. A marker file says that it is ours, and what is fixed for its life."""

import base64
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cdp import keyring
from cdp.errors import CdpError
from cdp.settings import Settings

LAYOUT = 1
MARKER = "streamcdp.json"
NESTED = frozenset({"demo", "lost+found"})  # a folder may hold the demo's folder, or be the root of a disk
_CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class Marker(msgspec.Struct, frozen=True):
    """What is fixed for the life of a data folder.

    Attributes:
        layout: version of the folder's layout.
        partitions: of each topic: people belong to partitions.
        kafka_cluster_id: 16 random bytes in URL-safe base64, as Kafka wants it.
    """

    layout: int
    partitions: int
    kafka_cluster_id: str


@dataclass(frozen=True)
class Folder:
    """Paths inside a data folder."""

    root: Path

    @property
    def run(self) -> Path:
        """Process ids, the supervisor's configuration and socket."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """A log for each part."""
        return self.root / "logs"

    def of(self, part: str) -> Path:
        """A part's own data."""
        return self.root / part

    def log(self, part: str) -> Path:
        """A part's log."""
        return self.logs / f"{part}.log"


def new_cluster_id() -> str:
    """A random id for a Kafka cluster. Never begins with a dash, which Kafka's tools take for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def read_marker(root: Path) -> Marker | None:
    """The folder's marker; None if the folder is new. Raises CdpError if the folder is not ours or is damaged."""
    path = root / MARKER
    elsewhere = "Set CDP_DATA_DIR to another folder, or restore this one from a backup."
    if not root.exists():
        return None
    if not root.is_dir():
        raise CdpError(f"The data folder {root} is not a folder.", "Set CDP_DATA_DIR to a folder.")
    if not path.exists():
        strangers = sorted(entry.name for entry in root.iterdir() if entry.name not in NESTED)
        if strangers:
            raise CdpError(
                f"{root} is not a StreamCDP data folder: it holds {strangers[0]!r} but no {MARKER}.",
                "Set CDP_DATA_DIR to a new or empty folder.",
            )
        return None
    try:
        marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    except (OSError, msgspec.DecodeError) as error:
        raise CdpError(f"The data folder is damaged: {path} cannot be read ({error}).", elsewhere) from error
    if marker.layout != LAYOUT:
        raise CdpError(
            f"The data folder {root} has layout {marker.layout}, but this version of StreamCDP knows layout {LAYOUT}.",
            "Use the version that made it, or set CDP_DATA_DIR to another folder.",
        )
    if not _CLUSTER_ID.fullmatch(marker.kafka_cluster_id):
        raise CdpError(f"The data folder is damaged: {path} holds no valid Kafka cluster id.", elsewhere)
    _check_kafka(root / "kafka" / "data" / "meta.properties", marker, elsewhere)
    return marker


def _check_kafka(meta: Path, marker: Marker, remedy: str) -> None:
    """The broker's own id file must agree with the marker, or the broker would refuse to start with a stack trace."""
    if not meta.exists():
        return
    try:
        text = meta.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CdpError(f"The data folder is damaged: {meta} cannot be read.", remedy) from error
    if f"cluster.id={marker.kafka_cluster_id}" not in text.splitlines():
        raise CdpError(f"The data folder is damaged: {meta} does not belong to this folder's Kafka cluster.", remedy)


def claim(settings: Settings) -> Marker:
    """Make the folder ours, or check that it already is. Raises CdpError with the reason if it cannot be used."""
    folder = Folder(settings.data_dir)
    marker = read_marker(folder.root)
    try:
        for path in (folder.root, folder.run, folder.logs):
            path.mkdir(parents=True, exist_ok=True)
        settings.secrets_dir.mkdir(mode=0o700, exist_ok=True)
        _claim_keyring(settings, is_new=marker is None)
        if marker is None:
            marker = Marker(LAYOUT, settings.partitions, new_cluster_id())
            write_atomically(folder.root / MARKER, msgspec.json.encode(marker) + b"\n")
        probe = folder.run / "writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CdpError(
            f"The data folder {folder.root} cannot be written: {error.strerror or error}.",
            "Set CDP_DATA_DIR to a folder you own.",
        ) from error
    if marker.partitions != settings.partitions:
        raise CdpError(
            f"{folder.root} was made with {marker.partitions} partitions, but CDP_PARTITIONS is {settings.partitions}.",
            f"The number is fixed for life: set CDP_PARTITIONS={marker.partitions}, or use another data folder.",
        )
    return marker


def _claim_keyring(settings: Settings, *, is_new: bool) -> None:
    """A new folder gets a keyring. One in use is never given another: nobody in it would be recognised again."""
    path = keyring.path_of(settings)
    if is_new and not settings.keyring_file and not path.exists():
        keyring.write(path, keyring.generate())
    keyring.read(path)


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(mode)
    draft.replace(path)
