"""What the API answers about who is who, in plain words. Pure: from the answer's JSON to lines."""

from collections.abc import Iterable
from typing import Any

Answer = dict[str, Any]


def say_explanation(found: Answer) -> list[str]:
    """Who it is, and why; then what changed, what is refused, and what somebody decided."""
    head = f"{found['asked']} is {found['one_id']}"
    lines = [head + (f"; so are {_listed(found['leads_here'])}." if found["leads_here"] else ".")]
    mine = [one for one in found["identifiers"] if one["is_mine"]]
    counting = [link for link in found["links"] if link["counts"]]
    lines += [_identifier(one, found["one_id"], counting) for one in mine]
    lines += [f"{_key(one)} served several people from {_time(one['shared_since'])} on." for one in mine if one["shared_since"]]
    lines += [
        f"{link['a']} and {link['b']} were seen together, but count for nothing: {link['why_not']}."
        for link in found["links"]
        if not link["counts"]
    ]
    lines += [
        f"Somebody should decide about {refusal['a']} and {refusal['b']}: {refusal['detail'] or refusal['reason']}."
        for refusal in found["refusals"]
        if refusal["waits_for_review"]
    ]
    lines += [_decision(decision) for decision in found["decisions"]]
    for change in found["history"]:
        lines += [_change(change, move) for move in change["moves"]]
    lines.append(f"Version {found['rules']} of the identity rules decided.")
    return lines + _note(found)


def say_changed(done: Answer) -> list[str]:
    """What was done, or would be, who is who, and what no decision takes back."""
    heads = {
        "done": "Done:", "on_its_way": "Written, but not applied yet. As far as it is:", "would_change": "It would change this:",
        "nothing_to_change": "There is nothing to change:",
    }  # fmt: skip
    lines = [heads[done["status"]]]
    lines += [f"  {_listed(move['identifiers'])} from {move['source']} to {move['target']}" for move in done["moves"]]
    lines += [f"{one['one_id']}: {one['events']:,} events, {_listed(one['identifiers'])}" for one in done["people"]]
    sent = done["cannot_be_taken_back"] or []
    if sent:
        lines.append(f"{len(sent):,} messages were sent meanwhile, and cannot be taken back:")
        lines += [f"  {one['time'][:19]} {one['rule']} by {one['channel']} to {one['one_id']}: {one['status']}" for one in sent]
    return lines + _note(done)


def say_reviews(found: Answer) -> list[str]:
    """What waits, and how to see more."""
    lines = []
    for item in found["reviews"]:
        sides = " and ".join(f"{side['one_id'] or 'nobody yet'} ({_listed(side['identifiers'])})" for side in item["sides"])
        why = _listed({reason["detail"] or reason["reason"] for reason in item["reasons"]})
        bits = f"; {item['bits']:.1f} bits: {_fields(item['fields'])}" if item["fields"] else ""
        lines.append(f"{item['id']}  {sides}, since {_time(item['since'])}: {why}{bits}")
    lines.append(f"{found['waiting']:,} groups of identifiers wait")
    return lines + ([f"more: --cursor {found['next']}"] if found["next"] else [])


def _identifier(one: Answer, one_id: str, links: list[Answer]) -> str:
    key = _key(one)
    seen = [f"it was {_link(link, key)}" for link in links if key in (link["a"], link["b"])]
    since = f" since {_time(one['first_seen'])}" if one["first_seen"] else ""
    return f"{key} belongs to {one_id}{since}" + (" because " + ", and ".join(seen) if seen else "") + "."


def _link(link: Answer, key: str) -> str:
    other = link["b"] if link["a"] == key else link["a"]
    days = max(source["days_seen"] for source in link["sources"])
    first = min(link["sources"], key=lambda source: str(source["first_seen"]))
    text = f"seen together with {other} on {days} {'day' if days == 1 else 'days'}"
    text += f", first {_time(first['first_seen'])}{_from(first)}"
    said = [source for source in link["sources"] if source["said_expressly"]]
    if said:
        last = max(said, key=lambda source: str(source["said_expressly"]))
        text += f", last in a login, bind or alias of {_time(last['said_expressly'])}{_from(last)}"
    if link["messages"]:
        text += f", in {link['messages']:,} events"
    return text + f" (confidence {link['confidence']:g})"


def _decision(decision: Answer) -> str:
    are = "are one person's" if decision["verdict"] == "together" else "are not one person's"
    note = f" ({decision['note']})" if decision["note"] else ""
    later = "" if decision["stands"] else "; it was decided otherwise later"
    return f"{decision['by']} decided on {_time(decision['time'])} that {decision['a']} and {decision['b']} {are}{note}{later}."


def _change(change: Answer, move: Answer) -> str:
    did = "merged into" if change["kind"] == "merged" else "parted to"
    gone = _listed(move["identifiers"]) or "nothing any more"
    return (
        f"{_time(change['time'])}: {move['source']} {did} {move['target']} with {gone},"
        f" by message {change['message_id']} (change {change['version']}, rules {change['rules']})."
    )


def _key(one: Answer) -> str:
    return f"{one['type']}:{one['value']}"


def _from(source: Answer) -> str:
    return f" from source {source['source']}" if source["source"] else ""


def _fields(fields: dict[str, float]) -> str:
    return _listed(f"{name} {bits:+.1f}" for name, bits in sorted(fields.items()))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _time(iso: str) -> str:
    return f"{iso[:10]} {iso[11:19]}"


def _note(found: Answer) -> list[str]:
    return [found["note"]] if found.get("note") else []
