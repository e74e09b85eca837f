"""A phone or an address means the same by every way in, however it is written, and what is not written as one means nobody."""

import csv
import json
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

import openpyxl
import phonenumbers
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cdp.errors import InvalidEvent
from cdp.events import ORDER_ID
from cdp.values.emails import read_email
from cdp.values.phones import read_phone
from rules.identity import normalise
from serving.collect.dialects.segment import Segment
from serving.collect.draft import Broken, Incoming
from serving.collect.finish import Arrival, Finish
from serving.imports.apply import Mapper
from serving.imports.mapping import parse_mapping
from serving.imports.orders import member_messages, order_messages
from serving.imports.readers import examine, read
from tests.sealing import opened, sealer

NOW = 1_795_380_000_000_000
FINISH = Finish("events", "items", 10_000, sealer)
REGIONS = ["CN", "DE", "US", "GB", "IT", "FR", "JP", "RU", "IN", "BR", "HK", "ES", "AU", "KR", "SG"]
MAPPER = Mapper(
    parse_mapping(
        """
name: t
events:
  - type: identify
    ids: [{type: user_id, path: u}, {type: phone, path: phone}, {type: email, path: mail}]
    traits: {plan: {value: x}}
""",
        "t.yaml",
    )
)
KINDS = [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]


@lru_cache
def example_of(region: str, kind: int) -> str:
    """A national number of a region, as libphonenumber gives it for an example."""
    number = phonenumbers.example_number_for_type(region, kind)
    assert number is not None
    return phonenumbers.national_significant_number(number)


@st.composite
def numbers(draw: st.DrawFn, region: str) -> phonenumbers.PhoneNumber:
    """A valid number of a region."""
    model = example_of(region, draw(st.sampled_from(KINDS)))
    digits = model[:-5] + draw(st.text("0123456789", min_size=5, max_size=5))
    number = phonenumbers.parse(f"+{phonenumbers.country_code_for_region(region)}{digits}")
    assume(phonenumbers.is_valid_number(number))
    return number


SEPARATORS = [
    " ",
    "-",
    ".",
    "\u00a0",
    "\u2009",
    "\u2010",
    "\u2011",
    "\u2012",
    "\u2013",
    "\u2014",
    "\u2015",
    "\u2212",
    "\u200b",
    "",
]
INVISIBLE = ["", "\u200e", "\u200b", "\ufeff", "\u202a", "\u202c", "\u2066", "\u2069", " ", "\t", "\u00a0"]
GUARDS = ["{}", "'{}", "`{}", '="{}"', '"{}"', "{};", "{},", "{}\t", "\u2019{}"]


@st.composite
def writings(draw: st.DrawFn, number: phonenumbers.PhoneNumber, region: str) -> str:
    """A number as somebody in a region may write it."""
    code, national = str(number.country_code), phonenumbers.national_significant_number(number)
    forms = [
        f"+{code} {national}",
        f"00{code} {national}",
        f"(+{code}) {national}",
        f"+{code}-{national}",
        f"+00{code} {national}",
    ]
    if phonenumbers.ndd_prefix_for_region(phonenumbers.region_code_for_number(number), True) == "0":
        forms.append(f"+{code} (0){national}")
    forms.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
    forms.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.RFC3966))
    if phonenumbers.region_code_for_number(number) == region:
        forms.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL))
    written = draw(st.sampled_from(forms))
    if written.startswith("tel:"):
        return written
    if " " not in written[5:] and draw(st.booleans()):
        cut = draw(st.integers(len(written) - 6, len(written) - 2))
        written = f"{written[:cut]}{draw(st.sampled_from(SEPARATORS))}{written[cut:]}"
    if re.fullmatch(r"\+?[0-9]+", written) and draw(st.booleans()):
        written += ".0"
    if draw(st.booleans()):
        written = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in written)
    written = draw(st.sampled_from(GUARDS)).format(written)
    return draw(st.sampled_from(INVISIBLE)) + written + draw(st.sampled_from(INVISIBLE))


def ids_of(message: object, path: str = "") -> set[str]:
    """The identifiers of a message in Segment's form, as the collector writes them, opened."""
    body = json.dumps(message if path else {"batch": [message]}).encode()
    dialect = Segment(path)
    found = dialect.open(Incoming("POST", f"/v1/{path or 'batch'}", {}, {}, "", body))
    (only,) = found.messages
    assert not isinstance(only, Broken)
    event = opened(FINISH(dialect.read(only, found), Arrival("shop", NOW)).value)
    return {f"{one.type}:{one.value}" for one in event.ids if one.type != ORDER_ID}


def by_every_way(phone: str, mail: str) -> list[set[str]]:
    """Whom a contact names, by each way in, besides the member u-1."""
    order = {"order_id": "o-1", "status": "paid", "placed_at": "2026-06-01T12:00:00Z", "currency": "CNY", "total": 1}
    contact = {"member_id": "u-1", "phone": phone, "email": mail}
    traits = {"phone": phone, "email": mail}
    return [
        ids_of({"type": "identify", "userId": "u-1", "traits": traits}),
        ids_of({"userId": "u-1", "traits": traits}, "identify"),
        ids_of({"type": "track", "event": "E", "userId": "u-1", "context": {"traits": traits}}),
        ids_of(order_messages(order | {"customer": contact})[0]),
        ids_of(order_messages(order | {"customer": {"member_id": "u-1", "ids": [
            {"type": "phone", "value": phone}, {"type": "email", "value": mail}]}})[0]),
        ids_of(member_messages(contact)[0]),
        ids_of(member_messages({"member_id": "u-1", "traits": traits})[0]),
        ids_of(MAPPER.map({"u": "u-1", "phone": phone, "mail": mail})[0]),
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(REGIONS))
def test_one_phone_however_it_is_written_by_every_way_in(data: st.DataObject, region: str) -> None:
    number = data.draw(numbers(region))
    written = data.draw(writings(number, "CN"))
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert read_phone(written, "CN") == e164
    if normalise("phone", e164) is None:  # a number that the shipped rules block, such as 13800138000
        return
    assert all(ids == {"user_id:u-1", f"phone:{e164}"} for ids in by_every_way(written, "none@")), by_every_way(written, "none@")


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(REGIONS), st.sampled_from(REGIONS))
def test_one_phone_however_it_is_written_in_any_region(data: st.DataObject, of: str, region: str) -> None:
    number = data.draw(numbers(of))
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert read_phone(data.draw(writings(number, region)), region) == e164
    assert read_phone(e164, region) == e164


WIDE = "\uff0b86" + "".join(chr(ord(digit) + 0xFEE0) for digit in "13900019001")
WRITTEN = [
    "13900019001", "(+86) 13900019001", "139\u00a00001\u00a09001", WIDE, "139\u20110001\u20119001", "\u202a13900019001\u202c",
    "tel:13900019001", "'13900019001", '="13900019001"', "13900019001.0", "13900019001\t",
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "xlsx"])
def test_files_are_a_way_in_as_well(tmp_path: Path, suffix: str) -> None:
    """There a phone may be a number, too; in a workbook ``="..."`` is a formula, and no text."""
    file = tmp_path / f"phones.{suffix}"
    phones: list[str | int | float] = [one for one in WRITTEN if suffix != "xlsx" or not one.startswith("=")]
    phones += [13900019001, 13900019001.0]
    if suffix == "csv":
        with file.open("w", encoding="utf-8", newline="") as written:
            csv.writer(written).writerows([["u", "phone", "mail"], *(["u-1", phone, ""] for phone in phones)])
    elif suffix == "jsonl":
        file.write_text("".join(json.dumps({"u": "u-1", "phone": phone}) + "\n" for phone in phones), encoding="utf-8")
    else:
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        for row in [["u", "phone", "mail"], *(["u-1", phone, None] for phone in phones)]:
            sheet.append(row)
        book.save(file)
    records = [row.record for row in read(examine(file))]
    assert len(records) == len(phones)
    for phone, record in zip(phones, records, strict=True):
        assert ids_of(MAPPER.map(record)[0]) == {"user_id:u-1", "phone:+8613900019001"}, phone


NEARLY = st.text(st.sampled_from("0123456789 +-()./,;x#e*:t\u00a0\u200b\u2011\uff11'\"="), min_size=1, max_size=30)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A writing of a number in which signs are missing, doubled or others."""
    written = draw(writings(draw(numbers(draw(st.sampled_from(REGIONS)))), "CN"))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(written)))
        written = written[:at] + draw(NEARLY | st.just(""))[:2] + written[at + draw(st.integers(0, 1)) :]
    return written


def digits_of(text: str) -> str:
    """The digits of any script, as those of ASCII."""
    return "".join(str(int(sign)) for sign in unicodedata.normalize("NFKC", text) if sign.isdecimal())


@settings(max_examples=600, deadline=None)
@given(damaged() | NEARLY | st.text(max_size=30), st.sampled_from(REGIONS))
@example("13900019001/13800019002", "CN")
@example("+86 139 0001 9001 138", "CN")
@example("+4900-1512-3400000", "CN")
def test_what_is_read_was_written_and_nothing_else(written: str, region: str) -> None:
    """All digits of the number, and none but a country code, zeros to dial by and a spreadsheet's zero besides."""
    try:
        e164 = read_phone(written, region)
    except ValueError:
        return
    assert read_phone(e164, region) == e164
    number = phonenumbers.parse(e164)
    national = phonenumbers.national_significant_number(number)
    texts = (written, re.sub(r"\.0+\W*$", "", written))
    behind = next(text for text in map(digits_of, texts) if text.endswith(national))
    before = behind.removesuffix(national)
    code = str(number.country_code)
    dialled = {"", "0", "00", "011", "810", "8", "1", "06"}
    assert before in {a + b + c for a in dialled for b in ("", code) for c in ("", "0", "8", "1", "06")}
    assert phonenumbers.is_possible_number(number)
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", e164)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(numbers("CN") | numbers("DE") | numbers("GB"), min_size=2, max_size=2),
    st.sampled_from([" ", "/", ",", ";", " / ", "\n", " or ", "\u3001", "-", "|"]),
    st.sampled_from(REGIONS),
)
def test_two_phones_are_nobodys(two: list[phonenumbers.PhoneNumber], between: str, region: str) -> None:
    formats = phonenumbers.PhoneNumberFormat
    for style in (formats.E164, formats.INTERNATIONAL, formats.NATIONAL):
        written = between.join(phonenumbers.format_number(one, style) for one in two)
        with pytest.raises(ValueError, match=r"^(it|there) "):
            read_phone(written, region)
        assert not any("phone:" in key for ids in by_every_way(written, "none@") for key in ids)


NAMES = st.from_regex(r"[a-z][a-z0-9._+\-]{0,20}", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z]{2,10}(\.[a-z]{2,6}){1,2}", fullmatch=True)
ADDRESSES = [
    "{}",
    " {} ",
    "<{}>",
    '"{}"',
    "mailto:{}",
    "MAILTO:{}?subject=a",
    "Li Na <{}>",
    '"Li, Na" <{}>',
    "{};",
    "{}.",
    "\u200b{}\ufeff",
    "'{}",
]


@settings(max_examples=150, deadline=None)
@given(NAMES, DOMAINS, st.sampled_from(ADDRESSES), st.booleans(), st.booleans())
def test_one_address_however_it_is_written_by_every_way_in(
    name: str, domain: str, around: str, wide: bool, capital: bool
) -> None:
    address = f"{name}@{domain}"
    assume(normalise("email", address) is not None)
    shown = address.upper() if capital else address
    written = around.format(shown.replace("@", "\uff20") if wide else shown)
    assert read_email(written) == address
    expected = {"user_id:u-1", f"email:{address}"}
    assert all(ids == expected for ids in by_every_way("1", written)), by_every_way("1", written)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab@.,;<> "*:\uff20\u3002-_'), max_size=20))
def test_an_address_that_is_read_was_written(written: str) -> None:
    try:
        address = read_email(written)
    except ValueError:
        return
    assert re.fullmatch(r"[^@\s,;<>*]+@[a-z0-9_\-]+(\.[a-z0-9_\-]+)*", address)
    assert read_email(address) == address
    plain = str.maketrans({"\uff20": "@", "\u3002": "."})
    assert address.translate(plain) in written.lower().translate(plain)


def test_a_contact_alone_that_names_nobody_is_no_identifier() -> None:
    with pytest.raises(InvalidEvent, match="identifies anybody"):
        ids_of({"type": "identify", "traits": {"phone": "13900019001/13800019002"}})
