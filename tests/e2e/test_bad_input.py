"""Malformed requests of every kind against the whole platform: no server error, no restart, everything accounted for."""

import pytest

from loadtest.bad_requests import Keys, kinds
from loadtest.drill_bad_input import drill_bad_input
from loadtest.stack import access_to
from serving.definitions import mint_write_key, revoke
from tests.conftest import Stack


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_bad_input_breaks_nothing_and_is_accounted_for(stack: Stack) -> None:
    access = access_to(stack.settings, "test-bad-input")
    stack.cdp("ledger", "--wait", "60", check=True)
    disabled = mint_write_key(stack.settings, "test-disabled")
    revoke(stack.settings, "test-disabled", write_key=True)
    result = drill_bad_input(stack.settings, access, Keys(access.write_key, disabled), requests=2000, seed=7)
    assert result["kinds"] == len(kinds()) > 60
    assert result["passed"], str(result)
    assert {"200", "400", "401", "413"} <= set(result["statuses"])
    assert min(result[name] for name in ("applied", "duplicates", "dead_lettered", "rejected")) > 0
