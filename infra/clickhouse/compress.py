"""HTTP content encodings of requests and answers: gzip, deflate, lz4 (frames), zstd."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]
from backports import zstd

from infra.clickhouse.fail import BAD_REQUEST, CANNOT_DECOMPRESS, QUERY_TOO_LARGE, ClickHouseError

_ZSTD_LEVEL = 1


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


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
_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "gzip": lambda: zlib.decompressobj(47),
    "deflate": zlib.decompressobj,
}


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """The body behind a Content-Encoding; several members one after the other are one body.

    Args:
        limit: bytes of the unpacked body; no memory is taken for more.

    Raises:
        ClickHouseError: 36 for an unknown encoding, 271 for damaged data, 1003 for too much.
    """
    if encoding in ("", "identity"):
        return data
    make = _DECOMPRESSORS.get(encoding)
    if make is None:
        raise ClickHouseError(BAD_REQUEST, f"Unknown compression method '{encoding}': use {', '.join(_DECOMPRESSORS)}")
    parts: list[bytes] = []
    size = 0
    while data or not parts:
        decompressor = make()
        try:
            parts.append(decompressor.decompress(data, limit - size + 1))
        except Exception as error:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"The request's body is not {encoding}: {error}") from error
        size += len(parts[-1])
        if size > limit:
            raise ClickHouseError(QUERY_TOO_LARGE, f"The request's body is larger than {limit} bytes.")
        if not decompressor.eof:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"The request's body is not {encoding}: it ends too early")
        data = decompressor.unused_data or b""
    return b"".join(parts)


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
