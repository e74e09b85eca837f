"""`cdp identity`: one group for several packages, and a look at a rule file."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cdp.commands import group, identity_group
from cdp.errors import CdpError
from rules.commands import register


def test_two_packages_add_commands_to_one_group() -> None:
    app = typer.Typer()
    group(app, "things", "Things.").command("one")(lambda: typer.echo("1"))
    group(app, "things", "Things.").command("two")(lambda: typer.echo("2"))
    run = CliRunner().invoke
    assert run(app, ["things", "one"]).output == "1\n"
    assert run(app, ["things", "two"]).output == "2\n"
    assert run(app, ["things", "--help"]).output.count("Things.") == 1
    assert len(app.registered_groups) == 1


def test_a_group_of_one_command_is_a_group() -> None:
    app = typer.Typer()
    identity_group(app).command("only")(lambda: typer.echo("only"))
    assert CliRunner().invoke(app, ["identity", "only"]).output == "only\n"
    assert CliRunner().invoke(app, ["only"]).exit_code != 0


def check(*arguments: str) -> str:
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, ["identity", "check", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


RULES = """
version: 7
identifiers:
  - {name: phone, priority: 2, strength: 0.98, normalise: phone, limits: {month: 3, ever: 10}, personal: true}
  - {name: user_id, priority: 1, exclusive: true}
  - {name: cookie, priority: 3, lifetime_days: 400, blocked: [x]}
matching:
  fields:
    - {name: surname, compare: name, evidence: personal, agree: {m: 0.9, u: 0.001}}
    - {name: born, compare: date, evidence: personal, agree: {m: 0.9, u: 0.0001}}
  keys: [["surname(sound)", "born(year)"], ["surname(3)", born]]
"""


def test_check_says_what_a_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(RULES)
    lines = check(str(file)).splitlines()
    assert lines == [
        "version 7, 3 identifiers, region CN",
        "   1 user_id  one for each person",
        "   2 phone    strength 0.98, at most 3 a month, at most 10 ever, personal",
        "   3 cookie   for 400 days",
        "matching by 2 fields: surname, born",
        "     merges from 0.99, asks from 0.5; found by surname(sound) + born(year); surname(3) + born",
        "all right",
    ]
    found = json.loads(check(str(file), "--json"))
    assert [one["name"] for one in found["identifiers"]] == ["user_id", "phone", "cookie"]
    assert found["identifiers"][1]["limits"] == {"month": 3, "ever": 10}
    assert found["identifiers"][2]["blocked"] == 1
    assert found["matching"]["keys"] == [["surname(sound)", "born(year)"], ["surname(3)", "born"]]
    assert found["matching"]["fields"]["born"] == {"compare": "date", "traits": ["born"]}


def test_check_takes_the_shipped_rules() -> None:
    assert check().splitlines()[-1] == "all right"


def test_check_names_the_mistake(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(RULES.replace("priority: 2", "priority: 200"))
    with pytest.raises(CdpError, match=r"mine\.yaml, rule 'phone', field 'priority': must be from 1 to 98"):
        check(str(file))
