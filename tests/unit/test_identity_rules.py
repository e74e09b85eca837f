"""Identifiers in their normal form, values that identify nobody, and what is refused in identity.yaml."""

from itertools import pairwise

import pytest

from cdp.errors import CdpError
from rules.identity import load_identity_rules, normalise, parse_identity_rules, priorities
from rules.identity.model import Limit

UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


@pytest.mark.parametrize(
    ("type_", "value", "normal"),
    [
        ("phone", "13800000000", "+8613800000000"),
        ("phone", " 138-0000 0000 ", "+8613800000000"),
        ("phone", "\uff11\uff13\uff18" + "\uff10" * 8, "+8613800000000"),
        ("phone", "+86 138 0000 0000", "+8613800000000"),
        ("phone", "008613800000000", "+8613800000000"),
        ("phone", "8613800000000", "+8613800000000"),
        ("phone", "tel:+86-138-0000-0000", "+8613800000000"),
        ("phone", "(021) 6123-4567", "+862161234567"),
        ("phone", "+1 (415) 555-2671", "+14155552671"),
        ("phone", "0044 7911 123456", "+447911123456"),
        ("phone", "+39 06 698 1234", "+39066981234"),
        ("email", " Ann.Lee+shop@Example.COM. ", "ann.lee+shop@example.com"),
        ("email", "mailto:a@b.cn", "a@b.cn"),
        ("email", "Ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("id_card", "11010519491231002x", "11010519491231002X"),
        ("id_card", "110105 491231 002", "11010519491231002X"),
        ("idfa", UUID.upper(), UUID),
        ("gaid", f"{{{UUID.replace('-', '')}}}", UUID),
        ("imei", "49-015420-323751-8", "490154203237518"),
        ("openid", " wx123:oAbC ", "wx123:oAbC"),
        ("user_id", " U-1 ", "U-1"),
        ("nobody_declared_it", " X ", "X"),
    ],
)
def test_normal_forms(type_: str, value: str, normal: str) -> None:
    assert normalise(type_, value) == normal
    assert normalise(type_, normal) == normal, "a normal form is its own"


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        *[("phone", v) for v in ("", "138", "138****1234", "138xxxx1234", "1381234", "0000", "00000000000", "11111111111")],
        *[("phone", v) for v in ("13800138000", "+86 138 0013 8000", "null", "call", "021-61234567 ext 12", "+1 212 555 0123")],
        *[("email", v) for v in ("ann", "@b.cn", "a@", "a b@c.cn", "a@b@c.cn", "l***@example.com", "noreply@shop.example")],
        *[("user_id", v) for v in ("", "  ", "NULL", "0", "-1", "0000", "Guest", "undefined", "(not set)", "x" * 256)],
        *[("idfa", v) for v in ("00000000-0000-0000-0000-000000000000", "0" * 32, "not a uuid")],
        *[("id_card", v) for v in ("110105194912310021", "110105194913310025", "1101051949123100", "110105********002X")],
        *[("imei", v) for v in ("490154203237517", "000000000000000", "4")],
        ("anonymous_id", "00000000-0000-0000-0000-000000000000"),
        ("loyalty_card", "1234567890"),
    ],
)  # fmt: skip
def test_values_that_identify_nobody(type_: str, value: str) -> None:
    assert normalise(type_, value) is None


def test_the_region_says_where_a_bare_number_is_from() -> None:
    american = parse_identity_rules("region: US\nidentifiers: [{name: phone, priority: 1, normalise: phone}]")
    assert normalise("phone", "(415) 555-2671", american) == "+14155552671"
    assert normalise("phone", "8613800000000", american) == "+8613800000000"
    assert normalise("phone", "415-555-2671") != "+14155552671"


def test_check_digits_as_steps() -> None:
    rules = parse_identity_rules(
        "identifiers: [{name: card, priority: 1, normalise: [digits, ean]}, {name: word, priority: 2, normalise: fold}]"
    )
    assert normalise("card", "4006381333931", rules) == "4006381333931"
    assert normalise("card", "4006381333932", rules) is None
    assert normalise("word", "Straße", rules) == "strasse"


def test_shipped_types() -> None:
    rules = load_identity_rules()
    assert {name for name, t in rules.identifiers.items() if t.exclusive} == {"user_id", "member_id", "id_card"}
    assert {name for name, t in rules.identifiers.items() if t.personal} == {"phone", "email", "id_card", "passport"}
    assert rules.identifiers["member_id"].limits == (Limit(1),)
    assert rules.identifiers["phone"].limits == (Limit(3, "month"), Limit(10, "ever"))
    assert priorities()["phone"] == (7, False)
    assert all(above.priority <= below.priority for above, below in pairwise(rules.identifiers.values()))


PHONE = "name: phone, priority: 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("identifiers: [", "is not YAML"),
        ("- a", "must be a mapping"),
        ("identifiers: {}", "must hold a list under 'identifiers'"),
        ("identifiers: [7]", "rule 1 has no name"),
        ("identifiers: []\ncolour: red", "field 'colour': is not a field"),
        ("identifiers: []\nidentifiers: []", "key 'identifiers' stands twice"),
        ("identifiers: []\nversion: 0", "field 'version': must be from 1"),
        ("identifiers: []\nregion: china", "field 'region': must be two capital letters"),
        ("identifiers: []\nblocked_patterns: '('", "field 'blocked_patterns': '(' is not a regular expression"),
        (f"identifiers: [{{{PHONE}}}, {{{PHONE}}}]", "two identifier rules named 'phone'"),
        (f"identifiers: [{{{PHONE}, colour: red}}]", "rule 'phone', field 'colour': is not a field"),
        ("identifiers: [{name: phone}]", "field 'priority': is missing"),
        ("identifiers: [{name: phone, priority: 99}]", "field 'priority': must be from 1 to 98"),
        ("identifiers: [{name: 'a:b', priority: 1}]", "field 'name': must hold no colon"),
        (f"identifiers: [{{{PHONE}, strength: 0}}]", "field 'strength': must be from 0.01 to 1"),
        (f"identifiers: [{{{PHONE}, strength: true}}]", "field 'strength': must be int or float"),
        (f"identifiers: [{{{PHONE}, normalise: soundex}}]", "field 'normalise': knows trim"),
        (f"identifiers: [{{{PHONE}, blocked: [1]}}]", "field 'blocked': must be a text or a list of texts"),
        (f"identifiers: [{{{PHONE}, limits: {{fortnight: 2}}}}]", "field 'fortnight': is not a field"),
        (f"identifiers: [{{{PHONE}, limits: {{ever: 0}}}}]", "field 'ever': must be from 1"),
        (f"identifiers: [{{{PHONE}, limits: {{day: 5, ever: 5}}}}]", "day: 5 can never bind beside ever: 5"),
        (f"identifiers: [{{{PHONE}, exclusive: true, limits: {{ever: 2}}}}]", "contradicts exclusive"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, message: str) -> None:
    with pytest.raises(CdpError) as caught:
        parse_identity_rules(text)
    assert message in str(caught.value)
    assert "identity.yaml" in str(caught.value) or "two identifier rules" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
