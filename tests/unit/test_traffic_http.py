"""The traffic table over HTTP, and in force in the collector."""

import asyncio
from pathlib import Path

import pytest

from serving.collect.draft import Draft
from serving.collect.enrich import shipped_document
from serving.traffic.live import Enrichment
from tests.unit.test_keys_and_plan_http import Api

URL = "https://shop.example.com/?utm_source=friend"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


def test_the_shipped_table_until_there_is_another(api: Api) -> None:
    answer = api.call("GET", "traffic", role="analyst")
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"0"')
    assert answer.json()["table"] == shipped_document()
    assert api.call("GET", "traffic?version=1").status_code == 404


def test_a_table_is_tried_and_put_in_force(api: Api) -> None:
    table = {**shipped_document(), "sites": {"member_get_member": {"friend": []}}}
    tried = api.call("POST", "traffic/try", {"url": URL, "table": table}, role="analyst").json()
    assert (tried["channel"], tried["campaign"]) == ("member_get_member", {"source": "friend"})
    assert api.call("POST", "traffic/try", {"url": URL}).json()["channel"] == "other"
    click = api.call("POST", "traffic/try", {"url": "https://a.cn/?gclid=1", "referrer": "https://www.google.com/"}).json()
    assert (click["channel"], click["reason"], click["click_id"]) == (
        "paid_search", "click id gclid", {"name": "gclid", "value": "1"},
    )  # fmt: skip
    assert api.call("PUT", "traffic", table, role="analyst").status_code == 403
    put = api.call("PUT", "traffic?note=friends", table, role="ops", **{"If-Match": '"0"'})
    assert (put.status_code, put.json()["version"], put.json()["author"], put.json()["note"]) == (200, 1, "ops", "friends")
    assert api.call("PUT", "traffic", table, **{"If-Match": '"0"'}).status_code == 409
    assert api.call("POST", "traffic/try", {"url": URL}).json()["channel"] == "member_get_member"


def test_a_mistake_is_told_with_its_place(api: Api) -> None:
    answer = api.call("PUT", "traffic", {"click_ids": {"gclid": "Paid"}})
    assert (answer.status_code, answer.json()["field"]) == (422, "click_ids.gclid")
    assert api.call("PUT", "traffic", []).status_code == 422
    assert api.call("GET", "traffic").json()["version"] == 0


def test_the_collector_takes_a_new_table(api: Api) -> None:
    enrichment = Enrichment(api.settings)

    def channel() -> str:
        return enrichment(Draft("page", context={"page": {"url": URL}}), "", "").traffic

    assert not asyncio.run(enrichment.refresh())
    assert channel() == "other"
    api.call("PUT", "traffic", {"parameters": {"utm_source": "source"}, "sites": {"member_get_member": {"friend": []}}})
    enrichment._watched._until = 0.0  # a second goes by
    assert asyncio.run(enrichment.refresh())
    assert channel() == "member_get_member"
