"""posthog for Python: every call, by the usual way and by the one with results for each event (--app v1)."""

from datetime import UTC, datetime, timedelta

import posthog

from tests.vendors.facts import Facts, arguments, millis, uuid_of, visitor_uuid


def main() -> None:
    args, facts = arguments(), Facts()
    mode = {"capture_mode": "v1", "capture_compression": "gzip"} if args.app == "v1" else {"gzip": True}
    client = posthog.Posthog(args.key, host=args.url, on_error=facts.error, max_retries=4, **mode)
    if args.one:
        client.capture(f"One {args.run}", distinct_id=f"ann-{args.run}", properties={"n": 1}, uuid=uuid_of(args.run, "one"))
        facts.event("track", f"One {args.run}", properties={"n": 1})
    else:
        calls(facts, client, args.run)
    client.flush()
    client.shutdown()
    facts.say()


def calls(facts: Facts, client: posthog.Posthog, run: str) -> None:
    moment = datetime.now(UTC) - timedelta(days=3, microseconds=123_456)
    ann, anonymous = f"ann-{run}", visitor_uuid(run, "visitor")
    once = uuid_of(run, "viewed")
    for _ in range(2):
        client.capture(
            f"viewed {run}", distinct_id=anonymous, timestamp=moment, uuid=once,
            properties={"price": 12.5, "$current_url": "https://shop.example/tea?utm_source=wechat", "list": [1, {"a": None}]},
        )  # fmt: skip
    facts.event(
        "track", f"viewed {run}", "ann", message_id=once, time=millis(moment),
        properties={"price": 12.5, "list": [1, {"a": None}]},
    )  # fmt: skip
    client.capture("$identify", distinct_id=ann, properties={"$anon_distinct_id": anonymous, "$set": {"level": "gold"}})
    facts.event("identify", "", "ann", traits={"level": "gold"})
    client.set(distinct_id=ann, properties={"email": f"{ann}@example.com", "city": "上海"}, timestamp=moment + timedelta(hours=1))
    facts.event("identify", "", "ann", time=millis(moment) + 3_600_000, traits={"city": "上海"})
    client.set_once(distinct_id=ann, properties={"city": "never", "first_seen": "2024"}, timestamp=moment + timedelta(hours=2))
    facts.event("profile", "set_once", "ann", time=millis(moment) + 7_200_000, traits={"city": "never", "first_seen": "2024"})
    former = visitor_uuid(run, "former")
    client.capture(f"before {run}", distinct_id=former)
    facts.event("track", f"before {run}", "ann")
    client.alias(former, ann)
    facts.event("alias", "", "ann")
    client.group_identify("company", f"c-{run}", {"name": "Tea Ltd"}, distinct_id=ann)
    facts.item("company", f"c-{run}", "set", {"name": "Tea Ltd"})
    client.capture(f"bought {run}", distinct_id=ann, properties={"$set": {"vip": True}, "n": 1}, groups={"company": f"c-{run}"})
    facts.event("track", f"bought {run}", "ann", properties={"n": 1})
    page = {"$current_url": f"https://shop.example/{run}?utm_source=wechat", "title": f"Page {run}"}
    client.capture("$pageview", distinct_id=ann, properties=dict(page))
    facts.event("page", f"Page {run}", "ann", properties=page, context={"page": {"url": page["$current_url"]}})
    client.capture(f"other {run}", distinct_id=f"bob-{run}")
    facts.event("track", f"other {run}", "bob")
    facts.person("ann", [f"user_id:{ann}", f"anonymous_id:{anonymous}", f"anonymous_id:{former}", f"email:{ann}@example.com"],
                 {"city": "上海", "first_seen": "2024", "level": "gold", "vip": True})  # fmt: skip
    facts.person("bob", [f"user_id:bob-{run}"])


main()
