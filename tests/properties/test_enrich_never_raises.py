"""Enrichment takes anything: it never raises, it changes nothing that it was given but the context, and says the same again."""

import copy
from functools import cache
from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.collect.draft import Draft
from serving.collect.enrich import Enricher, InvalidTable, parse_table, shipped_document, shipped_table
from serving.collect.enrich.ip import read_ip
from serving.traffic.models import TABLE_SCHEMA

text = st.text(st.characters(exclude_categories=[]), max_size=30)  # surrogates and NUL included
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
nested = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8)
addresses = text | st.builds(
    "{}://{}/{}?{}={}&{}#{}?{}".format,
    st.sampled_from(["https", "http", "android-app", ""]), text, text,
    st.sampled_from(["utm_source", "utm_medium", "gclid", "bd_vid", "UTM_CAMPAIGN"]), text | st.just("%ff%zz+%E5"),
    text, text, text,
)  # fmt: skip
agents = text | st.sampled_from(
    ["Mozilla/5.0 (compatible; Googlebot/2.1)", "curl/8", "Mozilla/5.0 (Windows NT 10.0) Chrome/120.0", "x" * 2000]
)
ips = (
    text
    | st.ip_addresses().map(str)
    | st.sampled_from(["1.2.3.4:80", "[::1]:80", "::ffff:1.2.3.4", "1.2.3.4,5.6.7.8", ":", "[", "%"])
)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "userAgent": agents | nested, "ip": ips | nested,
        "campaign": nested | st.dictionaries(st.sampled_from(["source", "medium"]), nested),
        "page": nested | st.dictionaries(st.sampled_from(["url", "referrer", "search"]), addresses | nested),
        "click_id": nested, "os": nested, "client": nested, "geo": nested, "bot": nested,
        "device": nested | st.dictionaries(st.sampled_from(["type", "model"]), nested), "x": nested,
    },
)  # fmt: skip
drafts = st.builds(
    Draft,
    kind=st.sampled_from(["track", "page", "screen", "identify", "order"]),
    event=text | st.just("Application Opened"),
    library=text | st.sampled_from(["analytics.js", "js", "analytics-python"]),
    properties=st.dictionaries(st.sampled_from(["url", "referrer", "$ip", "x"]), addresses | ips | nested, max_size=3),
    context=contexts | nested,
)


class Geo:
    def find(self, ip: str) -> dict[str, str]:
        return {"country": "CN"}


@cache
def enricher(mode: str) -> Enricher:
    return Enricher(shipped_table(), Geo(), mode)  # type: ignore[arg-type]


@settings(deadline=None)  # the first one loads the patterns of user agents
@given(drafts, ips, agents, st.sampled_from(["keep", "truncate", "drop"]))
def test_enriching_never_raises_and_repeats_itself(draft: Draft, client_ip: str, client_agent: str, mode: str) -> None:
    given_context, given_properties = draft.context, draft.properties
    before = copy.deepcopy((given_context, given_properties))
    again = Draft(draft.kind, event=draft.event, library=draft.library, properties=before[1], context=before[0])
    inner = [(value, repr(value)) for value in given_context.values()] if isinstance(given_context, dict) else []
    properties = repr(given_properties)

    found = enricher(mode).enrich(draft, client_ip, client_agent)

    assert isinstance(found.bot, bool)
    assert isinstance(found.traffic, str)
    assert repr(given_properties) == properties
    assert all(repr(value) == text for value, text in inner)  # what messages of one request share
    assert enricher(mode).enrich(again, client_ip, client_agent) == found
    assert repr((again.context, again.properties)) == repr((draft.context, draft.properties))
    kept = draft.context.get("ip") if isinstance(draft.context, dict) else None
    if mode == "drop":
        assert kept is None
    elif mode == "truncate" and kept is not None:
        ip = read_ip(kept)
        assert ip is not None
        assert int(ip) % (1 << (8 if ip.version == 4 else 80)) == 0


def fits_schema(document: Any) -> bool:
    """Whether the API's document says that this is a table."""
    return bool(jsonschema_rs.is_valid(TABLE_SCHEMA, document))


sane = st.text(st.sampled_from("aA.*/- _0é"), min_size=1, max_size=6) | st.sampled_from(["search", "x.com", "google.*", "source"])
shaped = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | sane,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(sane, inner, max_size=3), max_leaves=12,
)  # fmt: skip
sections = st.sampled_from(list(shipped_document()))
tables = st.dictionaries(
    sections, shaped | st.dictionaries(sane, st.dictionaries(sane, st.lists(sane)) | st.lists(sane) | sane), max_size=4
) | st.fixed_dictionaries({"paid": st.dictionaries(st.sampled_from(["mediums", "channels", "otherwise", "x"]), shaped)})


@given(tables)
def test_a_table_is_taken_just_when_its_schema_says_so(document: Any) -> None:
    try:
        parse_table(document)
    except InvalidTable:
        assert not fits_schema(document)
    else:
        assert fits_schema(document)


@given(nested | st.dictionaries(st.sampled_from(list(shipped_document())), nested, max_size=4))
def test_a_table_is_taken_or_refused(document: Any) -> None:
    try:
        table = parse_table(document)
    except InvalidTable as error:
        assert error.path
        return
    own = Enricher.__new__(Enricher)
    own.use(table)
    assert own.table is table
