"""ClickHouse's own framing of a body (`compress=1`, `decompress=1`): checksummed blocks, each compressed for itself.

A frame is the CityHash128 (of CityHash 1.0.2) of all that follows in it, 16 bytes; the method, 1 byte; the frame's size
without the checksum and the size of the data, 4 bytes each; then the data. All numbers are little-endian.
"""

import struct
from collections.abc import Iterable, Iterator

import lz4.block  # type: ignore[import-untyped]
from backports import zstd
from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped]

from infra.clickhouse.fail import CANNOT_DECOMPRESS, CHECKSUM_DOESNT_MATCH, QUERY_TOO_LARGE, ClickHouseError

_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_CHECKSUM = 16
_HEAD = struct.Struct("<BII")
_BLOCK_BYTES = 1 << 20  # as ClickHouse's max_compress_block_size


def pack(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Frame data by LZ4, a frame for each MiB at most."""
    for chunk in chunks:
        for start in range(0, len(chunk), _BLOCK_BYTES):
            data = chunk[start : start + _BLOCK_BYTES]
            packed = lz4.block.compress(data, store_size=False)
            frame = _HEAD.pack(_LZ4, _HEAD.size + len(packed), len(data)) + packed
            yield _hash(frame) + frame


def unpack(body: bytes, limit: int) -> bytes:
    """The data of all frames of a body.

    Args:
        limit: bytes of data; no memory is taken for more.

    Raises:
        ClickHouseError: 40 for a wrong checksum, 271 for what is no frame, 1003 for too much data.
    """
    parts, at, total = [], 0, 0
    while at < len(body):
        frame = _frame(body, at)
        method, _, size = _HEAD.unpack_from(frame)
        total += size
        if total > limit:
            raise ClickHouseError(QUERY_TOO_LARGE, f"The request's body is larger than {limit} bytes.")
        parts.append(_data(method, bytes(frame[_HEAD.size :]), size))
        at += _CHECKSUM + len(frame)
    return b"".join(parts)


def _frame(body: bytes, at: int) -> memoryview:
    """The frame at this place, without its checksum, which is right."""
    if at + _CHECKSUM + _HEAD.size > len(body):
        raise _damaged(at, "the body ends within its head")
    _, packed, _ = _HEAD.unpack_from(body, at + _CHECKSUM)
    if packed < _HEAD.size:
        raise _damaged(at, "its size is smaller than its head")
    if at + _CHECKSUM + packed > len(body):
        raise _damaged(at, f"it should have {packed} bytes, and {len(body) - at - _CHECKSUM} are left")
    frame = memoryview(body)[at + _CHECKSUM : at + _CHECKSUM + packed]
    if _hash(bytes(frame)) != body[at : at + _CHECKSUM]:
        raise ClickHouseError(CHECKSUM_DOESNT_MATCH, f"Checksum doesn't match: corrupted data in the frame at byte {at}.")
    return frame


def _data(method: int, packed: bytes, size: int) -> bytes:
    try:
        if method == _LZ4:
            data = bytes(lz4.block.decompress(packed, uncompressed_size=size))
        elif method == _ZSTD:
            data = zstd.ZstdDecompressor().decompress(packed, max_length=size + 1)
        elif method == _NONE:
            data = packed
        else:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"Unknown compression method 0x{method:02x}: use NONE, LZ4 or ZSTD.")
    except (lz4.block.LZ4BlockError, zstd.ZstdError, ValueError) as error:
        raise ClickHouseError(CANNOT_DECOMPRESS, f"Cannot decompress a frame: {error}") from error
    if len(data) != size:
        raise ClickHouseError(CANNOT_DECOMPRESS, f"Cannot decompress a frame: it does not hold the {size} bytes that it says.")
    return data


def _hash(data: bytes) -> bytes:
    # The lower half comes first; the library gives it as the upper half of its number.
    number = CityHash128(data)
    return struct.pack("<QQ", number >> 64, number & 0xFFFFFFFFFFFFFFFF)


def _damaged(at: int, why: str) -> ClickHouseError:
    return ClickHouseError(CANNOT_DECOMPRESS, f"The frame at byte {at} of the body is damaged: {why}.")
