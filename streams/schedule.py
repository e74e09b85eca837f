"""When time alone will change something for a person: a window slides, a cart grows cold, a birthday comes."""

from datetime import date

from cdp.clock import Calendar, date_of, day_number
from cdp.profile import Profile
from rules.definitions.book import CompiledRules
from rules.definitions.model import TriggerRule
from rules.language.dependencies import LATEST, Timer
from rules.language.evaluate import TOTAL, Context
from rules.language.values import anniversary, next_anniversary, parse_date
from streams.measure import Touched
from streams.trigger import TIME, is_spent


class Schedule:
    """Finds the next timer of a profile. Built once for a rule book."""

    def __init__(self, rules: CompiledRules, calendar: Calendar) -> None:
        self._rules = rules
        self._calendar = calendar
        self._order_windows = tuple(days for days in rules.windows if days is not None)
        self._of_any = tuple(timer for timer in rules.timers if timer.source == "any")
        self._of_event = {
            name: tuple(timer for timer in rules.timers if timer.source in ("any", name))
            for name in {timer.source for timer in rules.timers}
        }
        on_time = [trigger.rule for trigger in rules.triggers_for(TIME)]
        self._recurring = tuple(rule for rule in on_time if rule.occasion in ("day", "year"))

    def after(self, profile: Profile, event: str, touched: Touched) -> int:
        """`profile.due` after an event that came before it: worked out again only where the event can have moved it.

        Timers that the event put off are not looked for: the earlier moment stays. Then nothing happens at it, and the next
        one is found.
        """
        if touched:
            return self.next_due(profile)
        timers = self._of_event.get(event, self._of_any)
        if not timers:
            return profile.due
        moments = self._run_out(Context(profile, profile.as_of, self._calendar, ()), timers)
        return min([profile.due, *moments] if profile.due else moments, default=0)

    def next_due(self, profile: Profile) -> int:
        """The first moment after the profile's clock, in microseconds, at which time may change something; 0 if there is none."""
        context = Context(profile, profile.as_of, self._calendar, ())
        today = context.today
        days = self._window_edges(profile, today) + self._anniversaries(profile, today) + self._occasions(profile, today)
        if self._rules.daily and profile.events:
            days.append(today + 1)
        moments = self._run_out(context, self._rules.timers)
        if days:
            moments.append(self._calendar.start(min(days)))
        return min(moments, default=0)

    @staticmethod
    def _run_out(context: Context, timers: tuple[Timer, ...]) -> list[int]:
        """When timers run out, of those that have not."""
        moments = []
        for timer in timers:
            last = context.order_time(last=True) if timer.source == "orders" else context.last(timer.key)
            if isinstance(last, int) and context.now < last + timer.delay <= LATEST:
                moments.append(last + timer.delay)
        return moments

    def _window_edges(self, profile: Profile, today: int) -> list[int]:
        """For each window, the next day on which a bucket comes into it or falls out."""
        edges = []
        for key, windows in self._rules.bucket_windows.items():
            buckets = profile.days.get(key)
            if buckets:
                edges += self._edges([day for day in buckets if day != TOTAL], windows, today)
        if profile.orders and self._order_windows:
            days = [self._calendar.day(o.placed.time) for o in profile.orders.values() if o.placed is not None]
            refunds = [time for o in profile.orders.values() if o.placed is None for time, _, _ in o.refunds.values()]
            days += [self._calendar.day(time) for time in refunds]
            edges += self._edges(days, self._order_windows, today)
        return edges

    @staticmethod
    def _edges(days: list[int], windows: tuple[int, ...], today: int) -> list[int]:
        edges = [day for day in days if day > today]  # a device's clock was ahead
        for window in windows:
            inside = [day for day in days if day + window > today]
            if inside:
                edges.append(min(inside) + window)
        return edges

    def _anniversaries(self, profile: Profile, today: int) -> list[int]:
        """The next day on which it becomes one, or is over."""
        days = []
        for name in self._rules.anniversaries:
            attribute = profile.attributes.get(name)
            written = attribute.value if attribute is not None else None
            born = parse_date(written, self._calendar.zone) if isinstance(written, str) else None
            if born is not None:
                current = date_of(today)
                days.append(today + 1 if anniversary(born, current.year) == current else next_anniversary(born, today))
        return days

    def _occasions(self, profile: Profile, today: int) -> list[int]:
        """When triggers that have fired on this occasion may fire again."""
        return [_next_occasion(rule, today) for rule in self._recurring if is_spent(profile, rule, today)]


def _next_occasion(rule: TriggerRule, today: int) -> int:
    return today + 1 if rule.occasion == "day" else day_number(date(date_of(today).year + 1, 1, 1))
