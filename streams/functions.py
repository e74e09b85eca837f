"""The Redis functions: loaded under a name that carries their content's hash, so that two releases can run side by side."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

_SOURCE = (Path(__file__).parent / "functions.lua").read_text(encoding="utf-8")
_HASH = hashlib.sha256(_SOURCE.encode()).hexdigest()[:10]


class Functions:
    """Calls into one library version. A server that lacks it (new primary, restored copy) gets it on the first call."""

    def __init__(self, client: "redis.Redis[bytes]") -> None:
        self._client = client
        self._save = f"cdp_save_{_HASH}"
        self._commit = f"cdp_commit_{_HASH}"
        self.load()

    def load(self) -> None:
        """Load or replace the library."""
        source = _SOURCE.replace("LIBRARY", f"cdp_{_HASH}")
        source = source.replace("'SAVE'", f"'{self._save}'").replace("'COMMIT'", f"'{self._commit}'")
        self._client.function_load(source, replace=True)

    def save(self, pipeline: Any, keys: list[str], arguments: Sequence[bytes | int | str]) -> None:
        """Queue a compare-and-set of profiles on a pipeline."""
        pipeline.fcall(self._save, len(keys), *keys, *arguments)

    def commit(self, prefix: str, arguments: Sequence[bytes | str | int]) -> bool:
        """Compare and set several keys of the identity graph; see functions.lua. Returns whether they were written."""
        try:
            return bool(self._client.fcall(self._commit, 1, prefix, *arguments))
        except redis.ResponseError as error:
            if "Function not found" not in str(error):
                raise
            self.load()
            return bool(self._client.fcall(self._commit, 1, prefix, *arguments))
