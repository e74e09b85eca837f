"""SensorsAnalyticsSDK: every call, by each consumer that speaks HTTP."""

from datetime import UTC, datetime, timedelta

from sensorsanalytics.sdk import (
    AsyncBatchConsumer,
    BatchConsumer,
    DebugConsumer,
    DefaultConsumer,
    SensorsAnalytics,
    SensorsAnalyticsIdentity,
)

from tests.vendors.facts import Facts, arguments, millis

LOGIN, MOBILE, EMAIL = SensorsAnalyticsIdentity.LOGIN_ID, SensorsAnalyticsIdentity.MOBILE, SensorsAnalyticsIdentity.EMAIL


def main() -> None:
    args, facts = arguments(), Facts()
    url = f"{args.url}/sa?project={args.app or 'default'}" + (f"&token={args.key}" if args.key else "")
    if args.one:
        one(facts, SensorsAnalytics(DefaultConsumer(url, 10)), args.run)
    else:
        single(facts, SensorsAnalytics(DefaultConsumer(url, 10)), args.run)
        batch(facts, SensorsAnalytics(BatchConsumer(url, 20, 10)), args.run)
        in_background(facts, SensorsAnalytics(AsyncBatchConsumer(url, flush_max_time=1, request_timeout=10)), args.run)
        debug(facts, url, args.run)
    facts.say()


def one(facts: Facts, sa: SensorsAnalytics, run: str) -> None:
    try:
        sa.track(f"ann-{run}", f"One_{run}", {"n": 1}, is_login_id=True)
    except Exception as error:
        facts.error(error)
    facts.event("track", f"One_{run}", properties={"n": 1})


def single(facts: Facts, sa: SensorsAnalytics, run: str) -> None:
    """One request each: a visitor who signs up."""
    moment = datetime.now(UTC) - timedelta(days=1, milliseconds=7)
    ann, visitor = f"ann-{run}", f"visitor-{run}"
    sa.register_super_properties({"$app_version": "1.2.3", "shop": "west"})
    viewed = {"product": "茶", "price": 12.5, "tags": ["a", "b"], "$time": millis(moment)}
    sa.track(visitor, f"Viewed_{run}", dict(viewed))
    properties = {"product": "茶", "price": 12.5, "tags": ["a", "b"], "shop": "west"}
    facts.event("track", f"Viewed_{run}", "ann", time=millis(moment), properties=properties)
    sa.track_signup(ann, visitor, {"from": "web"})
    facts.event("track", "$SignUp", "ann", properties={"from": "web"})
    sa.track(ann, f"Paid_{run}", {"amount": 3}, is_login_id=True)
    facts.event("track", f"Paid_{run}", "ann", properties={"amount": 3})
    sa.profile_set(ann, {"city": "杭州", "level": 2}, is_login_id=True)
    facts.event("identify", "", "ann", traits={"city": "杭州", "level": 2})
    facts.person("ann", [f"user_id:{ann}", f"anonymous_id:{visitor}"], {"city": "杭州", "level": 2})


def batch(facts: Facts, sa: SensorsAnalytics, run: str) -> None:
    """Many in a request: all operations on a profile."""
    bob, at = f"bob-{run}", datetime.now(UTC) - timedelta(hours=1)

    def time(second: int) -> int:
        return millis(at + timedelta(seconds=second))

    sa.profile_set(bob, {"nick": "b", "gone": 1, "$time": time(0)}, is_login_id=True)
    facts.event("identify", "", "bob", time=time(0), traits={"nick": "b", "gone": 1})
    sa.profile_set_once(bob, {"nick": "later", "first": "seen", "$time": time(1)}, is_login_id=True)
    facts.event("profile", "set_once", "bob", time=time(1), traits={"nick": "later", "first": "seen"})
    sa.profile_increment(bob, {"visits": 2}, is_login_id=True)
    sa.profile_increment(bob, {"visits": 3}, is_login_id=True)
    facts.event("profile", "increment", "bob", traits={"visits": 2})
    facts.event("profile", "increment", "bob", traits={"visits": 3})
    sa.profile_append(bob, {"likes": ["tea", "cake"]}, is_login_id=True)
    facts.event("profile", "append", "bob", traits={"likes": ["tea", "cake"]})
    sa.profile_unset(bob, ["gone"], is_login_id=True)
    facts.event("profile", "unset", "bob")
    sa.item_set("book", f"item-{run}", {"price": 4.5, "title": "茶"})
    facts.item("book", f"item-{run}", "set", {"price": 4.5, "title": "茶"})
    sa.item_delete("book", f"item-{run}")
    facts.item("book", f"item-{run}", "delete", {})
    carl = f"carl-{run}"
    sa.bind(SensorsAnalyticsIdentity(LOGIN, carl), SensorsAnalyticsIdentity(EMAIL, f"{carl}@example.com"))
    facts.event("track", "$BindID", "carl")
    sa.track_by_id(f"ById_{run}", {"n": 1}, SensorsAnalyticsIdentity(EMAIL, f"{carl}@example.com"))
    facts.event("track", f"ById_{run}", "carl", properties={"n": 1})
    sa.profile_set_by_id({"city": "北京"}, SensorsAnalyticsIdentity(LOGIN, carl))
    facts.event("identify", "", "carl", traits={"city": "北京"})
    sa.unbind(SensorsAnalyticsIdentity(EMAIL, f"{carl}@example.com"))
    facts.event("unbind", "$UnbindID")
    sa.profile_set(f"dora-{run}", {"city": "x", "$time": time(0)}, is_login_id=True)
    facts.event("identify", "", "dora", time=time(0), traits={"city": "x"})
    sa.profile_delete(f"dora-{run}", is_login_id=True)
    facts.event("profile", "delete", "dora")
    sa.close()
    facts.person("bob", [f"user_id:{bob}"], {"nick": "b", "first": "seen", "visits": 5, "likes": ["tea", "cake"]}, ["gone"])
    facts.person("carl", [f"user_id:{carl}"], {"city": "北京"})
    facts.person("dora", [f"user_id:dora-{run}"], {}, ["city"])


def in_background(facts: Facts, sa: SensorsAnalytics, run: str) -> None:
    for n in range(5):
        sa.track(f"eve-{run}", f"Late_{n}_{run}", {"n": n}, is_login_id=True)
        facts.event("track", f"Late_{n}_{run}", "eve", properties={"n": n})
    sa.close()
    facts.person("eve", [f"user_id:eve-{run}"])


def debug(facts: Facts, url: str, run: str) -> None:
    """The debug mode writes, or only checks. Its reports go to standard output: they are kept out of the facts."""
    import contextlib
    import sys

    with contextlib.redirect_stdout(sys.stderr):
        SensorsAnalytics(DebugConsumer(url, True, 10)).track(f"eve-{run}", f"Debug_{run}", {"n": 1}, is_login_id=True)
        SensorsAnalytics(DebugConsumer(url, False, 10)).track(f"eve-{run}", f"DryRun_{run}", {"n": 1}, is_login_id=True)
    facts.event("track", f"Debug_{run}", "eve", properties={"n": 1})


main()
