"""Nothing personal rests anywhere: phones and addresses in every kind of request, and a search through every byte kept."""

from pathlib import Path

import pytest

from cdp.settings import WEBHOOK_DEMO
from loadtest.drill_privacy import drill_privacy
from loadtest.stack import access_to
from tests.conftest import START_SECONDS, make_stack, running

PEOPLE = 1000


@pytest.mark.timeout(START_SECONDS + 400)
def test_no_planted_phone_or_address_is_found_anywhere(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "data")
    nobody = f"http://127.0.0.1:{stack.settings.port(WEBHOOK_DEMO)}/nobody"
    stack.env["CDP_WEBHOOK_URL"] = nobody  # of a platform of its own: what cannot be delivered must not be kept either
    with running(stack):
        result = drill_privacy(stack.settings, access_to(stack.settings, "test-privacy"), PEOPLE, 3, print)
        assert result["found"] == {}, "\n".join(result["examples"])
        assert result["passed"], result
        assert "500" not in result["statuses"]
        log = (stack.settings.logs_dir / "api.log").read_text()
    assert "/v1/profiles" not in log
