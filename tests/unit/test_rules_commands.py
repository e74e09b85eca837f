"""`cdp rules` on the command line, with an application that it reaches."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from cdp.errors import CdpError
from rules.commands import register as register_check
from rules.definitions.load import SHIPPED
from serving.documents.document import Edit
from serving.documents.kinds import tag
from serving.documents.store import put
from serving.rules.commands import register
from serving.rules.shipped import follow_shipped
from tests.live_rules import Api, reaching
from tests.unit.test_shipped_rules import a_tag, ship

VIP = {"name": "vip", "title": "Vip", "type": "yes_no", "value": "tag.order_amount > 5000"}
HELLO = {
    "name": "hello", "title": "Hello", "event": "Signed Up", "when": "tag.vip", "occasion": "ever", "channels": "log",
    "content": {},
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "data")


def cdp(api: Api, *arguments: str, stdin: str = "") -> str:
    app = typer.Typer()
    register_check(app)
    register(app)
    with reaching(api, "rules"):
        done = CliRunner().invoke(app, ["rules", *arguments], input=stdin)
    if isinstance(done.exception, CdpError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_rule_is_shown_edited_and_put(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "level.yaml"
    file.write_text(cdp(api, "show", "tags/member_level").replace("500,", "600,").replace(">= 500", ">= 600"))
    said = cdp(api, "put", str(file), "--note", "less silver", "--expected", "1")
    assert said == "version 2 of tags/member_level is in force, in book 2\n"
    assert yaml.safe_load(cdp(api, "show", "tags/member_level")) == yaml.safe_load(file.read_text())
    assert json.loads(cdp(api, "show", "tags/member_level", "--version", "1", "--json"))["author"] == "StreamCDP"
    difference = cdp(api, "diff", "tags/member_level", "--from", "shipped")
    assert difference.splitlines()[:2] == ["tags/member_level, what comes with the platform to version 2:", "  value"]
    assert ">= 600" in difference.splitlines()[3]
    assert cdp(api, "diff", "tags/lapsed", "--from", "1") == "tags/lapsed, version 1 to version 1: no difference\n"
    assert [line.split()[0] for line in cdp(api, "history", "tags/member_level").splitlines()] == ["2", "1"]
    assert "ops                  less silver" in cdp(api, "history", "tags/member_level")
    with pytest.raises(CdpError, match="not in force"):
        cdp(api, "put", str(file), "--expected", "1")
    assert (
        cdp(api, "rollback", "tags/member_level", "1", "--note", "no")
        == "version 3 of tags/member_level is in force, in book 3\n"
    )
    assert json.loads(cdp(api, "history", "tags/member_level", "--limit", "1", "--json"))["versions"][0]["note"].endswith(". no")
    assert json.loads(cdp(api, "diff", "tags/member_level", "--from", "1", "--json"))["changes"] == []


def test_a_draft_is_put_and_published(api: Api) -> None:
    said = cdp(api, "put", "-", "--draft", "--expected", "0", stdin=yaml.safe_dump(HELLO))
    assert said == "version 1 of triggers/hello is kept as a draft\n"
    assert "draft" in cdp(api, "history", "triggers/hello")
    with pytest.raises(CdpError, match=r"Trigger 'hello', field 'when': uses tag\.vip, which does not exist"):
        cdp(api, "publish", "triggers/hello", "1")
    assert json.loads(cdp(api, "put", "-", "--json", stdin=json.dumps(VIP))) == {
        "rules": [{"rule": "tags/vip", "version": 1, "book": 2}]
    }
    assert json.loads(cdp(api, "publish", "triggers/hello", "1", "--json")) == {"rule": "triggers/hello", "version": 1, "book": 3}
    listed = cdp(api, "show").splitlines()
    assert [line.split()[:3] for line in listed if "vip" in line] == [["tags/vip", "1", "live"]]
    assert {"tags", "triggers"} == set(json.loads(cdp(api, "show", "--json")))


def test_several_rules_are_put_in_the_order_in_which_they_can_be(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "several.json"
    rules: Any = {"triggers": [HELLO], "tags": [VIP | {"value": "tag.spent > 1"}, VIP | {"name": "spent"}]}
    file.write_text(json.dumps(rules))
    assert cdp(api, "put", str(file)).splitlines() == [
        "version 1 of tags/spent is in force, in book 2", "version 1 of tags/vip is in force, in book 3",
        "version 1 of triggers/hello is in force, in book 4",
    ]  # fmt: skip
    rules["tags"][0]["value"] = "tag.nobody"
    file.write_text(json.dumps(rules))
    with pytest.raises(CdpError, match=r"uses tag\.nobody"):
        cdp(api, "put", str(file))
    assert api.live.number == 4  # nothing was written
    with pytest.raises(CdpError, match="several"):
        cdp(api, "put", str(file), "--expected", "1")
    assert len(cdp(api, "put", str(SHIPPED / "tags.yaml")).splitlines()) == len(
        yaml.safe_load((SHIPPED / "tags.yaml").read_text())["tags"]
    )


def test_upgrades_are_shown_with_what_to_do(api: Api, tmp_path: Path) -> None:
    assert cdp(api, "upgrades") == "Every edited rule is up to date with what comes with the platform.\n"
    api = Api(tmp_path / "other", ship(a="1", b="2"))
    put(api.settings, tag("a"), a_tag("a", "5"), Edit("Li"))
    put(api.settings, tag("c"), a_tag("c", "5"), Edit("Li"))
    follow_shipped(api.settings, ship(a="10", b="2", c="30"))
    assert cdp(api, "upgrades").splitlines() == [
        "tags/a: version 2 is in force, edited from version 1; version 3 is shipped now.", "  What changed in what is shipped:",
        "    value", "      - 1", "      + 10", "  What taking it would change:", "    value", "      - 5", "      + 10",
        "  Take it: cdp rules publish tags/a 3. Refuse it: put your own once more.",
        "tags/c: version 1 is in force, made here; version 2 is shipped now.", "  What taking it would change:", "    value",
        "      - 5", "      + 30", "  Take it: cdp rules publish tags/c 2. Refuse it: put your own once more.",
    ]  # fmt: skip
    assert [one["name"] for one in json.loads(cdp(api, "upgrades", "--json"))["upgrades"]] == ["a", "c"]
    assert "(version 3 is shipped now)" in cdp(api, "show")
    assert cdp(api, "publish", "tags/a", "3") == "version 3 of tags/a is in force, in book 4\n"


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (("show", "vip"), "", "'vip' is no rule"), (("show", "tags/"), "", "is no rule"), (("diff", "tag/vip"), "", "is no rule"),
        (("show", "tags/vip"), "", "There is no tag 'vip'"), (("put", "-"), "{", "standard input is not YAML"),
        (("put", "-"), "title: x", "without a name"), (("put", "-"), "tags: [{name: a}, {name: a}]", "without a name of its own"),
        (("put", "-"), "name: a\ntype: number", "Tag 'a', field 'value'"), (("put", "nowhere.yaml"), "", "cannot be read"),
        (("history", "tags/../keys"), "", "."),
    ],
)  # fmt: skip
def test_what_is_refused(api: Api, arguments: tuple[str, ...], text: str, message: str) -> None:
    with pytest.raises(CdpError, match=message):
        cdp(api, *arguments, stdin=text)


def test_every_command_has_help_and_check_needs_no_platform(api: Api) -> None:
    for command in ("show", "put", "diff", "publish", "rollback", "history", "upgrades", "check"):
        said = cdp(api, command, "--help")
        assert "--json" in said
        assert command in ("history", "upgrades", "check") or "Example:" in said
    assert "all right" in cdp(api, "check")
