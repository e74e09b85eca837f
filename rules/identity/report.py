"""What a simulation found, as JSON with stable names and as text. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cdp.identity import Refusal
from cdp.people import one_id
from rules.identity.contrast import Contrast, Parts
from rules.identity.read_lines import BadLine
from rules.identity.score import Score
from rules.identity.simulate import Assignment

EXAMPLES = 10
IDS_SHOWN = 5
BAD_LINES_SHOWN = 1000
BAD_LINES_TOLD = 20


@dataclass(frozen=True)
class Report:
    """All that is told.

    Attributes:
        rules, against: which rules were tried, and against which: a name, and the version (0: what is live).
        span: since and until when, of recorded history; empty for a file.
        events: distinct ones; `lines` are with repeated ones.
        scores: before and after, where the truth is known.
        for_want_of_evidence: merges of those that vanish for which the events simply hold no evidence, whatever the rules;
            None: not asked.
    """

    rules: tuple[str, int]
    against: tuple[str, int]
    lines: int
    events: int
    contrast: Contrast
    scores: tuple[Score, Score] | None = None
    bad: Sequence[BadLine] = ()
    span: tuple[str, str] = ("", "")
    for_want_of_evidence: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The document that `cdp identity simulate --json` prints; docs/identity.md explains its names."""
        before, after = self.contrast.before, self.contrast.after
        return {
            "rules": _named(self.rules),
            "against": _named(self.against),
            "since": self.span[0] or None,
            "until": self.span[1] or None,
            "events": {"lines": self.lines, "distinct": self.events, "repeated": self.lines - self.events},
            "bad_lines": {"count": len(self.bad), "lines": [asdict(bad) for bad in self.bad[:BAD_LINES_SHOWN]]},
            "people": {
                "before": len(before.sizes), "after": len(after.sizes), "same": self.contrast.same_people,
            },
            "without_person": {
                "before": self.events - len(before.person_of), "after": self.events - len(after.person_of),
            },
            "changed_events": self.contrast.changed_messages,
            "merges": {
                "appear": self.contrast.appearing,
                "vanish": self.contrast.vanishing,
                "vanish_for_want_of_evidence": self.for_want_of_evidence,
                "appearing": _examples(self.contrast.joined, after, before),
                "vanishing": _examples(self.contrast.parted, before, after),
            },
            "refusals": {"before": _reasons(before), "after": _reasons(after), "examples": _told(after.refusals)},
            "reviews": {
                "before": len(_reviews(before)), "after": len(_reviews(after)), "waiting": _told(_reviews(after)),
            },
            "traits": {"before": _traits(before), "after": _traits(after)},
            "quality": None if self.scores is None else {
                "before": _score(self.scores[0]), "after": _score(self.scores[1]),
            },
        }  # fmt: skip

    def as_text(self) -> str:
        """The same for people."""
        return "\n".join(_lines(self.as_json())) + "\n"


def _named(rules: tuple[str, int]) -> dict[str, Any]:
    name, version = rules
    return {"name": name, "version": version or None}


def _reasons(assignment: Assignment) -> dict[str, int]:
    return dict(sorted(Counter(refusal.reason for refusal in assignment.refusals).items()))


def _reviews(assignment: Assignment) -> list[Refusal]:
    return [refusal for refusal in assignment.refusals if refusal.review]


def _told(refusals: Iterable[Refusal]) -> list[dict[str, Any]]:
    """Examples of each reason, the first in time."""
    shown: Counter[str] = Counter()
    found = []
    for refusal in refusals:
        shown[refusal.reason] += 1
        if shown[refusal.reason] <= EXAMPLES:
            found.append(
                {
                    "a": refusal.a, "b": refusal.b, "reason": refusal.reason, "detail": refusal.detail,
                    "gives_way": refusal.gives_way, "time": refusal.time, "review": refusal.review, "bits": refusal.bits,
                }
            )  # fmt: skip
    return found


def _traits(assignment: Assignment) -> dict[str, int]:
    matched = assignment.matched
    return {"merges": matched.merges, "candidates": matched.candidates, "crowded_keys": matched.crowded}


def _score(score: Score) -> dict[str, Any]:
    return {
        "precision": score.precision, "recall": score.recall, "f1": score.f1, "messages": score.messages,
        "pairs_found": score.found, "pairs_true": score.true, "pairs_right": score.right,
    }  # fmt: skip


def _examples(parts: Parts, whole: Assignment, several: Assignment) -> list[dict[str, Any]]:
    """Of people who are one in `whole` and several in the other: those of the most people first, then of the most messages."""
    chosen = sorted(parts, key=lambda person: (-len(parts[person]), -whole.sizes[person], person))[:EXAMPLES]
    return [_example(person, parts[person], whole, several) for person in chosen]


def _example(person: int, parts: Mapping[int, int], whole: Assignment, several: Assignment) -> dict[str, Any]:
    shown = sorted(parts, key=lambda part: (-parts[part], part))[:EXAMPLES]
    keys = [set(_keys(several, several.people[part])) for part in shown]
    sides = [_side(part, several) for part in shown]
    return _side(person, whole) | {"people": len(parts), "of": sides, "because": _because(several.refusals, keys)}


def _side(person: int, assignment: Assignment) -> dict[str, Any]:
    messages = assignment.people[person]
    return {
        "one_id": one_id(person), "events": len(messages), "ids": _keys(assignment, messages)[:IDS_SHOWN],
        "message_id": messages[0],
    }  # fmt: skip


def _keys(assignment: Assignment, messages: Iterable[str]) -> list[str]:
    """The identifiers that messages have, the most frequent first."""
    found = Counter(key for message_id in messages for key in assignment.keys_of.get(message_id, ()))
    return sorted(found, key=lambda key: (-found[key], key))


def _because(refusals: Iterable[Refusal], sides: Sequence[set[str]]) -> str:
    """Why people are apart: the first refusal between any two of them, in words; "" if nothing ever spoke for one person."""
    for refusal in refusals:
        with_a = [index for index, keys in enumerate(sides) if refusal.a in keys]
        with_b = [index for index, keys in enumerate(sides) if refusal.b in keys]
        if any(one != other for one in with_a for other in with_b):
            return f"{refusal.a} and {refusal.b}: {refusal.reason}" + (f" ({refusal.detail})" if refusal.detail else "")
    return ""


def _lines(found: dict[str, Any]) -> Iterable[str]:
    events, people, merges = found["events"], found["people"], found["merges"]
    yield f"Rules {_rules(found['rules'])} against {_rules(found['against'])}"
    if found["since"]:
        yield f"Recorded events from {found['since']} to {found['until']}"
    repeated = f", {events['repeated']:,} repeated" if events["repeated"] else ""
    yield f"{events['distinct']:,} events{repeated}"
    yield ""
    yield f"{'':<28}{'before':>14}{'after':>14}"
    yield from _row("people", people)
    yield from _row("events without a person", found["without_person"])
    yield from _row("reviews that wait", found["reviews"])
    refused = found["refusals"]
    for reason in sorted({*refused["before"], *refused["after"]}):
        yield from _row(f"refused: {reason}", {side: refused[side].get(reason, 0) for side in ("before", "after")})
    by_traits = found["traits"]
    if any(by_traits[side]["candidates"] for side in by_traits):
        yield from _row("merges by traits", {side: by_traits[side]["merges"] for side in by_traits})
    if found["quality"]:
        for name in ("precision", "recall", "f1"):
            cells = "".join(f"{found['quality'][side][name]:>14.5f}" for side in ("before", "after"))
            yield f"{'pairwise ' + name:<28}{cells}"
    yield ""
    yield f"{people['same']:,} people stay as they are; {found['changed_events']:,} events belong to people who change."
    yield from _merges("appear", merges["appear"], merges["appearing"], "were")
    yield from _merges("vanish", merges["vanish"], merges["vanishing"], "would be")
    if merges["vanish_for_want_of_evidence"]:
        lacking = merges["vanish_for_want_of_evidence"]
        yield f"{lacking:,} of those would vanish under the present rules as well: their evidence is older than these events."
    if found["reviews"]["waiting"]:
        yield "Somebody would have to look at:"
        yield from (f"  {one['a']} and {one['b']}: {one['detail'] or one['reason']}" for one in found["reviews"]["waiting"])
    yield from _bad(found["bad_lines"])


def _rules(named: dict[str, Any]) -> str:
    return f"{named['name']} (version {named['version']})" if named["version"] else str(named["name"])


def _row(name: str, sides: Mapping[str, int]) -> Iterable[str]:
    yield f"{name:<28}{sides['before']:>14,}{sides['after']:>14,}"


def _merges(verb: str, number: int, examples: Sequence[dict[str, Any]], were: str) -> Iterable[str]:
    yield f"{number:,} merges {verb}{':' if examples else '.'}"
    for one in examples:
        yield f"  {one['one_id']} ({one['events']:,} events), {were} {one['people']} people:"
        for side in one["of"]:
            yield f"    {side['one_id']} ({side['events']:,} events): {', '.join(side['ids']) or side['message_id']}"
        if one["because"]:
            yield f"    apart because of {one['because']}"


def _bad(bad: dict[str, Any]) -> Iterable[str]:
    if bad["count"]:
        yield f"{bad['count']:,} lines are no events:"
        for one in bad["lines"][:BAD_LINES_TOLD]:
            yield f"  line {one['line']}: {one['field'] + ' ' if one['field'] else ''}{one['problem']}. {one['remedy']}"
        if bad["count"] > BAD_LINES_TOLD:
            yield f"  ... and {bad['count'] - BAD_LINES_TOLD:,} more; --json lists {BAD_LINES_SHOWN:,}."
