"""Nobody waits for ever, nothing is lost, nothing is counted twice: random histories of identity, see `loadtest.liveness`.

`cdp drill liveness` plays 20,000 of them.
"""

from collections import Counter

import pytest

from loadtest.liveness import TICKS, try_history

GROUP = 50


@pytest.mark.parametrize("group", range(10))
def test_every_event_counts_once_where_it_belongs_and_nobody_waits(redis_url: str, group: int) -> None:
    verdicts = [try_history(redis_url, seed) for seed in range(group * GROUP, (group + 1) * GROUP)]
    assert {verdict.seed: verdict.fault for verdict in verdicts if verdict.fault} == {}
    assert max(verdict.ticks for verdict in verdicts) <= TICKS
    # They are histories in which something happens.
    assert sum(verdict.crashes for verdict in verdicts) > GROUP
    assert sum(verdict.rebuilt > 0 for verdict in verdicts) > GROUP // 3


@pytest.mark.parametrize("group", range(2))
def test_whoever_waits_for_a_lost_record_is_helped(redis_url: str, group: int) -> None:
    verdicts = [try_history(redis_url, seed, loses=True) for seed in range(group * GROUP, (group + 1) * GROUP)]
    assert {verdict.seed: verdict.fault for verdict in verdicts if verdict.fault} == {}
    assert Counter(verdict.lost for verdict in verdicts)[1] > GROUP // 2
