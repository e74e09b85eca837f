"""What the API answers about rules, in plain words. Pure: from the answer's JSON to lines."""

import json
from typing import Any

import yaml

Answer = dict[str, Any]


def say_rule(found: Answer) -> str:
    """The rule as YAML: it can be edited and put."""
    return str(yaml.safe_dump(found["rule"], sort_keys=False, allow_unicode=True, width=120)).rstrip("\n")


def say_version(found: Answer) -> str:
    """Which version, whose, and why."""
    since = (
        f"in force {found['published'][:19]}, book {found['book']}" if found["published"] else f"draft of {found['created'][:19]}"
    )
    return f"{found['version']:>6}  {since:<40}  {found['author']:<20} {found['note']}".rstrip()


def say_lines(found: dict[str, list[Answer]]) -> list[str]:
    """All rules: tags, then triggers."""
    return [_line(kind, line) for kind, lines in found.items() for line in lines]


def say_put(rule: str, done: Answer) -> str:
    """What became of a version."""
    if done["published"]:
        return f"version {done['version']} of {rule} is in force, in book {done['book']}"
    return f"version {done['version']} of {rule} is kept as a draft"


def say_difference(rule: str, found: Answer) -> list[str]:
    """From which version to which, and each change below its path."""
    before = {None: "what comes with the platform", 0: "nothing"}.get(found["from"], f"version {found['from']}")
    head = f"{rule}, {before} to version {found['to']}:"
    return [head, *_changes(found["changes"])] if found["changes"] else [f"{head} no difference"]


def say_upgrades(found: Answer) -> list[str]:
    """What is shipped now and was not taken, with how to take it."""
    lines: list[str] = []
    for one in found["upgrades"]:
        rule, base = f"{one['kind']}/{one['name']}", one["base"]
        origin = "made here" if base is None else f"edited from version {base}"
        lines.append(f"{rule}: version {one['in_force']} is in force, {origin}; version {one['shipped']} is shipped now.")
        if base is not None:
            lines += ["  What changed in what is shipped:", *_changes(one["shipped_changes"], "    ")]
        lines += ["  What taking it would change:", *_changes(one["changes"], "    ")]
        lines.append(f"  Take it: cdp rules publish {rule} {one['shipped']}. Refuse it: put your own once more.")
    return lines or ["Every edited rule is up to date with what comes with the platform."]


def _line(kind: str, line: Answer) -> str:
    version = f"{line['version']:>5}" if line["version"] is not None else "    -"
    more = [f"drafts {', '.join(map(str, line['drafts']))}"] if line["drafts"] else []
    more += [f"version {line['upgrade']} is shipped now"] if line["upgrade"] else []
    said = f"{f'{kind}/' + line['name']:<32} {version}  {line['state'] or 'draft':<8} {line['author']:<20} {line['title']}"
    return f"{said} ({'; '.join(more)})" if more else said.rstrip()


def _changes(changes: list[Answer], indent: str = "  ") -> list[str]:
    lines: list[str] = []
    for change in changes:
        lines.append(f"{indent}{change['path'] or 'everything'}")
        lines += [f"{indent}  - {_value(change['old'])}"] if change["change"] != "added" else []
        lines += [f"{indent}  + {_value(change['new'])}"] if change["change"] != "removed" else []
    return lines


def _value(value: Any) -> str:
    return value if isinstance(value, str) and "\n" not in value else json.dumps(value, ensure_ascii=False)
