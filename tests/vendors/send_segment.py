"""segment-analytics-python: all calls, with gzip, and one message twice."""

from datetime import UTC, datetime, timedelta

from segment import analytics

from tests.vendors.facts import Facts, arguments, millis


def main() -> None:
    args, facts = arguments(), Facts()
    analytics.write_key, analytics.host, analytics.on_error, analytics.gzip = args.key, args.url, facts.error, True
    analytics.max_retries = 4
    run, moment = args.run, datetime.now(UTC) - timedelta(days=2, hours=3, microseconds=123_456)
    ann, visitor = f"ann-{run}", f"visitor-{run}"
    if args.one:
        analytics.track(ann, f"One {run}", {"n": 1})
        facts.event("track", f"One {run}", properties={"n": 1})
    else:
        calls(facts, run, ann, visitor, moment)
    analytics.flush()
    analytics.shutdown()
    facts.say()


def calls(facts: Facts, run: str, ann: str, visitor: str, moment: datetime) -> None:
    products = [{"product_id": "p-1", "sku": "s-1", "name": "Tea 茶", "price": 19.5, "quantity": 2}]
    page = {"path": "/tea", "url": "https://shop.example/tea?x=1", "title": "Tea"}
    context = {"campaign": {"name": "spring", "source": "wechat", "medium": "social"}, "page": page, "ip": "203.0.113.7"}
    analytics.track(
        anonymous_id=visitor, event=f"Product Viewed {run}", properties=products[0], timestamp=moment, context=dict(context)
    )
    facts.event(
        "track", f"Product Viewed {run}", "ann", time=millis(moment), properties=products[0],
        context={"campaign": context["campaign"], "page": page},
    )  # fmt: skip
    analytics.identify(ann, {"email": f"{ann}@example.com", "city": "上海", "age": 31}, anonymous_id=visitor)
    facts.event("identify", "", "ann", traits={"city": "上海", "age": 31})
    order = {"order_id": f"o-{run}", "total": 39.0, "currency": "CNY", "products": products}
    for _ in range(2):
        analytics.track(ann, "Order Completed", dict(order), message_id=f"m-{run}", timestamp=moment + timedelta(minutes=5))
    facts.event("track", "Order Completed", "ann", message_id=f"m-{run}", time=millis(moment) + 300_000, properties=order)
    analytics.page(ann, "Docs", f"Page {run}", {"url": "https://shop.example/docs"})
    facts.event("page", f"Page {run}", "ann", properties={"url": "https://shop.example/docs"})
    analytics.screen(ann, "Home", f"Screen {run}", {"width": 320})
    facts.event("screen", f"Screen {run}", "ann", properties={"width": 320})
    analytics.group(ann, f"g-{run}", {"name": "Tea lovers", "members": 3})
    facts.event("group", "", "ann", traits={"name": "Tea lovers", "members": 3})
    analytics.track(anonymous_id=f"old-{run}", event=f"Before {run}")
    facts.event("track", f"Before {run}", "ann")
    analytics.alias(f"old-{run}", ann)
    facts.event("alias", "", "ann")
    analytics.track(f"bob-{run}", f"Other {run}", {"nested": {"list": [1, 2.5, None, True, "x"]}})
    facts.event("track", f"Other {run}", "bob", properties={"nested": {"list": [1, 2.5, None, True, "x"]}})
    facts.person("ann", [f"user_id:{ann}", f"anonymous_id:{visitor}", f"email:{ann}@example.com", f"anonymous_id:old-{run}"],
                 {"city": "上海", "age": 31})  # fmt: skip
    facts.person("bob", [f"user_id:bob-{run}"])


main()
