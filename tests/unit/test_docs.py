"""The documentation says what the code does: settings, rules, tables, endpoints and commands are all there, and examples work.

``python -m tests.unit.test_docs`` prints the table of docs/settings.md.
"""

import re
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import sqlglot
import typer
from pydantic import SecretStr

from cdp.settings import Settings
from cdp.topics import Names
from profiles.book import functions, vocabulary
from rules.definitions.load import CHANNELS, SHIPPED, TAG_TYPES
from rules.definitions.model import Occasion, State, TagRule, TriggerRule
from rules.identity.model import Comparator, Evidence, Field, IdentifierType, Level, Matching
from rules.identity.steps import NORMALISERS
from rules.language.compile_python import compile_expression
from rules.language.parse import parse
from rules.language.syntax import Function
from sinks.tables import TABLES

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")])
PACKAGES = ("infra", "loadtest", "rules", "serving", "sinks")
FOREIGN = re.compile(r"(?<![\w.~])/(?:home|root|tmp|Users)/|--index-url|--extra-index")  # of one machine, not of the project
# Fields of the rules' dataclasses that a file calls otherwise, or does not hold at all.
IN_FILES = {"on": "event", "condition": "", "expression": ""}


def page(name: str) -> str:
    return (REPO / name).read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    """The contents of the code blocks that are marked with `kind`."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def in_files(rule: type) -> set[str]:
    return {name for f in fields(rule) if (name := IN_FILES.get(f.name, f.name))}


def settings_table() -> str:
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default: Any = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        rows.append(f"| `CDP_{name.upper()}` | {f'`{default}`' if str(default) else 'empty'} | {field.description} |")
    return "\n".join(rows) + "\n"


def test_every_setting_is_documented_with_its_default() -> None:
    assert settings_table() in page("docs/settings.md"), "put the output of `python -m tests.unit.test_docs` there"


def test_every_port_is_documented() -> None:
    from cdp import settings as ports

    text = page("docs/settings.md")
    for name in ("API", "KAFKA", "REDIS", "CLICKHOUSE", "FLINK_REST", "METRICS_DISPATCHER", "WEBHOOK_DEMO"):
        assert str(Settings().model_copy(update={"port_base": 8400}).port(getattr(ports, name))) in text, name


def test_the_rule_language_is_documented() -> None:
    text = page("docs/rules.md")
    for function in (*get_args(Function), *functions()):
        assert f"`{function}(" in text, function
    for word in (*TAG_TYPES, *CHANNELS, *NORMALISERS, *get_args(Occasion), *get_args(State)):
        assert f"`{word}`" in text, word


@pytest.mark.parametrize("rule", [IdentifierType, TagRule, TriggerRule])
def test_every_field_of_a_rule_has_a_row(rule: type) -> None:
    text = page("docs/rules.md")
    for name in in_files(rule):
        assert f"\n| `{name}` |" in text, name


@pytest.mark.parametrize("kind", [Matching, Field, Level])
def test_every_field_of_matching_is_documented(kind: type) -> None:
    text = page("docs/identity.md")
    for field in fields(kind):
        assert f"`{field.name}`" in text, field.name
    for word in (*get_args(Comparator), *get_args(Evidence)):
        assert f"`{word}`" in text, word


@pytest.mark.parametrize("line", [line for block in blocks(page("docs/rules.md"), "rule") for line in block.splitlines() if line])
def test_every_example_of_the_rule_language_compiles(line: str) -> None:
    compile_expression(parse(line, functions()), vocabulary())


def test_quoted_rules_are_the_shipped_ones() -> None:
    shipped = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SHIPPED.glob("*.yaml")))
    quoted = blocks(page("docs/rules.md"), "yaml")
    assert quoted
    for block in quoted:
        assert block in shipped, block


def test_every_table_and_column_is_documented() -> None:
    text = page("docs/tables.md")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    common = text.split("\n## ", 1)[0]
    for table in TABLES.values():
        for column, _ in table.columns:
            assert f"`{column}`" in sections[table.name] or f"\n| `{column}` |" in common, f"{table.name}.{column}"
    for name in re.findall(r"(?:VIEW|DICTIONARY)[A-Z ]*\{database\}\.(\w+)", "\n".join(_migrations())):
        assert f"`{name}`" in text, name


def _migrations() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in (REPO / "sinks" / "migrations").glob("*.sql")]


def test_example_queries_are_sql() -> None:
    queries = [query for block in blocks(page("docs/tables.md"), "sql") for query in block.split(";") if query.strip()]
    assert len(queries) >= 3
    for query in queries:
        assert len(sqlglot.parse(query, dialect="clickhouse")) == 1


def test_every_path_of_the_api_is_documented() -> None:
    from serving.app import create_app

    text = page("docs/api.md")
    for path, methods in create_app(Settings()).openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in text, f"{method} {path}"


def test_every_reason_is_documented() -> None:
    text = page("docs/collect.md")
    sources = [
        *(REPO / "serving/collect").glob("*.py"),
        REPO / "streams/resolve.py",
        *(REPO / "streams/profile").glob("*.py"),
        *(REPO / "profiles").rglob("*.py"),
        REPO / "cdp/orders.py",
        REPO / "cdp/operations.py",
    ]
    found = {
        reason
        for path in sources
        for reason in re.findall(r'(?:InvalidEvent\(\s*|RefusedError\(\s*\d+,\s*)"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert {"missing_identifier", "body_too_large", "missing_order_id", "malformed"} <= found
    for reason in found:
        assert f"`{reason}`" in text, reason


def test_every_topic_is_documented() -> None:
    text = page("docs/architecture.md")
    for topic in Names("cdp").all_topics():
        assert f"`{topic}`" in text, topic


@cache
def _commands() -> click.Group:
    from importlib import import_module

    app = typer.Typer()
    for package in PACKAGES:
        import_module(f"{package}.commands").register(app)
    command = typer.main.get_command(app)
    assert hasattr(command, "commands")
    return command


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = "\n".join(
        re.findall(r"`([^`\n]+)`", text) + re.findall(r"^```(?:sh|text)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    )
    commands: Any = _commands().commands
    for name, following in re.findall(r"(?:^|[\s=])cdp ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", code, re.MULTILINE):
        assert name in commands, f"cdp {name}"
        below = getattr(commands[name], "commands", None)
        assert not (below and following) or following in below, f"cdp {name} {following}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_named_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith(("http://", "https://")) or (path.parent / target).exists(), target
    for target in re.findall(
        r"`((?:cdp|rules|profiles|streams|sinks|serving|infra|loadtest|tests|scripts|docs)/[\w./-]+)`", text
    ):
        assert (REPO / target).exists(), target
    assert FOREIGN.search(text) is None


def test_the_targets_of_make_are_documented() -> None:
    text = page("CONTRIBUTING.md")
    for target in re.findall(r"^([a-z]+):.*## ", page("Makefile"), re.MULTILINE):
        assert target == "help" or f"`make {target}`" in text, target


if __name__ == "__main__":
    sys.stdout.write(settings_table())
