"""From the stored graph to what is said of it: identifiers, links and their evidence, changes, refusals, decisions. Pure."""

from collections.abc import Mapping

from cdp.clock import DAY, date_of, to_iso
from cdp.identity import Change, Component, Link, Node, Refusal, Seen
from profiles.components.identifiers.state import IDENTIFIERS
from rules.identity.group import rule_of, standing
from rules.identity.model import IdentityRules
from serving.identity.find import Around
from serving.identity.models import (
    ChangeView,
    DecisionView,
    Epoch,
    Explanation,
    IdentifierView,
    LinkView,
    MoveView,
    RefusalView,
    SourceView,
)
from serving.identity.people import Pair, keys_of, parts_of, people_of, person_now, record_of, span_at
from serving.identity.show import iso, shown, shown_person


def explain(around: Around, asked: str, rules: IdentityRules, now: int, messages: Mapping[Pair, int] | None) -> Explanation:
    """What is known around a person.

    Args:
        messages: how many events named both ends of a link; None: it is not known.
    """
    component, person = around.component, around.person
    mine = set(people_of(component).get(person, ())) | ({around.key} - {""})
    links = [link for link in component.links if mine & {link.a, link.b}]
    refusals = [refusal for refusal in component.refusals if mine & {refusal.a, refusal.b}]
    near = mine | {key for link in links for key in (link.a, link.b)}
    parts = set(parts_of(component, person)) | {person}
    stands = standing(component)
    return Explanation(
        asked=asked,
        one_id=shown_person(person) or "",
        leads_here=[one for number in sorted(parts - {person}) if (one := shown_person(number))],
        rules=component.rules or rules.version,
        identifiers=[_identifier(around, key, key in mine, now) for key in sorted(near, key=lambda k: (k not in mine, k))],
        links=[_link(component, link, rules, messages) for link in sorted(links, key=lambda link: (link.first, link.a, link.b))],
        refusals=[show_refusal(component, refusal) for refusal in refusals],
        decisions=[
            DecisionView(
                a=shown(d.a, component), b=shown(d.b, component), verdict=d.verdict, time=to_iso(d.time), by=d.by, note=d.note,
                stands=stands[d.a, d.b] == d,
            )
            for d in sorted(component.decisions, key=lambda d: d.time)
            if mine & {d.a, d.b}
        ],
        history=[show_change(component, change) for change in reversed(component.history) if _concerns(change, parts)],
    )  # fmt: skip


def show_refusal(component: Component, refusal: Refusal) -> RefusalView:
    """Why a link makes nobody one person."""
    return RefusalView(
        a=shown(refusal.a, component), b=shown(refusal.b, component), reason=refusal.reason, detail=refusal.detail,
        gives_way=shown(refusal.gives_way, component), time=to_iso(refusal.time), waits_for_review=refusal.review,
        bits=refusal.bits,
    )  # fmt: skip


def show_change(component: Component, change: Change) -> ChangeView:
    """A merge, or a parting."""
    return ChangeView(
        version=change.version, kind="merged" if is_merge(change) else "parted", time=to_iso(change.time),
        message_id=change.message_id, cause=[shown(key, component) for key in change.cause], rules=change.rules,
        moves=show_moves(component, change.moves),
    )  # fmt: skip


def show_moves(component: Component, moves: list[tuple[int, int, list[int]]]) -> list[MoveView]:
    """Who went from whom to whom."""
    return [
        MoveView(
            source=shown_person(source) or "", target=shown_person(target) or "",
            identifiers=[shown(key, component) for key in keys_of(component, parts)],
        )
        for source, target, parts in moves
    ]  # fmt: skip


def is_merge(change: Change) -> bool:
    """Whether people became one by it: the oldest number is the person's."""
    return all(target < source for source, target, _ in change.moves)


def _concerns(change: Change, parts: set[int]) -> bool:
    return any(parts & {source, target, *moved} for source, target, moved in change.moves)


def _identifier(around: Around, key: str, is_mine: bool, now: int) -> IdentifierView:
    component, node = around.component, around.component.nodes[key]
    type_, _, value = shown(key, component).partition(":")
    return IdentifierView(
        type=type_, value=value, one_id=shown_person(person_now(component, key, now)), is_mine=is_mine,
        first_seen=iso(_first_seen(around, node)), shared_since=iso(node.shared_from), epochs=_epochs(component, key),
    )  # fmt: skip


def _first_seen(around: Around, node: Node) -> int:
    times = [link.first for link in around.component.links if node.key in (link.a, link.b)]
    if around.profile is not None and node.key in (seen := around.profile.whole.get(IDENTIFIERS).seen):
        times.append(seen[node.key])
    return min(times, default=0)


def _epochs(component: Component, key: str) -> list[Epoch]:
    spans = record_of(component, key).spans
    ends = [span.start for span in spans[1:]]
    return [
        Epoch(since=iso(span.start), until=iso(end), number=span.part, one_id=shown_person(span.person))
        for span, end in zip(spans, [*ends, 0], strict=True)
        if not span.is_shared
    ]


def _link(component: Component, link: Link, rules: IdentityRules, messages: Mapping[Pair, int] | None) -> LinkView:
    why_not = why_refused(component, link)
    confidence = min(rule_of(link.a, rules).strength, rule_of(link.b, rules).strength)
    return LinkView(
        a=shown(link.a, component), b=shown(link.b, component), first_seen=to_iso(link.first),
        last_day=date_of(link.last_day).isoformat(), sources=[_source(name, seen) for name, seen in sorted(link.sources.items())],
        confidence=confidence, counts=why_not is None, why_not=why_not,
        messages=messages.get((link.a, link.b), 0) if messages is not None else None,
    )  # fmt: skip


def _source(name: str, seen: Seen) -> SourceView:
    return SourceView(
        source=name, first_seen=to_iso(seen.first), last_day=date_of(max(seen.days, default=seen.first // DAY)).isoformat(),
        days_seen=len(seen.days), said_expressly=iso(seen.bound),
    )  # fmt: skip


def why_refused(component: Component, link: Link) -> str | None:
    """Why a link does not make its ends one person; None: it does."""
    refusals = [refusal for refusal in component.refusals if (refusal.a, refusal.b) == (link.a, link.b)]
    ends = [(span_at(component, link.a, time), span_at(component, link.b, time)) for time in link.moments()]
    glued = any(not (a.is_shared or b.is_shared) and a.person == b.person for a, b in ends)
    if glued and all(refusal.reason != "decided" for refusal in refusals):
        return None
    if refusals:
        return _reason(refusals[0])
    shared = next((key for key in (link.a, link.b) if component.nodes[key].shared_from >= 0), None)
    return f"{shown(shared, component)} serves several people" if shared else "they were seen together in another time"


def _reason(refusal: Refusal) -> str:
    match refusal.reason:
        case "exclusive" | "limit":
            return refusal.detail
        case "decided":
            return "somebody decided that they are not one person's"
        case reason:
            return refusal.detail or reason
