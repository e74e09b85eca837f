"""ClickHouse's own framing of bodies, and the limits of what is unpacked."""

import gzip
import struct
import zlib

import lz4.block
import lz4.frame
import pytest
from backports import zstd
from clickhouse_cityhash.cityhash import CityHash128
from hypothesis import given
from hypothesis import strategies as st

from infra.clickhouse.compress import decompress
from infra.clickhouse.fail import ClickHouseError
from infra.clickhouse.frames import pack, unpack
from infra.clickhouse.protocol import Request, parse

LIMIT = 10 << 20


def framed(data: bytes) -> bytes:
    return b"".join(pack([data]))


def frame(method: int, packed: bytes, size: int) -> bytes:
    head = struct.pack("<BII", method, 9 + len(packed), size) + packed
    number = CityHash128(head)
    return struct.pack("<QQ", number >> 64, number & (2**64 - 1)) + head


def code(body: bytes, limit: int = LIMIT) -> int:
    with pytest.raises(ClickHouseError) as refused:
        unpack(body, limit)
    return refused.value.code


def test_as_clickhouse_writes_it():
    """The frame of `SELECT 1` as ClickHouse's Java client sends it."""
    sent = bytes.fromhex("818fd1b622dd361a0f77f72bf479bcea8212000000080000008053454c4543542031")
    assert unpack(sent, LIMIT) == b"SELECT 1"
    assert framed(b"SELECT 1") == sent


@given(st.lists(st.binary(max_size=300)), st.integers(1, 20_000))
def test_there_and_back(chunks, times):
    whole = [chunk * times for chunk in chunks]
    assert unpack(b"".join(pack(whole)), 300 * 20_000 * len(chunks)) == b"".join(whole)


def test_a_frame_has_a_mebibyte_at_most():
    frames = list(pack([b"x" * (2 << 20), b"", b"y"]))
    assert [struct.unpack_from("<I", one, 21)[0] for one in frames] == [1 << 20, 1 << 20, 1]


@pytest.mark.parametrize(
    ("method", "pack_"), [(0x02, bytes), (0x82, lambda d: lz4.block.compress(d, store_size=False)), (0x90, zstd.compress)]
)
def test_methods(method, pack_):
    data = b"SELECT 1 " * 100
    body = frame(method, pack_(data), len(data))
    assert unpack(body + body, LIMIT) == data * 2


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_damaged_frame_is_an_error_and_never_other_data(data, drawn):
    body = bytearray(framed(data))
    bit = drawn.draw(st.integers(0, 8 * len(body) - 1))
    body[bit // 8] ^= 1 << bit % 8
    assert code(bytes(body)) in (40, 271)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_truncated_frame_is_an_error(data, drawn):
    body = framed(data)
    assert code(body[: drawn.draw(st.integers(1, len(body) - 1))]) == 271


@given(st.binary(min_size=1))
def test_anything_else_is_an_error(body):
    assert code(body) in (40, 271)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (frame(0x82, lz4.block.compress(b"x" * 100, store_size=False), 99), 271),
        (frame(0x82, lz4.block.compress(b"x" * 100, store_size=False), 101), 271),
        (frame(0x82, b"no block", 100), 271),
        (frame(0x90, zstd.compress(b"x" * 100), 99), 271),
        (frame(0x90, b"no frame", 100), 271),
        (frame(0x02, b"x", 2), 271),
        (frame(0x91, b"x", 1), 271),
        (frame(0x82, lz4.block.compress(b"x", store_size=False), 4_000_000_000), 1003),
        (framed(b"x" * LIMIT) + framed(b"x"), 1003),
    ],
    ids=["less", "more", "no LZ4", "less ZSTD", "no ZSTD", "NONE", "unknown method", "huge", "too much"],
)
def test_frames_that_do_not_hold_what_they_say(body, expected):
    assert code(body) == expected


def test_a_request_is_unpacked():
    parsed = parse(Request("POST", "/", {"decompress": "1", "compress": "1"}, {}, framed(b"SELECT 1")), "id")
    assert (parsed.sql, parsed.framed) == ("SELECT 1", True)
    both = parse(
        Request("POST", "/", {"decompress": "1"}, {"content-encoding": "gzip"}, gzip.compress(framed(b"SELECT 2"))), "id"
    )
    assert (both.sql, both.framed) == ("SELECT 2", False)


@pytest.mark.parametrize(
    ("encoding", "pack_"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("lz4", lz4.frame.compress), ("zstd", zstd.compress)],
)
def test_content_encodings_are_bounded_and_whole(encoding, pack_):
    packed = pack_(b"x" * 1000)
    assert decompress(packed, encoding, 1000) == b"x" * 1000
    assert decompress(packed + pack_(b"y"), encoding, 1001) == b"x" * 1000 + b"y"
    assert decompress(pack_(b""), encoding, 0) == b""
    for body, limit, expected in ((packed, 999, 1003), (packed + packed, 1999, 1003), (packed[:-3], 1000, 271), (b"", 1000, 271)):
        with pytest.raises(ClickHouseError) as refused:
            decompress(body, encoding, limit)
        assert refused.value.code == expected
