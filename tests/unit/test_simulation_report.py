"""What a simulation says: every field of the report, lines that are no events, the truth that no rule reads, the command."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cdp.clock import DAY, HOUR
from cdp.errors import CdpError
from rules.identity.contrast import apart_in_both, contrast
from rules.identity.read_lines import read_lines
from rules.identity.report import Report
from rules.identity.score import score
from rules.identity.simulate import Assignment
from sinks.commands import register
from sinks.try_rules import read_moment

LOOSE = "{version: 2, identifiers: [{name: user_id, priority: 1}, {name: device_id, priority: 2}, {name: phone, priority: 3}]}"
STRICT = """
version: 3
identifiers:
  - {name: user_id, priority: 1, exclusive: true}
  - {name: device_id, priority: 2, blocked: [lobby]}
  - {name: phone, priority: 3, exclusive: true}
"""


def line(message_id: str, day: float, ids: str, kind: str = "track", **more: Any) -> dict[str, Any]:
    pairs = [{"type": type_, "value": value} for type_, _, value in (key.partition(":") for key in ids.split())]
    return {"message_id": message_id, "time": int((20_000 + day) * DAY), "kind": kind, "ids": pairs} | more


STORY = [
    line("a1", 1, "device_id:d", truth="ann"),
    line("a2", 2, "device_id:d user_id:ann", "identify", truth="ann"),
    line("b1", 3, "device_id:d user_id:bob", "identify", truth="bob"),
    line("n1", 4, "device_id:lobby", truth="cat"),
    line("c1", 5, "user_id:cat device_id:own phone:1", truth="cat"),
    line("c2", 6, "user_id:dan phone:1", truth="dan"),
]


def write(folder: Path, name: str, content: str | list[Any]) -> str:
    file = folder / name
    text = (
        content
        if isinstance(content, str)
        else "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in content)
    )
    file.write_text(text, encoding="utf-8")
    return str(file)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["identity", "simulate", *arguments], catch_exceptions=False)


def simulated(folder: Path, events: list[Any], *more: str, rules: str = STRICT, old: str = LOOSE) -> Result:
    new, against = write(folder, "new.yaml", rules), write(folder, "old.yaml", old)
    return run("--rules", new, "--against", against, "--events", write(folder, "events.jsonl", events), *more)


def test_every_field_of_the_report(tmp_path: Path) -> None:
    done = simulated(tmp_path, [*STORY, STORY[0]], "--json")
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert found["rules"] == {"name": "new.yaml", "version": 3}
    assert found["against"] == {"name": "old.yaml", "version": 2}
    assert (found["since"], found["until"]) == (None, None)
    assert found["events"] == {"lines": 7, "distinct": 6, "repeated": 1}
    assert found["bad_lines"] == {"count": 0, "lines": []}
    # Before: all with d are one; the lobby is somebody; cat and dan are one by the phone. After: ann, bob, cat, dan.
    assert found["people"] == {"before": 3, "after": 4, "same": 0}
    assert found["without_person"] == {"before": 0, "after": 1}
    assert found["changed_events"] == 5
    merges = found["merges"]
    assert (merges["appear"], merges["vanish"], merges["vanish_for_want_of_evidence"]) == (0, 2, None)
    assert merges["appearing"] == []
    assert [one["one_id"] for one in merges["vanishing"]] == ["P0000000001", "P0000000003"]
    first, second = merges["vanishing"]
    assert (first["events"], first["people"], first["message_id"]) == (3, 2, "a1")
    assert first["ids"] == ["device_id:d", "user_id:ann", "user_id:bob"]
    assert [(side["one_id"], side["events"], side["ids"]) for side in first["of"]] == [
        ("P0000000001", 2, ["device_id:d", "user_id:ann"]),
        ("P0000000002", 1, ["device_id:d", "user_id:bob"]),
    ]
    assert first["because"] == "device_id:d and user_id:bob: exclusive (a person has one user_id)"
    assert second["because"] == "phone:1 and user_id:dan: exclusive (a person has one user_id)"
    assert found["refusals"]["before"] == {}
    assert found["refusals"]["after"] == {"exclusive": 2}
    assert found["refusals"]["examples"][1] == {
        "a": "phone:1", "b": "user_id:dan", "reason": "exclusive", "detail": "a person has one user_id", "gives_way": "phone:1",
        "time": 20_006 * DAY, "review": True, "bits": 0.0,
    }  # fmt: skip
    assert (found["reviews"]["before"], found["reviews"]["after"]) == (0, 1)
    assert found["reviews"]["waiting"] == [found["refusals"]["examples"][1]]
    assert found["traits"]["after"] == {"merges": 0, "candidates": 0, "crowded_keys": 0}
    # True pairs: a1-a2, n1-c1. Found before: a1-a2, a1-b1, a2-b1, c1-c2; after: a1-a2.
    assert found["quality"]["before"] == {
        "precision": 0.25, "recall": 0.5, "f1": pytest.approx(1 / 3), "messages": 6, "pairs_found": 4, "pairs_true": 2,
        "pairs_right": 1,
    }  # fmt: skip
    assert found["quality"]["after"] | {"f1": 0} == {
        "precision": 1.0, "recall": 0.5, "f1": 0, "messages": 6, "pairs_found": 1, "pairs_true": 2, "pairs_right": 1,
    }  # fmt: skip


def test_the_report_the_other_way_round(tmp_path: Path) -> None:
    found = json.loads(simulated(tmp_path, STORY, "--json", rules=LOOSE, old=STRICT).output)
    merges = found["merges"]
    assert (merges["appear"], merges["vanish"]) == (2, 0)
    assert merges["appearing"][0]["because"] == "device_id:d and user_id:bob: exclusive (a person has one user_id)"
    assert found["without_person"] == {"before": 1, "after": 0}


def test_the_report_for_people(tmp_path: Path) -> None:
    text = simulated(tmp_path, [*STORY, "nonsense"]).output
    for said in (
        "Rules new.yaml (version 3) against old.yaml (version 2)",
        "6 events\n",
        "people                                   3             4\n",
        "events without a person                  0             1\n",
        "refused: exclusive                       0             2\n",
        "pairwise precision                 0.25000       1.00000\n",
        "0 people stay as they are; 5 events belong to people who change.",
        "0 merges appear.\n",
        "2 merges vanish:\n  P0000000001 (3 events), would be 2 people:\n    P0000000001 (2 events): device_id:d, user_id:ann\n",
        "apart because of device_id:d and user_id:bob: exclusive (a person has one user_id)",
        "phone:1 and user_id:dan: a person has one user_id",
        "1 lines are no events:\n  line 7: is not a JSON object",
    ):
        assert said in text, said


def test_without_truth_nothing_is_said_of_quality(tmp_path: Path) -> None:
    assert json.loads(simulated(tmp_path, [line("a", 1, "user_id:u")], "--json").output)["quality"] is None


def test_the_same_rules_change_nothing(tmp_path: Path) -> None:
    found = json.loads(simulated(tmp_path, STORY, "--json", old=STRICT).output)
    assert found["people"] == {"before": 4, "after": 4, "same": 4}
    assert found["changed_events"] == found["merges"]["appear"] == found["merges"]["vanish"] == 0


def test_a_line_for_each_event_in_the_order_of_the_file(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    events = [STORY[5], STORY[3], STORY[0], STORY[1], STORY[5], "", STORY[2]]
    assert simulated(tmp_path, events, "--output", str(output)).exit_code == 0
    assert [json.loads(one) for one in output.read_text().splitlines()] == [
        {"message_id": "c2", "one_id": "P0000000003"},
        {"message_id": "n1", "one_id": None},
        {"message_id": "a1", "one_id": "P0000000001"},
        {"message_id": "a2", "one_id": "P0000000001"},
        {"message_id": "c2", "one_id": "P0000000003"},
        {"message_id": "b1", "one_id": "P0000000002"},
    ]


BAD = [
    ('{"time": 1, "kind": "track"}', "message_id", "is missing"),
    ('{"message_id": "", "time": 1, "kind": "track"}', "message_id", 'cannot be ""'),
    ('{"message_id": 7, "time": 1, "kind": "track"}', "message_id", "cannot be 7"),
    ('{"message_id": "a", "kind": "track"}', "time", "is missing"),
    ('{"message_id": "a", "time": true, "kind": "track"}', "time", "cannot be true"),
    ('{"message_id": "a", "time": 1.5, "kind": "track"}', "time", "cannot be 1.5"),
    ('{"message_id": "a", "time": -1, "kind": "track"}', "time", "cannot be -1"),
    ('{"message_id": "a", "time": 9000000000000000, "kind": "track"}', "time", "cannot be 9000000000000000"),
    ('{"message_id": "a", "time": "yesterday", "kind": "track"}', "time", 'cannot be "yesterday"'),
    ('{"message_id": "a", "time": 1}', "kind", "is missing"),
    ('{"message_id": "a", "time": 1, "kind": "dance"}', "kind", 'cannot be "dance"'),
    ('{"message_id": "a", "time": 1, "kind": ["track"]}', "kind", 'cannot be ["track"]'),
    ('{"message_id": "a", "time": 1, "kind": "track", "event": 7}', "event", "cannot be 7"),
    ('{"message_id": "a", "time": 1, "kind": "track", "ids": {}}', "ids", "cannot be {}"),
    ('{"message_id": "a", "time": 1, "kind": "track", "ids": ["phone:1"]}', "ids[0]", 'cannot be "phone:1"'),
    ('{"message_id": "a", "time": 1, "kind": "track", "ids": [{"type": "phone", "value": 138}]}', "ids[0]", "cannot be {"),
    ('{"message_id": "a", "time": 1, "kind": "track", "traits": "x"}', "traits", 'cannot be "x"'),
    ('{"message_id": "a", "time": 1, "kind": "track", "properties": [1]}', "properties", "cannot be [1]"),
    ("[]", "", "is not a JSON object"),
    ("{", "", "is not a JSON object"),
    ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "", "is not a JSON object"),
]


@pytest.mark.parametrize(("text", "field", "problem"), BAD)
def test_a_bad_line_is_listed_with_its_number_field_and_remedy(text: str, field: str, problem: str) -> None:
    good = json.dumps(STORY[0])
    found = read_lines([f"{one}\n".encode() for one in (good, "", text, good)])
    assert len(found.events) == 2
    [bad] = found.bad
    assert (bad.line, bad.field) == (3, field)
    assert bad.problem.startswith(problem)
    assert bad.remedy.startswith("Write")


def test_bytes_that_are_no_text_and_a_byte_order_mark() -> None:
    good = json.dumps(STORY[0]).encode()
    found = read_lines([b"\xef\xbb\xbf" + good, b'{"message_id": "\xff"}', b"  \n", good])
    assert [(bad.line, bad.field) for bad in found.bad] == [(2, "")]
    assert len(found.events) == 2


def test_bad_lines_make_the_exit_status_1_unless_they_are_skipped(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    events = [STORY[0], "nonsense", STORY[1]]
    done = simulated(tmp_path, events, "--json", "--output", str(output))
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert found["bad_lines"]["count"] == 1
    assert found["bad_lines"]["lines"][0]["line"] == 2
    assert found["bad_lines"]["lines"][0].keys() == {"line", "field", "problem", "remedy"}
    assert found["people"]["after"] == 1
    assert len(output.read_text().splitlines()) == 2
    assert simulated(tmp_path, events, "--skip-bad").exit_code == 0


@pytest.mark.parametrize(
    "time", ["2024-10-05T00:00:00Z", "2024-10-05T08:00:00+08:00", "2024-10-05", "2024-10-05T00:00:00.000000", 20_001 * DAY]
)
def test_times_are_microseconds_or_iso_8601(time: str | int) -> None:
    found = read_lines([json.dumps(STORY[0] | {"time": time}).encode()])
    assert [event.time for event in found.events] == [20_001 * DAY]


def test_fields_that_are_not_known_are_passed_over() -> None:
    found = read_lines([json.dumps(STORY[0] | {"source": 7, "whatever": {}, "traits": None, "ids": None}).encode()])
    assert not found.bad
    assert found.events[0].ids == ()


def test_no_rule_reads_the_truth(tmp_path: Path) -> None:
    """Rules that ask for it find nothing: it is not among an event's identifiers or traits."""
    rules = """
identifiers: [{name: truth, priority: 1}, {name: user_id, priority: 2}]
matching:
  fields: [{name: truth, traits: [truth, "truth.name"], compare: exact, evidence: personal, agree: {m: 0.99, u: 0.0000001}}]
  keys: [[truth]]
"""
    events = [line("a", 1, "user_id:1", truth="x"), line("b", 2, "user_id:2", truth="x"), line("c", 3, "", truth="x")]
    found = read_lines([json.dumps(one).encode() for one in events])
    assert found.truths == dict.fromkeys("abc", "x")
    assert not any("x" in (*event.traits.values(), event.properties, event.source) for event in found.events)
    with_truth = json.loads(simulated(tmp_path, events, "--json", rules=rules).output)
    assert (with_truth["people"]["after"], with_truth["without_person"]["after"]) == (2, 1)
    assert with_truth["quality"]["after"]["recall"] == 0


def test_truths_that_are_no_texts_and_repeated_ones() -> None:
    lines = [STORY[0] | {"truth": 7}, STORY[0] | {"truth": "b"}, STORY[1] | {"truth": {"id": 1}}, STORY[2] | {"truth": None}]
    found = read_lines([json.dumps(one).encode() for one in lines])
    assert found.truths == {"a1": "7", "a2": '{"id":1}'}


@pytest.mark.parametrize("arguments", [(), ("--events", "x.jsonl", "--since", "30d")])
def test_events_come_from_one_place(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CdpError, match=r"Give either --events FILE\.jsonl or --since 30d"):
        run("--rules", write(tmp_path, "new.yaml", STRICT), *arguments)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    rules = write(tmp_path, "new.yaml", STRICT)
    with pytest.raises(CdpError, match=r"nothing\.jsonl cannot be read: No such file"):
        run("--rules", rules, "--events", str(tmp_path / "nothing.jsonl"))
    with pytest.raises(CdpError, match=r"out\.jsonl cannot be written: there is no folder"):
        simulated(tmp_path, STORY, "--output", str(tmp_path / "no" / "out.jsonl"))
    with pytest.raises(CdpError, match="cannot be written: Is a directory"):
        simulated(tmp_path, STORY, "--output", str(tmp_path))


def test_moments() -> None:
    now = 20_000 * DAY
    assert read_moment("30d", now, "--since") == now - 30 * DAY
    assert read_moment("12h", now, "--since") == now - 12 * HOUR
    assert read_moment("999999w", now, "--since") == 0
    assert read_moment("2024-10-05T00:00:00Z", now, "--since") == 20_001 * DAY
    with pytest.raises(CdpError, match="--until 'soon' is no moment"):
        read_moment("soon", now, "--until")


def people(**of: int) -> Assignment:
    return Assignment(of, {})


def test_contrast_counts_merges_whatever_the_numbers() -> None:
    found = contrast(people(a=1, b=1, c=2, d=3, e=4), people(a=9, b=8, c=7, d=7, f=1))
    assert (found.appearing, found.vanishing, found.same_people, found.changed_messages) == (1, 1, 0, 4)
    assert found.joined == {7: {2: 1, 3: 1}}
    assert found.parted == {1: {9: 1, 8: 1}}
    same = contrast(people(a=1, b=1, c=2), people(a=5, b=5, c=4))
    assert (same.appearing, same.vanishing, same.same_people, same.changed_messages) == (0, 0, 2, 0)


def test_merges_without_evidence_are_those_that_both_do_without() -> None:
    live = people(a=1, b=1, c=1, d=1)
    assert apart_in_both(live, people(a=1, b=1, c=2, d=2), people(a=1, b=2, c=3, d=4)) == 1
    assert apart_in_both(live, people(a=1, b=1, c=1, d=1), people(a=1, b=2, c=3, d=4)) == 0
    assert apart_in_both(live, people(a=1, b=2, c=1, d=2), people(a=1, b=1, c=2, d=2)) == 0
    assert apart_in_both(live, people(a=1, b=2, c=3, d=4), people(a=1, b=2, c=3)) == 2


def test_score_of_nothing() -> None:
    nothing = score({}, {})
    assert (nothing.precision, nothing.recall, nothing.f1) == (1.0, 1.0, 1.0)
    unknown = score({"b": 1}, {"a": "x", "b": "x"})
    assert (unknown.precision, unknown.recall, unknown.f1) == (1.0, 0.0, 0.0)
    wrong = score({"a": 1, "b": 1}, {"a": "x", "b": "y"})
    assert (wrong.precision, wrong.recall, wrong.f1) == (0.0, 1.0, 0.0)


def test_a_report_of_history_names_its_span_and_the_lack_of_evidence() -> None:
    found = contrast(people(a=1, b=1), people(a=1, b=2))
    report = Report(("new.yaml", 3), ("live", 0), 2, 2, found, span=("2026-01-01", "2026-02-01"), for_want_of_evidence=1)
    assert report.as_json()["against"] == {"name": "live", "version": None}
    assert report.as_json()["merges"]["vanish_for_want_of_evidence"] == 1
    assert "against live\nRecorded events from 2026-01-01 to 2026-02-01" in report.as_text()
    assert "1 of those would vanish under the present rules as well" in report.as_text()
