"""Phones and e-mail addresses as people write them: the tables of the documentation, what they leave out, and the reasons."""

import re
from pathlib import Path

import pytest

from cdp.values.emails import read_email
from cdp.values.phones import read_phone, spell_phone
from rules.identity import normalise
from serving.imports.convert import identifies, unreadable

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[tuple[str, str]]:
    """Each example of a table, and what it is: "" if it is nobody's."""
    section = DOCS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and cells[0] not in ("written", "---"):
            result = "" if cells[2].startswith("nobody") else cells[2].strip("`")
            found += [(example, result) for example in re.findall(r"`([^`]+)`", cells[1])]
    return found


@pytest.mark.parametrize(("written", "number"), rows("Phone numbers"))
def test_the_table_of_phones(written: str, number: str) -> None:
    assert (normalise("phone", written) or "") == number
    if number:
        assert read_phone(written, "CN") == number
        assert identifies("phone", written), "an import lets it through"
    else:
        with pytest.raises(ValueError, match=r"^(it|there) "):
            read_phone(written, "CN")


@pytest.mark.parametrize(("written", "address"), rows("E-mail addresses"))
def test_the_table_of_addresses(written: str, address: str) -> None:
    assert (normalise("email", written) or "") == address
    assert identifies("email", written) is bool(address)
    if address:
        assert read_email(written) == read_email(address) == address


def test_there_are_tables() -> None:
    assert len(rows("Phone numbers")) > 40
    assert len(rows("E-mail addresses")) > 15


@pytest.mark.parametrize(
    "written",
    [
        "\u202a13900019001\u202c", "\u200e13900019001", "\u200b139\u200b00019001", "\ufeff13900019001",
        "\u2066+86 139 0001 9001\u2069",
        "139\u00a00001\u00a09001", "139\u202f0001\u20099001", "139\u20110001\u20119001", "139\u22120001\u22129001",
        "139\u20150001\u20159001",
        "\uff08\uff0b86\uff09139\uff0d0001\uff0d9001", "\t13900019001\t", "13900019001\t", "`13900019001", "\u201913900019001",
        '"=""13900019001"""', "=13900019001", "13900019001.00", "+86 [0] 139 0001 9001", "(0086) 139-0001-9001",
        "TEL:+8613900019001",
        "tel: 139-0001-9001", "callto://+8613900019001", "86 139 0001 9001", "(+86)139 0001-9001", "13900019001.",
        " +86  139  0001  9001 ",
    ],
)  # fmt: skip
def test_further_writings_of_one_phone(written: str) -> None:
    assert read_phone(written, "CN") == normalise("phone", written) == "+8613900019001"
    assert identifies("phone", written)


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("0171/1234567", "DE", "+491711234567"), ("030 / 901820", "DE", "+4930901820"),
        ("49 171 1234567", "DE", "+491711234567"),
        ("(415) 555-2671", "US", "+14155552671"), ("1-415-555-2671", "US", "+14155552671"),
        ("011 86 139 0001 9001", "US", "+8613900019001"),
        ("07911 123456", "GB", "+447911123456"), ("+44 (0)7911 123456", "CN", "+447911123456"),
        ("06 698 1234", "IT", "+39066981234"),
        ("+39 (0)6 698 1234", "CN", "+39066981234"), ("090-1234-5678", "JP", "+819012345678"),
        ("01 23 45 67 89", "FR", "+33123456789"),
        ("01.23.45.67.89", "FR", "+33123456789"), ("8 (912) 345-67-89", "RU", "+79123456789"),
        ("8613900019001", "DE", "+8613900019001"),
        ("9123 4567", "HK", "+85291234567"), ("+852 9123 4567", "CN", "+85291234567"),
    ],
)  # fmt: skip
def test_phones_of_other_regions(written: str, region: str, number: str) -> None:
    assert read_phone(written, region) == number
    assert read_phone(number, region) == number


@pytest.mark.parametrize(
    ("written", "region", "reason"),
    [
        ("", "CN", "says nothing"), ("\u200b", "CN", "says nothing"), ("()", "CN", "not written as"),
        ("110", "CN", "too few digits"),
        ("9" * 18, "CN", "too many digits"), ("9" * 401, "CN", "too long"), ("13900019001/13800019002", "CN", "more than one"),
        ("13900019001 / 13800019002", "CN", "more than one"), ("13900019001\n13800019002", "CN", "more than one"),
        ("13900019001;13800019002", "CN", "more than one"), ("13900019001\u300113800019002", "CN", "more than one"),
        ("030 12345 030 54321", "DE", "more than one"), ("0711 123456/78", "DE", "more than one"),
        ("13900019001或13800019002", "CN", "letters"),
        ("138****1234", "CN", "masked"), ("1380001\u2022\u2022\u2022\u2022", "CN", "masked"), ("1.39e10", "CN", "scientific"),
        ("021-61234567 Ext.: 5", "CN", "extension"), ("021-61234567#5", "CN", "extension"),
        ("\u7535\u8bdd13900019001", "CN", "letters"),
        ("+999 123456789", "CN", "no number"), ("+34 (0)612345678", "CN", "no number"), ("1390001900.0", "CN", "no number"),
        ("00000000000", "CN", "no number"), ("++8613900019001", "CN", "not written as"),
        ("13900019001?", "CN", "not written as"),
    ],
)  # fmt: skip
def test_phones_that_are_nobodys_and_why(written: str, region: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_phone(written, region)


def test_a_region_decides_whose_a_number_is_but_not_how_it_is_written() -> None:
    assert spell_phone("0151 / 234-567 89") == "0151/234 567 89"
    assert identifies("phone", "(415) 555-2671"), "perhaps the workspace's rules are of another region"
    assert not identifies("phone", "138****1234")
    assert not identifies("phone", "AES:c2VjcmV0")
    assert unreadable("phone", "1234567") == ""
    assert "area code" in unreadable("phone", "1234567", "CN")
    assert "masked" in unreadable("openid", "o1**2")
    assert "an @" in unreadable("email", "li")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("a@b.cn c@d.cn", "more than one"), ("a@b@c.cn", "more than one"), ("l***@b.cn", "masked"), ("a@b..cn", "no address"),
        ("a@-b.cn", "no address"), ("a@b.cn/x", "no address"), ("a(b)@c.cn", "no address"), (f"{'a' * 250}@b.cn", "no address"),
        ("\u200b", "says nothing"), ("li", "no address"), ("li%40shop.example", "no address"), ("<>", "no address"),
        ("Li <>", "no address"),
    ],
)  # fmt: skip
def test_addresses_that_are_nobodys_and_why(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_email(written)
