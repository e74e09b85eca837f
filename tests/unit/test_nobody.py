"""Values that identify nobody, by the shipped rules; and, as important, values that look like them and are somebody's."""

import re
import time

import pytest

from rules.identity import load_identity_rules, normalise, parse_identity_rules
from rules.identity.patterns import join_patterns

NOTHING = {
    "Objective-C, Swift": ["(null)", "<null>", "nil", "<nil>", "Optional(nil)", 'Optional("null")', 'Optional("")', "%@"],
    "JavaScript": [
        "null", "undefined", "NaN", "Infinity", "-Infinity", "[object Object]", "[object Undefined]", "[object Null]",
        "[object Promise]", "user-[object Object]", "function getId() { return this.id; }", "function () { [native code] }",
        "async function id(){}", "() => user.id", "u => u.id", "class User { }", "[Function: getId]",
        "[Function (anonymous)]",
        "[object HTMLInputElement]", "Promise { <pending> }", "Symbol(id)", "Invalid Date", "[Circular]", "{}", "[]",
        "[null]",
        "undefined undefined", "null null", "null,null", "undefined-undefined", "user_undefined", "user-null",
        "userId=undefined",
        "id:null", "web_undefined", "shop1:undefined", "u(null)", '{"id":null}', '{"user_id": undefined}',
        "undefined@undefined",
    ],
    "PHP": ["Array", "NULL", "Object", "Resource id #3"],
    "Python": [
        "None", "[None]", "(None,)", "nan", "<NA>", "b'None'", "b''", "<object at 0x7f3c2a1b>",
        "<shop.User object at 0x7f3c2a1b9d30>", "<built-in function id>", "<bound method User.id of <User 7>>",
        "<function id at 0x7f3c2a1b9d30>", "<class 'NoneType'>", "{'id': None}", "NotImplemented",
    ],
    "Java, Kotlin, Scala, .NET": [
        "java.lang.Object@1b6d3586", "com.shop.User@7852e922", "[Ljava.lang.String;@1b6d3586", "[B@6d06d69c", "User@1b6d3586",
        "Optional.empty", "Optional[null]", "Some(None)", "kotlin.Unit", "System.Object", "System.String[]",
        "System.Nullable`1[System.Int32]",
    ],
    "Go": ["<nil>", "%!s(<nil>)", "%!d(<nil>)", "%!s(MISSING)", "%!v(PANIC=String method: nil pointer)", "map[]"],
    "Ruby, Perl, Lua, Dart": [
        "#<User:0x000055d5>", "#<User id: nil>", "nil", "HASH(0x55d5a1b2)", "ARRAY(0x55d5a1b2)", "table: 0x55d5a1b2", "undef",
        "Instance of 'User'",
    ],
    "SQL": ["NULL", r"\N", "DBNull", "''"],
    "templates": [
        "{{user_id}}", "{{ user.id }}", '{{ user.id | default: "" }}', "{{{id}}}", "${userId}", "${ user?.id }", "$userId",
        "$USER_ID",
        "${{ id }}", "%user_id%", "%%email%%", "%FIRST_NAME%", "<%= id %>", "<%= current_user.id %>", "<?= $id ?>",
        "<?php echo $id; ?>",
        "#{id}", "#{user.id}", "%{user_id}", "@{userId}", "$(userId)", "$[id]", "[[id]]", "{% if user %}", "{$user_id}",
        "__USER_ID__",
        "*|EMAIL|*", "*|MERGE1|*", "[USER_ID]", "[FIRST NAME]", "<user_id>", "<your user id>", "{first_name}", "{user_id}",
        ":user_id",
        "@userId", "$.user.id", "u-{{id}}", "{{first_name}} {{last_name}}", "{{user_id", "${userId", "%s", "%1$s", "%d",
        "%(user_id)s",
        "{0}", "$1", "%7B%7Buser_id%7D%7D", "%24%7BuserId%7D", "&lt;null&gt;", "&quot;undefined&quot;", "%28null%29",
        "[object%20Object]",
    ],
    "spreadsheets": [
        "#N/A", "#REF!", "#VALUE!", "#NAME?", "#NULL!", "#DIV/0!", "#NUM!", "#FIELD!", "#SPILL!", "#CALC!", "#ERROR!",
        "#GETTING_DATA",
        "#NV", "#BEZUG!", "#WERT!", "#ZAHL!", "#ÜBERLAUF!", "#VALEUR!", "#NOM?", "#N/D", "#¡VALOR!", "#¿NOMBRE?",
        "#\u041d/\u0414", "#ССЫЛКА!",
        "#ИМЯ?", "#DEĞER!", "########", "Err:502", "Loading...", "#N/A N/A",
    ],
    "names of fields": [
        "user_id", "userId", "USER_ID", "user-id", "user id", "customer_id", "customerId", "member_id", "distinct_id",
        "distinctId", "email",
        "e-mail", "phone", "mobile", "id", "ID", "uid", "uuid", "user", "username", "customer", "member", "user.id",
        "customer.email",
        "current_user.id", "event.user.id", "your-user-id", "YOUR_USER_ID", "USER_ID_HERE", "<YOUR_USER_ID_HERE>",
        "external_id",
        "anonymous_id", "anonymousId", "device_id", "client_id", "account_id", "profile_id", "contact_id", "phone_number",
        "openid",
    ],
    "nobody has logged in": [
        "anonymous", "anon", "guest", "Guest User", "anonymousUser", "AnonymousUser", "anonymous_user", "not_authenticated",
        "not authenticated", "unauthenticated", "logged_out", "logged-out", "signed_out", "not_logged_in", "notLoggedIn",
        "not set",
        "(not set)", "not_set", "no_user", "no-id", "nobody", "unknown_user", "Unknown User", "test_user", "visitor",
        "deleted_user",
        "[deleted]", "redacted", "not_provided", "not found",
    ],
    "code instead of its answer, words of other order": [
        "user?.id", "$user->id", "user::id", "user['id']", 'req.user["id"]', "getUserId()", "get_user_id()",
        "user.getId()", "auth.uid()",
        "window.userId", "dataLayer.userId", "this.user.id", "@Model.UserId", "id_client", "ID_CUSTOMER",
        "user_pseudo_id", "cookie_id",
        "first_name", "Full Name", "ga_client_id",
    ],
    "at the till": [
        "walk-in", "Walk-in Customer", "WALKIN", "cash customer", "Cash Sale", "one-time customer", "guest checkout",
        "non-member", "散客", "非会员",
        "Laufkunde",
    ],
    "further writings of templates": [
        "##first_name##", "@@NAME@@", "<<FirstName>>", "\u00abFirstName\u00bb", "$first_name$", "*{id}", "!{id}",
        "%257B%257Bid%257D%257D",
        "&#123;&#123;user_id&#125;&#125;", "Optional(Optional(nil))", 'Optional("Optional(nil)")', "map[id:<nil>]",
        "[object Object],17",
        "0x0", "0x0000000000000000000000000000000000000000", "AAAAAAAAAAAAAAAAAAAAAA==", "0,0", "keine Angabe", "No one",
        "<no value>",
    ],
    "examples": ["string", "changeme", "placeholder", "dummy", "xxx", "user_id_here"],
    "further languages": [
        "无", "未登录", "暂无", "匿名", "游客", "访客", "用户ID", "ゲスト", "未設定", "없음",
        "비회원", "unbekannt", "inconnu", "invité",
        "desconocido",
        "nessuno", "гость", "неизвестно", "bilinmiyor", "không",
    ],
    "numbers": [
        "0", "-1", '"-1"', "(-1)", "0.0", "000000", "2147483647", "-2147483648", "9223372036854775807", "00:00:00:00:00:00",
        "ffffffff-ffff-ffff-ffff-ffffffffffff", "9774d56d682e549c",
    ],
    "hashes of nothing": ["d41d8cd98f00b204e9800998ecf8427e", "D41D8CD98F00B204E9800998ECF8427E"],
    "quotes, padding, marks that nobody sees": [
        '"null"', "'undefined'", " null ", "\tNULL\n", "\u200bnull\u200b", "\ufeffundefined", "\u2066none\u2069", "`null`",
        "“null”",
        "«null»", r"\"null\"", "\uff4e\uff55\uff4c\uff4c", "\uff08null\uff09", "nu\u200bll", '="null"', "null;", "null,",
        "-", "--", "?", "???", ".",
        "…", "—", '""', '"', "()", "<>", "/",
    ],
}  # fmt: skip

SOMEBODY = [
    "names", "nameless", "jane.user", "id.ann", "get-17", "walker", "cash", "walk-in-17", "members", "member.lee",
    "map-7", "0x17",
    "AAAAAAAAAAAAAAAAAAAAAB==", "AAAA", "ann##lee", "a@@b17", "user->17", "userid_ann", "openid:ann",
    "name@shop.example", "user.ann",
    "id-17", "ID17", "anon-7f3a", "guest-17", "anonymous-0d3c9a", "null-island-42", "nullius", "undefined-17", "nonesuch",
    "nilsson",
    "nanette", "none.such@shop.example", "guest.house@shop.example", "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
    "3F2504E0-4F89-11D3-9A0C-0305E82C3301", "urn:uuid:3f2504e0-4f89-11d3-9a0c-0305e82c3301", "u_1", "u-1", "user-1", "user1",
    "user_17",
    "userid17", "user:17", "member-7", "customer/17", "id:17", "1", "7", "-7", "+7", "10", "2147483646", "1e5",
    "0x71C7656EC7ab88b098defB751B7401B5f6d8976F",
    "eth:0x71C7656EC7ab88b098defB751B7401B5f6d8976F", "$device:18f2c1d0-aa11-4b7e-9b1c-6d5f0c8e1a2b", "$device:17", "a%b-17",
    "50%off-17",
    "%E5%BC%A0%E4%B8%89", "li%40shop.example", "R&D-7", "Smith & Sons 7", "dGVzdDE3Kys/Pz8+Pg==", "abc+def/ghi=17",
    "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    "wx1234567890abcdef:oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "auth0|5f7c8ec7c33c6c004bbafe82",
    "google-oauth2|103547991597142817347",
    "us-east-1:3f2504e0-4f89-11d3-9a0c-0305e82c3301", "li@shop.example", "<li@shop.example>", "Li.Na@Shop.Example",
    "mailto:li@shop.example",
    "#17", "#A-17", "no-17", "No.17", "n/17", "test-17", "test17@shop.example", "demo", "admin", "root", "li", "Li Na",
    "null17", "x", "王小明",
    "会员17", "用户_17", "🙂", "@ann", "ann.lee", "ann-lee", "first.last", "AB-CD", "SO-1001",
    "arn:aws:iam::123456789012:user/ann", "[17]", "(17)", "<17>",
    "{17}", "user-1@shop.example", "GA1.2.1234567890.1234567890", "amp-AbC_d-17", "1-2-3", "f0f0f0f0", "00:1A:2B:3C:4D:5E",
    "0001", "objectid-5",
    "5f7c8ec7c33c6c004bbafe82", "function-7", "class-of-99", "array-4", "Optional(17)", 'Optional("u-17")', "Some(17)",
    "%17", "$17.5", "user-id-17",
    "johndoe", "black-nil", "dev-null", "jean-none", "true-north", "falseknees", "unknown-7f3a", "default-17",
    "visitor_9f2c", "9999999", "12345",
]  # fmt: skip


@pytest.mark.parametrize("value", [pytest.param(v, id=f"{who}: {v!r}") for who, values in NOTHING.items() for v in values])
def test_what_programs_write_for_nothing_is_nobody(value: str) -> None:
    for type_ in ("user_id", "anonymous_id", "openid", "a_type_that_no_rule_declares"):
        assert normalise(type_, value) is None, type_


@pytest.mark.parametrize("value", SOMEBODY)
def test_what_only_looks_like_nothing_is_somebody(value: str) -> None:
    for type_ in ("user_id", "a_type_that_no_rule_declares"):
        assert normalise(type_, value) == value, type_
        assert normalise(type_, f" {value}\t") == value, type_


@pytest.mark.parametrize("value", ["\u200bid-17\ufeff", "\u2066 id-17 \u2069", "\xa0id-17"])
def test_marks_that_nobody_sees_are_no_part_of_an_identifier(value: str) -> None:
    assert normalise("user_id", value) == normalise("any", value) == "id-17"


RULES = """
blocked: [ghost, test, '10']
blocked_patterns: ['(?i)shop-[0-9]+']
allowed: [Test]
identifiers:
  - {name: user_id, priority: 1, allowed: [shop-7]}
  - {name: card, priority: 2, normalise: [digits], blocked: ['77']}
"""


def test_a_shop_lets_a_blocked_value_through() -> None:
    rules = parse_identity_rules(RULES)
    assert normalise("user_id", "test", rules) == normalise("other", "test", rules) == "test"
    assert normalise("user_id", " TEST ", rules) == "TEST", "in any letters"
    assert normalise("user_id", "Shop-7", rules) == "Shop-7"
    assert normalise("other", "shop-7", rules) is None, "it is allowed for the other type only"
    assert normalise("user_id", "shop-8", rules) is None
    assert normalise("user_id", "'test'", rules) is None, "what is allowed is the value itself"
    assert normalise("user_id", "{{test}}", load_identity_rules()) is None


def test_what_is_blocked_for_all_types_is_blocked_for_undeclared_ones() -> None:
    rules = parse_identity_rules(RULES)
    assert normalise("other", "Ghost", rules) is None
    assert normalise("other", '"ghost"', rules) is None
    assert normalise("other", "77", rules) == "77"


def test_values_are_compared_before_and_after_normalising() -> None:
    rules = parse_identity_rules(RULES)
    assert normalise("card", "7-7", rules) is None, "after"
    assert normalise("card", "shop-12", rules) is None, "before"
    assert normalise("card", "1 0", rules) is None, "after, for all types"
    assert normalise("card", "12", rules) == "12"


def test_no_pattern_is_slow() -> None:
    """A pattern that tries too many ways would let one long value hold up a partition."""
    parts = [
        "null ",
        "<",
        "{",
        "[",
        "(",
        "%",
        "%a",
        "a.",
        "A@",
        "user_",
        "my_",
        "#",
        "0x",
        ": 0x1",
        "\\",
        "'",
        "*",
        "f-",
        "0",
        "x",
    ]
    for part in parts:
        value = (part * 1020)[:1019] + "!"
        started = time.process_time()
        normalise("user_id", value)
        normalise("user_id", value[:255])
        assert time.process_time() - started < 0.5, part


def test_patterns_put_together_match_what_each_does() -> None:
    texts = ["a", "A", "b", "B", "a\n", "aa", "ab", "abab", "c c", "cc", "x", "\u0660", "1", ""]
    patterns = [
        re.compile(text)
        for text in ("(?i)a", "b", r"(ab)\1", "(?x) c \\ c  # with a remark", "(?s)a.", "(?P<n>x)", r"(?a)\d", "a|b", "(?:)?")
    ]
    for count in range(len(patterns) + 1):
        joined = join_patterns(patterns[:count])
        for text in texts:
            each = any(pattern.fullmatch(text) for pattern in patterns[:count])
            assert any(pattern.fullmatch(text) for pattern in joined) is each, (text, count)
    shipped = load_identity_rules().others
    assert len(shipped.joined_patterns) == 1, "a group with a number would stay by itself, and cost more"
    for value in [*SOMEBODY, *(value for values in NOTHING.values() for value in values)]:
        each = any(pattern.fullmatch(value) for pattern in shipped.blocked_patterns)
        assert any(pattern.fullmatch(value) for pattern in shipped.joined_patterns) is each, value


@pytest.mark.parametrize(
    "value",
    [
        "nullnull", "undefinedundefined", "NoneNone", "nullundefined", "User{id=null}", "User{id='null'}", "User(id=None)",
        "User(None)", "UserId(value=null)", "ObjectId()", "ObjectId('')", "new ObjectId()", "NaT", "WAHR", "falso",
        "django.contrib.auth.models.AnonymousUser", "java.lang.NullPointerException", "TypeError", "NullReferenceException",
        "state.user.id", "ctx.user.id", "process.env.USER_ID", "ViewBag.UserId", "POS Customer", "retail customer",
        "Consumidor Final", "PÚBLICO EN GENERAL", "Laufkundschaft", "client de passage", "普通散客", "匿名会员", "非會員",
        "会員番号", "該当なし", "해당 없음", "не задан", "123e4567-e89b-12d3-a456-426614174000",
        "12345678-1234-1234-1234-123456789012",
    ],
)  # fmt: skip
def test_more_that_programs_and_tills_write_for_nobody(value: str) -> None:
    assert normalise("user_id", value) is None


@pytest.mark.parametrize(
    "value",
    [
        "null17null", "annullata", "User{id=17}", "User(id=u-17)", "ObjectId('507f1f77bcf86cd799439011')", "f(x)", "jane(null17)",
        "terror", "error-17", "jane.error17", "vraiment", "faux-17", "pos-customer-17", "Laufkunde 17", "会员17", "store.jane",
        "state-17", "123e4567-e89b-12d3-a456-426614174001", "natalie", "nat-17", "anonymous_user_17",
    ],
)  # fmt: skip
def test_more_that_looks_so_and_is_somebody(value: str) -> None:
    assert normalise("user_id", value) is not None
