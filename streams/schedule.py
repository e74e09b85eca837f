"""When time alone will change something for a person: a window slides, a cart grows cold, a birthday comes."""

from cdp.clock import MINUTE, Calendar
from cdp.profile import Profile
from rules.compile_python import CompiledRules
from rules.evaluate import TOTAL, next_anniversary, parse_date
from streams.measure import Touched


class Schedule:
    """Finds the next moment of a profile. Built once for a rule book."""

    def __init__(self, rules: CompiledRules, calendar: Calendar) -> None:
        self._rules = rules
        self._calendar = calendar
        self._order_windows = tuple(days for days in rules.windows if days is not None)
        self._wakers = {waker.key.split("|")[1]: waker for waker in rules.wakers if "|" in waker.key}

    def after(self, profile: Profile, event: str, touched: Touched) -> int:
        """`profile.due` after an event: worked out anew only where the event can have moved it.

        Where it only put off what was due, the earlier moment stays: waking for nothing does no harm.
        """
        if touched:
            return self.next_due(profile)
        waker = self._wakers.get(event)
        last = self._last(profile, waker.key) if waker is not None else None
        if waker is None or last is None:
            return profile.due
        moment = last + int(waker.minutes * MINUTE)
        return moment if moment > profile.as_of and not 0 < profile.due < moment else profile.due

    def next_due(self, profile: Profile) -> int:
        """The first moment after the profile's clock, in microseconds; 0 if there is none."""
        today = self._calendar.day(profile.as_of)
        days = self._window_ends(profile, today) + self._anniversaries(profile, today)
        if self._rules.daily and profile.events:
            days.append(today + 1)
        moments = [self._calendar.start(min(days))] if days else []
        for waker in self._rules.wakers:
            last = self._last(profile, waker.key)
            if last is not None and (at := last + int(waker.minutes * MINUTE)) > profile.as_of:
                moments.append(at)
        return min(moments, default=0)

    def _window_ends(self, profile: Profile, today: int) -> list[int]:
        """For each window, the day on which its oldest bucket falls out."""
        ends = []
        for key, windows in self._rules.bucket_windows.items():
            buckets = profile.days.get(key)
            if buckets:
                ends += self._ends([day for day in buckets if day != TOTAL], windows, today)
        if profile.orders:
            days = [self._calendar.day(o.placed.time) for o in profile.orders.values() if o.placed is not None]
            refunds = [time for o in profile.orders.values() if o.placed is None for time, _, _ in o.refunds.values()]
            days += [self._calendar.day(time) for time in refunds]
            ends += self._ends(days, self._order_windows, today)
        return ends

    @staticmethod
    def _ends(days: list[int], windows: tuple[int, ...], today: int) -> list[int]:
        ends = []
        for window in windows:
            inside = [day for day in days if day + window > today]
            if inside:
                ends.append(min(inside) + window)
        return ends

    def _anniversaries(self, profile: Profile, today: int) -> list[int]:
        days = []
        for name in self._rules.anniversaries:
            attribute = profile.attributes.get(name)
            born = parse_date(attribute.value) if attribute is not None and isinstance(attribute.value, str) else None
            if born is not None:
                days.append(next_anniversary(born, today))
        return days

    def _last(self, profile: Profile, key: str) -> int | None:
        if key == "orders":
            return max((o.placed.time for o in profile.orders.values() if o.placed is not None), default=None)
        moment = profile.moments.get(key)
        return None if moment is None else moment.last
