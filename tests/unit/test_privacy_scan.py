"""The search of the privacy drill finds what it is to find, wherever and however it is written."""

import base64
import gzip
from pathlib import Path
from urllib.parse import quote

import pytest

from loadtest.planted import plant
from loadtest.scan import Search, scan_files

PLANTED = plant(5)
PHONE, EMAIL = PLANTED.phone(7), PLANTED.email(7)
ENCODED = [base64.b64encode(f"{'x' * before}{what}".encode()).decode() for what in (PHONE, EMAIL) for before in range(3)]
WAYS = [
    PHONE, f"+86{PHONE}", f"0086 {PHONE}", f"{PHONE[:3]}-{PHONE[3:7]}-{PHONE[7:]}", f"tel%20{PHONE}", EMAIL, EMAIL.upper(),
    quote(EMAIL), PHONE.encode().hex(), *ENCODED,
]  # fmt: skip


@pytest.mark.parametrize("written", WAYS)
def test_every_way_of_writing_is_found(written: str) -> None:
    search = Search(PLANTED, 10)
    search.look("here", f'{{"a":"{written}","b":1795380000000000}}'.encode())
    assert search.found == {"here": 1}
    assert search.examples


def test_what_was_not_planted_is_not_found() -> None:
    search = Search(PLANTED, 10)
    for other in (PLANTED.phone(11), f"9{PHONE}", f"{PHONE}0", PLANTED.run, "\0" * 100):
        search.look("here", other.encode())
    assert not search.found


def test_files_are_read_to_their_ends_and_unpacked(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "big").write_bytes(b"x" * (8 << 20) + EMAIL.encode())
    (tmp_path / "packed.gz").write_bytes(gzip.compress(f"{PLANTED.run} {PHONE}".encode()))
    (tmp_path / "clean").write_bytes(PLANTED.run.encode())
    (tmp_path / "begins as gzip does").write_bytes(b"\x1f\x8b" + bytes(40))
    search = Search(PLANTED, 10)
    files, size, marked = scan_files(tmp_path, search, PLANTED.run.encode())
    assert (files, size > 8 << 20, marked) == (4, True, 2)
    assert set(search.found) == {"deep/big", "packed.gz"}
