"""What a set of identity rules holds, in words and as JSON."""

from typing import Any

from rules.identity.model import IdentifierType, IdentityRules, KeyPart, Limit, Matching


def outline(rules: IdentityRules) -> dict[str, Any]:
    """The rules as JSON: version, region, identifiers from the strongest on, and matching or null."""
    return {
        "version": rules.version,
        "region": rules.region,
        "identifiers": [_identifier(rule) for rule in _ordered(rules)],
        "matching": _compared(rules.matching) if rules.matching else None,
    }


def describe(rules: IdentityRules) -> str:
    """The rules as lines of text: an identifier each, then what is compared."""
    lines = [f"version {rules.version}, {len(rules.identifiers)} identifiers, region {rules.region}"]
    width = max((len(name) for name in rules.identifiers), default=0)
    lines += [f"{rule.priority:>4} {rule.name:<{width}}  {_traits_of(rule)}".rstrip() for rule in _ordered(rules)]
    return "\n".join([*lines, *_matching(rules.matching), "all right"])


def _compared(matching: Matching) -> dict[str, Any]:
    return {
        "fields": {name: {"compare": field.compare, "traits": list(field.traits)} for name, field in matching.fields.items()},
        "keys": [[_part(part) for part in key] for key in matching.keys],
        "merge_from": matching.merge_from,
        "review_from": matching.review_from,
        "population": matching.population,
    }


def _ordered(rules: IdentityRules) -> list[IdentifierType]:
    return sorted(rules.identifiers.values(), key=lambda rule: rule.priority)


def _identifier(rule: IdentifierType) -> dict[str, Any]:
    return {
        "name": rule.name, "priority": rule.priority, "strength": rule.strength, "exclusive": rule.exclusive,
        "limits": {limit.window: limit.count for limit in rule.limits}, "normalise": list(rule.normalise),
        "blocked": len(rule.blocked), "blocked_patterns": len(rule.blocked_patterns),
        "allowed": len(rule.allowed), "lifetime_days": rule.lifetime_days, "personal": rule.personal,
    }  # fmt: skip


def _traits_of(rule: IdentifierType) -> str:
    said = [f"strength {rule.strength:g}"] if rule.strength < 1 else []
    said += ["one for each person"] if rule.exclusive else []
    said += [f"at most {_limit(limit)}" for limit in rule.limits if not (rule.exclusive and limit == Limit(1))]
    said += [f"for {rule.lifetime_days} days"] if rule.lifetime_days else []
    said += ["personal"] if rule.personal else []
    return ", ".join(said)


def _limit(limit: Limit) -> str:
    return f"{limit.count} ever" if limit.window == "ever" else f"{limit.count} a {limit.window}"


def _matching(matching: Matching | None) -> list[str]:
    if matching is None:
        return ["no matching by traits"]
    keys = "; ".join(" + ".join(_part(part) for part in key) for key in matching.keys)
    return [
        f"matching by {len(matching.fields)} fields: {', '.join(matching.fields)}",
        f"     merges from {matching.merge_from:g}, asks from {matching.review_from:g}; found by {keys}",
    ]


def _part(part: KeyPart) -> str:
    match part.cut:
        case "whole":
            return part.field
        case "start":
            return f"{part.field}({part.length})"
        case _:
            return f"{part.field}({part.cut})"
