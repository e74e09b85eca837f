"""Migrations: order, names, checksums."""

import pytest

from cdp.errors import CdpError
from sinks.migrate import VIEWS, Script, load, outdated, pending

ONE, TWO = Script(1, "one", "SELECT 1;\n"), Script(2, "two", "-- why; really\nSELECT '{database}';\n\nSELECT 3;")


def test_only_what_is_missing():
    assert pending([ONE, TWO], {1: ONE.checksum}) == [TWO]
    assert pending([ONE, TWO], {}) == [ONE, TWO]


def test_a_changed_file_is_refused():
    with pytest.raises(CdpError, match="0001_one was changed"):
        pending([ONE], {1: "other"})


def test_a_newer_database_is_refused():
    with pytest.raises(CdpError, match="0002"):
        pending([ONE], {1: ONE.checksum, 2: TWO.checksum})


def test_statements():
    assert TWO.statements("db") == ["-- why; really\nSELECT 'db'", "SELECT 3"]


def test_misnamed_files_are_refused(tmp_path):
    (tmp_path / "0001_a.sql").write_text("")
    (tmp_path / "1_b.sql").write_text("")
    with pytest.raises(CdpError, match=r"1_b\.sql"):
        load(tmp_path)


def test_all_views_are_made_anew_when_one_has_changed():
    assert outdated([ONE, TWO], {1: ONE.checksum, 2: "other"}) == outdated([ONE, TWO], {}) == [ONE, TWO]
    assert outdated([ONE, TWO], {1: ONE.checksum, 2: TWO.checksum}) == []


def test_our_own_are_numbered_without_gaps():
    for scripts in (load(), load(VIEWS)):
        assert [script.number for script in scripts] == list(range(1, len(scripts) + 1))
