"""Broker and collector are killed under load on the real platform: what was acknowledged is there, once."""

import pytest

from cdp.wall_clock import wall_clock
from loadtest.drill_outage import Outage, drill_outage
from loadtest.stack import access_to
from tests.conftest import Stack


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_killed_broker_and_collector_lose_nothing_and_double_nothing(stack: Stack) -> None:
    plan = Outage(rate=300, seconds=25, down=10, kills=3, run=f"outage{wall_clock() % 10**9}")
    lines: list[str] = []
    result = drill_outage(stack.settings, access_to(stack.settings, "test-outage"), plan, lines.append)
    assert result["passed"], (result, lines)
    assert (result["lost"], result["doubled"], result["ledger_difference"]) == (0, 0, 0), result
    assert result["acknowledged"] == result["events"] == result["counted_by_profiles"] == 7500
    assert result["collector_kills"] == 3 and result["broker_down_seconds"] >= 10
    assert result["answers"]["200"] >= 375
