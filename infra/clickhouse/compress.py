"""HTTP content encodings of requests and answers: gzip, deflate, lz4 (frames), zstd."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]
from backports import zstd

from infra.clickhouse.fail import BAD_REQUEST, CANNOT_DECOMPRESS, ClickHouseError

_ZSTD_LEVEL = 1


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Lz4:
    """lz4's frame compressor with the shape of the others."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.flush())


_COMPRESSORS: dict[str, Callable[[], _Compressor]] = {
    "zstd": lambda: zstd.ZstdCompressor(level=_ZSTD_LEVEL),
    "lz4": _Lz4,
    "gzip": lambda: zlib.compressobj(1, zlib.DEFLATED, 31),
    "deflate": lambda: zlib.compressobj(1),
}
_DECOMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.decompress,
    "lz4": lambda data: bytes(lz4.frame.decompress(data)),
    "gzip": lambda data: zlib.decompress(data, 47),
    "deflate": zlib.decompress,
}


def decompress(data: bytes, encoding: str) -> bytes:
    """The body behind a Content-Encoding. Raises ClickHouseError for an unknown encoding and for damaged data."""
    if encoding in ("", "identity"):
        return data
    method = _DECOMPRESSORS.get(encoding)
    if method is None:
        raise ClickHouseError(BAD_REQUEST, f"Unknown compression method '{encoding}': use {', '.join(_DECOMPRESSORS)}")
    try:
        return method(data)
    except Exception as error:
        raise ClickHouseError(CANNOT_DECOMPRESS, f"The request's body is not {encoding}: {error}") from error


def choose(accepted: str) -> str:
    """The first encoding of an Accept-Encoding header that we speak, or an empty string."""
    offered = (part.split(";")[0].strip().lower() for part in accepted.split(","))
    return next((name for name in offered if name in _COMPRESSORS), "")


def compress(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Compress chunk by chunk; an empty encoding passes them on."""
    if not encoding:
        yield from chunks
        return
    compressor = _COMPRESSORS[encoding]()
    for chunk in chunks:
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()
