"""snowplow-tracker for Python: every event, by POST and by GET, with base64 and without (--app names the application)."""

import time
import warnings
from datetime import UTC, datetime, timedelta

from snowplow_tracker import (
    Emitter,
    PagePing,
    PageView,
    ScreenView,
    SelfDescribing,
    SelfDescribingJson,
    StructuredEvent,
    Subject,
    Tracker,
)

from tests.vendors.facts import Facts, arguments, millis

SCHEMA = "iglu:com.acme/{}/jsonschema/1-0-0"


def main() -> None:
    args, facts = arguments(), Facts()
    warnings.simplefilter("ignore", DeprecationWarning)
    ways = [("post", True)] if args.one else [("post", True), ("post", False), ("get", True), ("get", False)]
    for method, base64 in ways:
        emitter = Emitter(args.url, method=method, on_failure=lambda sent, left: facts.error(f"{len(left)} failed"))
        run = f"{method}{int(base64)}_{args.run}"
        subject = Subject().set_user_id(f"ann-{run}").set_domain_user_id(f"duid-{run}").set_lang("zh-CN")
        tracker = Tracker("tests", emitter, subject, args.app, encode_base64=base64)
        if args.one:
            tracker.track(StructuredEvent("shop", f"One {run}", value=1.5))
            facts.event("track", f"One {run}", properties={"value": 1.5})
        else:
            calls(facts, tracker, run)
        tracker.flush()
        deadline = time.monotonic() + 20
        while busy(emitter) and time.monotonic() < deadline:
            time.sleep(0.02)  # a failed request is repeated by a timer of its own
    facts.say()


def busy(emitter: Emitter) -> bool:
    with emitter.lock:
        return emitter.event_store.size() > 0 or emitter.retry_timer.is_active()


def calls(facts: Facts, tracker: Tracker, run: str) -> None:
    moment = millis(datetime.now(UTC) - timedelta(days=4, milliseconds=9))
    contexts = [SelfDescribingJson(SCHEMA.format("basket"), {"items": 2, "note": "茶"})]

    def sent(event_id: str | None, kind: str, event: str, **more: object) -> None:
        facts.event(kind, event, "ann" + run, message_id=event_id, **more)

    view = PageView(f"https://shop.example/{run}?utm_source=wechat&utm_medium=social", f"Page {run}", "https://ref.example/",
                    context=contexts, true_timestamp=moment)  # fmt: skip
    sent(tracker.track(view), "page", f"Page {run}", time=moment,
         context={"page": {"url": view.page_url, "referrer": "https://ref.example/"}})  # fmt: skip
    sent(tracker.track(PagePing(f"https://shop.example/{run}", "Ping", min_x=0, max_x=9)), "track", "Page Ping")
    sent(
        tracker.track(StructuredEvent("shop", f"add to basket {run}", "label", "property", 9.5)), "track", f"add to basket {run}",
        properties={"category": "shop", "label": "label", "value": 9.5},
    )  # fmt: skip
    viewed = SelfDescribingJson(SCHEMA.format("video_started"), {"price": 20.5, "nested": {"list": [1, "茶"]}})
    sent(
        tracker.track(SelfDescribing(viewed, context=contexts, true_timestamp=moment)), "track", "Video Started",
        time=moment, properties={"price": 20.5, "nested": {"list": [1, "茶"]}},
    )  # fmt: skip
    sent(tracker.track(ScreenView("5f3f3c9e-0000-4000-8000-000000000000", f"Screen {run}")), "screen", f"Screen {run}")
    line = {"sku": "s-1", "price": 9.5, "quantity": 2, "name": "Tea"}
    tracker.track_ecommerce_transaction(f"o-{run}", 19.0, "west", currency="CNY", items=[dict(line)], tstamp=moment)
    facts.event(
        "track", "Order Completed", "ann" + run, time=moment, properties={"order_id": f"o-{run}", "total": 19, "currency": "CNY"}
    )
    facts.event("track", "Order Item", "ann" + run, time=moment, properties={"order_id": f"o-{run}"} | line)
    facts.person("ann" + run, [f"user_id:ann-{run}", f"anonymous_id:duid-{run}"])


main()
