"""From a real SDK to a profile, the analytics and a ledger that balances."""

import datetime
import json
import time
import uuid

import httpx
import pytest
import segment.analytics.client as sdk


@pytest.mark.stack
def test_an_sdks_events_become_a_profile_and_the_ledger_balances(stack) -> None:
    url, person = stack.settings.api_url, f"u-{uuid.uuid4().hex[:12]}"
    headers = {"Authorization": f"Bearer {stack.token}"}
    failures: list[Exception] = []
    client = sdk.Client(stack.write_key, host=url, gzip=True, on_error=lambda error, _: failures.append(error))
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    viewed = f"Viewed {person}"
    client.track(anonymous_id=f"a-{person}", event=viewed, timestamp=moment)
    client.identify(person, {"email": f"{person}@example.com", "name": "Ann"}, anonymous_id=f"a-{person}")
    order = {"order_id": person, "total": 99.5, "currency": "CNY", "products": [{"sku": "s", "quantity": 1, "price": 99.5}]}
    for _ in range(2):  # the same message twice is one order
        client.track(person, "Order Completed", order, message_id=f"m-{person}", timestamp=moment + datetime.timedelta(minutes=5))
    client.flush()
    client.shutdown()
    assert failures == []

    with httpx.Client(base_url=url, headers=headers, timeout=20) as api:
        deadline = time.monotonic() + 60
        while True:
            answer = api.get("/v1/profiles", params={"id": f"user_id:{person}"})
            if answer.status_code == 200 and answer.json()["orders"]["count"] == 1 and len(answer.json()["identifiers"]) == 3:
                break
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.1)
        profile = answer.json()
        assert {f"{i['type']}:{i['value']}" for i in profile["identifiers"]} == {
            f"user_id:{person}", f"email:{person}@example.com", f"anonymous_id:a-{person}",
        }  # fmt: skip
        assert profile["orders"]["net_amount"] == 99.5
        assert profile["attributes"]["name"]["value"] == "Ann"
        assert profile["tags"]
        assert api.get(f"/v1/profiles/{profile['one_id']}").json()["one_id"] == profile["one_id"]

        done = stack.cdp("ledger", "--json", "--wait", "60")
        assert done.returncode == 0, done.stdout + done.stderr
        ledger = json.loads(done.stdout)
        assert ledger["balanced"]
        assert ledger["received"] == ledger["applied"] + ledger["duplicates"] + ledger["dead_lettered"] + ledger["rejected"]
        assert ledger["duplicates"] >= 1

        recent = api.get(f"/v1/profiles/{profile['one_id']}").json()["recent_events"]
        assert {event["event"] for event in recent} >= {viewed, "Order Completed"}
        steps = {"steps": [{"event": viewed}, {"event": "Order Completed", "where": {"order_id": person}}], "window": "1h"}
        funnel = api.post("/v1/analytics/funnel", json=steps).json()
        assert [step["people"] for step in funnel["steps"]] == [1, 1]
        table = {"start_event": viewed, "return_event": "Order Completed", "unit": "day", "periods": 3}
        assert sum(c["people"] for c in api.post("/v1/analytics/retention", json=table).json()["cohorts"]) == 1
        assert api.get("/readyz").json()["ready"]
        assert "cdp_ledger_events" in api.get("/metrics").text
