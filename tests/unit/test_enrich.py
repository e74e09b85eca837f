"""Enrichment: the client, the campaign, the channel, the place, robots; and the columns that come of it."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdp.errors import CdpError
from cdp.hosts import host_of, site_of
from serving.collect.draft import Draft
from serving.collect.enrich import NO_AGENT, Enricher, InvalidTable, MaxMind, parse_table, shipped_document, shipped_table
from serving.collect.enrich.agent import Agent, AgentReader
from serving.collect.enrich.enricher import REMEMBERED_AGENTS
from serving.collect.enrich.ip import kept, read_ip
from serving.collect.enrich.traffic import Visit
from sinks.rows import add_fact, new_rows
from sinks.tables import TABLES
from tests.mmdb import write_mmdb

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
WECHAT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
    " MicroMessenger/8.0.44(0x18002c2d) NetType/WIFI Language/zh_CN"
)
TABLET = "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
HARMONY = (
    "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1 Mobile"
)
TV = "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/5.0 TV Safari/538.1"
CUBOT = "Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36"
SHOP = "https://shop.example.com.cn/sale"


@cache
def reader() -> AgentReader:
    return AgentReader()


@cache
def enricher() -> Enricher:
    return Enricher(shipped_table())


def page(url: str = "", referrer: str = "", **context: Any) -> Draft:
    return Draft("page", context={"page": {"url": url, "referrer": referrer}, **context})


def channel(url: str = SHOP, referrer: str = "", **context: Any) -> str:
    return enricher().enrich(page(url, referrer, **context), "", "").traffic


@pytest.mark.parametrize(
    ("text", "browser", "os", "device"),
    [
        (CHROME, "Chrome", "Windows", "desktop"), (WECHAT, "WeChat Browser", "iOS", "mobile"),
        (TABLET, "Chrome", "Android", "tablet"),
        (HARMONY, "Chrome", "HarmonyOS", "mobile"), (TV, "Safari", "Tizen", "tv"),
        (CUBOT, "Chrome Mobile", "Android", "mobile"),
    ],
)  # fmt: skip
def test_the_client_of_a_user_agent(text: str, browser: str, os: str, device: str) -> None:
    agent = reader().read(text)
    assert (agent.client["browser"], agent.client["os"], agent.client["device"], agent.robot) == (browser, os, device, "")


@pytest.mark.parametrize(
    "text",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
        "Sogou web spider/4.0", "UptimeRobot/2.0", "GPTBot/1.0", "Mozilla/5.0 (compatible; Bytespider)", "Datadog/Synthetics",
    ],
)  # fmt: skip
def test_robots_are_flagged_and_kept(text: str) -> None:
    draft = page(SHOP, userAgent=text)
    assert enricher().enrich(draft, "", "").bot
    assert draft.context["bot"]["reason"] == "robot"
    assert draft.context["client"]["device"] == "bot"


def test_a_program_is_a_robot_only_if_it_pretends_to_be_a_browser() -> None:
    def bot(draft: Draft, agent: str) -> bool:
        return enricher().enrich(draft, "1.2.3.4", agent).bot

    assert bot(page(SHOP, userAgent="curl/8.1"), "")
    assert not bot(Draft("track", event="Order Completed", context={"userAgent": "python-requests/2"}), "")
    assert bot(Draft("track", library="analytics.js"), "python-requests/2.31")
    assert bot(Draft("track", library="js"), NO_AGENT)
    assert not bot(Draft("track", library="js"), "")  # nothing is known of the request: an event that is replayed
    assert not bot(Draft("track", library="js"), CHROME)
    assert not bot(page(SHOP), "curl/8.1")  # of an unknown library: a server may speak for a person
    for library in ("analytics-python", "analytics-node", "node-js", "", "posthog-python"):
        assert not bot(Draft("page", library=library), "python-requests/2.31")
    assert not bot(Draft("track", library="analytics.js", context={"userAgent": CHROME}), "nginx-proxy/1")


def test_only_a_browser_s_request_tells_about_the_person() -> None:
    draft = Draft("track")
    enricher().enrich(draft, "8.8.8.8", "analytics-python/2.4")
    assert draft.context == {}
    enricher().enrich(draft, "8.8.8.8", CHROME)
    assert draft.context["client"]["browser"] == "Chrome"
    assert draft.context["ip"] == "8.8.8.0"


def test_an_app_names_its_own_system() -> None:
    draft = Draft(
        "screen", context={"os": {"name": "iPhone OS", "version": "17.1"}, "device": {"type": "ios", "model": "iPad7,3"}}
    )
    assert enricher().enrich(draft, "", "").traffic == "direct"
    assert draft.context["client"] == {"os": "iOS", "os_version": "17.1", "device": "tablet"}


def test_the_campaign_is_filled_up_from_the_address() -> None:
    url = f"{SHOP}?UTM_Source=bai%E5%BA%A6&utm_medium=cpc&utm_campaign=a+b&utm_id=7&bd_vid=x%20y#/c?utm_term=t"
    given = {"source": "sdk", "medium": ""}
    draft = page(url, campaign=given)
    assert enricher().enrich(draft, "", "").traffic == "paid_search"
    assert draft.context["campaign"] == {"source": "sdk", "medium": "cpc", "name": "a b", "id": "7", "term": "t"}
    assert given == {"source": "sdk", "medium": ""}  # messages of one request may share it
    assert draft.context["click_id"] == {"name": "bd_vid", "value": "x y"}
    draft = Draft("track", context={"campaign": "spring"})
    assert enricher().enrich(draft, "", "").traffic == ""
    assert draft.context["campaign"] == {"name": "spring"}


@pytest.mark.parametrize(
    ("url", "referrer", "expected"),
    [
        ("?gclid=1&utm_medium=email", "", "paid_search"), ("?fbclid=1", "https://l.facebook.com/", "social"),
        ("?fbclid=1&utm_medium=paid", "", "paid_social"), ("?qz_gdt=1", "", "paid_social"), ("?clickid=1", "", "paid_social"),
        ("?utm_medium=E-Mail&utm_source=crm", "", "email"), ("?utm_medium=sms", "", "sms"), ("?utm_medium=banner", "", "display"),
        ("?utm_source=weibo&utm_medium=cpc", "", "paid_social"), ("?utm_source=www.xiaohongshu.com", "", "social"),
        ("?utm_source=douyin&utm_medium=paid-feed", "", "paid_video"),
        ("?utm_medium=cpc", "https://www.baidu.com/", "paid_search"),
        ("?utm_medium=cpc&utm_source=unheard", "", "display"), ("?utm_source=unheard", "https://www.baidu.com/", "other"),
        ("", "https://www.baidu.com/link?url=x", "search"), ("", "https://www.google.com.hk/", "search"),
        ("", "https://mail.google.com/", "email"), ("", "http://m.sogou.com/x", "search"), ("", "https://m.sm.cn/s", "search"),
        ("", "https://www.so.com/s", "search"), ("", "https://t.cn/a", "social"), ("", "https://mp.weixin.qq.com/s", "social"),
        ("", "https://www.zhihu.com/question/1", "social"), ("", "https://www.bilibili.com/", "video"),
        ("", "https://v.kuaishou.com/", "video"), ("", "https://www.toutiao.com/", "social"),
        ("", "https://s.taobao.com/", "shopping"),
        ("", "https://detail.tmall.com/", "shopping"), ("", "https://item.jd.com/", "shopping"),
        ("", "https://chat.deepseek.com/", "ai_assistant"), ("", "https://chatgpt.com/", "ai_assistant"),
        ("", "android-app://com.tencent.mm", "social"), ("", "https://blog.example.org/", "referral"),
        ("", "https://www.example.com.cn/", "internal"), ("", "https://pay.example.com.cn:443/", "internal"),
        ("", "https://cashier.alipay.com/x", "internal"), ("", "https://other.com.cn/", "referral"), ("", "$direct", "direct"),
        ("", "", "direct"),
    ],
)  # fmt: skip
def test_channels(url: str, referrer: str, expected: str) -> None:
    assert channel(SHOP + url, referrer) == expected


def test_only_arrivals_have_a_channel() -> None:
    def of(draft: Draft) -> str:
        return enricher().enrich(draft, "", "").traffic

    assert of(Draft("track", event="Product Viewed", properties={"url": SHOP})) == ""
    assert of(Draft("identify", context={"campaign": {"source": "baidu"}})) == ""
    assert of(Draft("track", event="Application Opened", properties={"url": "shop://x?utm_medium=push"})) == "push"
    assert of(Draft("page", properties={"url": SHOP, "referrer": "https://weibo.com/"})) == "social"
    assert of(Draft("track", event="A", context={"page": {"url": SHOP, "referrer": "https://weibo.com/"}})) == "social"


def test_another_table_counts_from_the_next_event_on() -> None:
    own = Enricher(shipped_table())
    url = f"{SHOP}?ref=friend"
    assert own.enrich(page(url), "", "").traffic == "direct"
    document = {"parameters": {"ref": "source"}, "sites": {"member_get_member": {"friend": []}}, "own_domains": ["example.org"]}
    own.use(parse_table(document))
    assert own.enrich(page(url), "", "").traffic == "member_get_member"
    assert own.enrich(page(SHOP, "https://www.example.org/"), "", "").traffic == "internal"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "the table"), ({"channels": {}}, "channels"), ({"own_domains": "a.com"}, "own_domains"),
        ({"own_domains": ["a b"]}, "own_domains"), ({"return_domains": [5]}, "return_domains"),
        ({"parameters": {"utm_x": "surprise"}}, "parameters.utm_x"), ({"parameters": {"a b": "name"}}, "parameters"),
        ({"click_ids": {"gclid": "Paid Search"}}, "click_ids.gclid"), ({"click_ids": []}, "click_ids"),
        ({"mediums": {"email": "email"}}, "mediums.email"), ({"mediums": {"E": []}}, "mediums.E"),
        ({"paid": {"medium": []}}, "paid.medium"), ({"paid": {"channels": {"search": 5}}}, "paid.channels.search"),
        ({"sites": {"search": {"baidu": "baidu.com"}}}, "sites.search.baidu"), ({"sites": {"search": []}}, "sites.search"),
        ({"sites": {"search": {"a": ["https://a.com/"]}}}, "sites.search.a"), ({1: {}}, "the table"),
        ({"sites": {"search": {"a": ["a.*.com"]}}}, "sites.search.a"), ({"sites": {"search": {"a": [""]}}}, "sites.search.a"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_its_place(document: Any, path: str) -> None:
    with pytest.raises(InvalidTable) as error:
        parse_table(document)
    assert error.value.path == path


def test_of_two_sites_with_one_name_the_first_counts_and_it_is_said() -> None:
    table = parse_table({"sites": {"search": {"a": ["x.com", "X", "y.*"]}, "social": {"b": ["www.x.com", "x", "y.*"], "A": []}}})
    assert {(site.channel, site.name) for site in (table.site("x.com"), table.site("x"), table.site("y.org"), table.site("a"))
            if site} == {("search", "a")}  # fmt: skip
    assert table.warnings == (
        "sites.social.b: 'x.com' stands also at sites.search.a, which counts",
        "sites.social.b: 'x' stands also at sites.search.a, which counts",
        "sites.social.b: 'y' stands also at sites.search.a, which counts",
        "sites.social.A: 'a' stands also at sites.search.a, which counts",
    )
    assert parse_table(shipped_document()).warnings == ()


def test_a_name_of_nothing_but_space_is_nobody() -> None:
    table = parse_table({"sites": {"search": {"a": [" "]}}})
    assert table.site("") is None
    assert table.decide(Visit(medium="strange")).channel == "other"


def test_the_shipped_table_names_who_decided() -> None:
    table = parse_table(shipped_document())
    decision = table.decide(Visit(source="baidu", medium="cpc"))
    assert (decision.channel, decision.reason) == ("paid_search", "baidu, utm_medium cpc")
    assert table.decide(Visit()).channel == "direct"


@pytest.mark.parametrize(
    ("address", "host", "site"),
    [
        ("https://u:p@WWW.Shop.Example.co.uk:8443/x?y#z", "shop.example.co.uk", "example.co.uk"), ("//a.b.cn/", "a.b.cn", "b.cn"),
        ("brand.tmall.com/x", "brand.tmall.com", "brand.tmall.com"), ("http://[::1]:80/", "", ""),
        ("http://127.0.0.1/", "127.0.0.1", "127.0.0.1"), ("http://localhost:3000", "localhost", "localhost"),
        ("$direct", "", ""), ("about:blank", "", ""),
        ("https://商店.中国/", "商店.中国", "商店.中国"), ("", "", ""), ("https://", "", ""), ("a b.com", "", ""),
    ],
)  # fmt: skip
def test_hosts(address: str, host: str, site: str) -> None:
    assert (host_of(address), site_of(host_of(address))) == (host, site)


@pytest.mark.parametrize(
    ("text", "whole", "network"),
    [
        ("1.2.3.4", "1.2.3.4", "1.2.3.0"), (" 1.2.3.4:5678 ", "1.2.3.4", "1.2.3.0"), ("1.2.3.4, 10.0.0.1", "1.2.3.4", "1.2.3.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2:3::4", "2001:db8:1::"), ("[2001:db8::1]:443", "2001:db8::1", "2001:db8::"),
        ("::ffff:1.2.3.4", "1.2.3.4", "1.2.3.0"), ("fe80::1%eth0", "fe80::1", "fe80::"),
    ],
)  # fmt: skip
def test_addresses(text: str, whole: str, network: str) -> None:
    ip = read_ip(text)
    assert ip is not None
    assert (kept(ip, "keep"), kept(ip, "truncate"), kept(ip, "drop")) == (whole, network, "")


def test_the_place_is_looked_up_before_the_address_is_cut(tmp_path: Path) -> None:
    city = {"country": {"iso_code": "CN"}, "subdivisions": [{"names": {"en": "Shanghai"}}], "city": {"names": {"zh-CN": "上海"}}}
    (tmp_path / "geo.mmdb").write_bytes(write_mmdb({"1.2.3.4/32": city, "5.6.0.0/16": {"country": {"iso_code": "US"}}}))
    geo = MaxMind(tmp_path / "geo.mmdb")
    for mode, left in (("keep", "1.2.3.4"), ("truncate", "1.2.3.0"), ("drop", None)):
        draft = Draft("track", context={"ip": "1.2.3.4"}, properties={"$ip": "1.2.3.4", "x": 1})
        Enricher(shipped_table(), geo, mode).enrich(draft, "5.6.7.8", CHROME)  # type: ignore[arg-type]
        assert draft.context["geo"] == {"country": "CN", "region": "Shanghai", "city": "上海"}
        assert (draft.context.get("ip"), draft.properties.get("$ip"), draft.properties["x"]) == (left, left, 1)
    assert geo.find("5.6.7.8") == {"country": "US"}
    assert geo.find("9.9.9.9") == geo.find("::1") == geo.find("nonsense") == {}
    draft = Draft("track", context={"ip": "unknown"})
    Enricher(shipped_table(), geo).enrich(draft, "5.6.7.8", CHROME)
    assert (draft.context["ip"], draft.context["geo"]) == ("5.6.7.0", {"country": "US"})


def test_an_unusable_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.mmdb").write_bytes(b"nothing")
    for name in ("bad.mmdb", "missing.mmdb"):
        with pytest.raises(CdpError, match="CDP_GEOIP"):
            MaxMind(tmp_path / name)


def test_what_is_remembered_is_bounded() -> None:
    own = Enricher(shipped_table())
    own._agents._make = lambda text: Agent({}, "", False)
    for number in range(REMEMBERED_AGENTS + 5):
        own.enrich(Draft("track", context={"userAgent": str(number)}), "", "")
    assert len(own._agents) == 5


FACT = {"p": 1, "o": 2, "one_id": "P1", "person": 1, "origin": [0, 2], "message_id": "m", "kind": "page", "time": 1}


def row(**fields: Any) -> dict[str, Any]:
    rows = new_rows()
    add_fact(rows, msgspec.json.encode({**FACT, **fields}), 0, 0)
    return dict(zip((name for name, _ in TABLES["events"].columns), rows["events"][0], strict=True))


def test_columns_of_the_facts() -> None:
    draft = page(f"{SHOP}?bd_vid=v1", "https://www.baidu.com/s", userAgent=CHROME, geo={"country": "CN"})
    found = enricher().enrich(draft, "", "")
    columns = row(bot=found.bot, traffic=found.traffic, context=draft.context)
    assert (columns["bot"], columns["traffic"], columns["browser"], columns["os"]) == (0, "paid_search", "Chrome", "Windows")
    assert (columns["device_type"], columns["country"], columns["referrer_domain"]) == ("desktop", "CN", "baidu.com")
    assert columns["click_id"] == "v1"
    assert (row()["bot"], row(bot=True)["bot"], row()["traffic"]) == (0, 1, "")


def test_one_odd_field_hides_no_other() -> None:
    context = {"page": {"path": None, "referrer": "https://weibo.com/"}, "client": "x", "campaign": {"name": 5, "source": "crm"}}
    columns = row(context=context)
    assert (columns["path"], columns["referrer_domain"], columns["browser"]) == ("", "weibo.com", "")
    assert (columns["campaign"], columns["campaign_source"]) == ("", "crm")
