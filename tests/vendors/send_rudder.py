"""rudder-sdk-python: all calls, gzip as is its default; traits travel in the context."""

from datetime import UTC, datetime, timedelta

from rudderstack import analytics

from tests.vendors.facts import Facts, arguments, millis


def main() -> None:
    args, facts = arguments(), Facts()
    analytics.write_key, analytics.dataPlaneUrl, analytics.on_error = args.key, args.url, facts.error
    analytics.max_retries = 4
    if args.one:
        analytics.track(f"ann-{args.run}", f"One {args.run}", {"n": 1})
        facts.event("track", f"One {args.run}", properties={"n": 1})
    else:
        calls(facts, args.run)
    analytics.flush()
    analytics.shutdown()
    facts.say()


def calls(facts: Facts, run: str) -> None:
    ann, visitor, moment = f"ann-{run}", f"visitor-{run}", datetime.now(UTC) - timedelta(days=1, microseconds=654_321)
    added = {"product_id": "p-1", "price": 9.9, "quantity": 1}
    for _ in range(2):
        analytics.track(
            anonymous_id=visitor, event=f"Product Added {run}", properties=dict(added), timestamp=moment, message_id=f"m-{run}"
        )
    facts.event(
        "track", f"Product Added {run}", "ann", time=millis(moment), message_id=f"m-{run}", properties=added
    )  # fmt: skip
    analytics.identify(ann, {"email": f"{ann}@example.com", "phone": "", "level": "gold"}, anonymous_id=visitor)
    facts.event("identify", "", "ann", traits={"level": "gold"})
    analytics.page(ann, "Docs", f"Page {run}", {"url": "https://shop.example/docs"})
    facts.event("page", f"Page {run}", "ann", properties={"url": "https://shop.example/docs"})
    analytics.screen(ann, "Home", f"Screen {run}", {"width": 320})
    facts.event("screen", f"Screen {run}", "ann", properties={"width": 320})
    analytics.group(ann, f"g-{run}", {"name": "Tea lovers"})
    facts.event("group", "", "ann", traits={"name": "Tea lovers"})
    analytics.alias(f"old-{run}", ann)
    facts.event("alias", "", "ann")
    facts.person("ann", [f"user_id:{ann}", f"anonymous_id:{visitor}", f"email:{ann}@example.com", f"anonymous_id:old-{run}"],
                 {"level": "gold"})  # fmt: skip


main()
