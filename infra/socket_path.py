"""Where the supervisor's unix socket is. The kernel takes at most 107 bytes, and data folders can be deep."""

import hashlib
import os
import tempfile
from pathlib import Path

LONGEST = 100


def socket_path(root: Path) -> Path:
    """In the data folder's ``run``, or, if that is too long, in a short folder of our own under the temporary folder."""
    path = root / "run" / "supervisor.sock"
    if len(os.fsencode(path)) <= LONGEST:
        return path
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"cdp-{os.getuid()}-{digest}" / "supervisor.sock"


def prepare(path: Path) -> None:
    """Make the socket's folder, for the owner only. Raises PermissionError if somebody else made it first."""
    if path.parent.name == "run":
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.parent.stat().st_uid != os.getuid():
        raise PermissionError(f"{path.parent} belongs to somebody else")
