"""From an event to what it says about who is who: one definition for the stream and for simulations. Pure."""

from collections.abc import Iterable
from typing import NamedTuple, get_args

import msgspec

from cdp.errors import InvalidEvent
from cdp.identity import REGROUP, Decision, Verdict
from rules.identity.combine import COMBINATION, combination_key, combined
from rules.identity.model import IdentityRules
from rules.identity.normalise import normalise
from rules.identity.sight import Sighting, is_express


class Form(NamedTuple):
    """An identifier in its normal form; the least is the strongest.

    Attributes:
        key: ``type:value``.
        is_unchanged: it came like this.
    """

    priority: int
    key: str
    is_unchanged: bool


class Told(NamedTuple):
    """What sort of event it is; its properties as JSON, which are read only if it is a decision."""

    kind: str
    event: str
    properties: bytes = b""


class _Decided(msgspec.Struct):
    """The properties of a decision."""

    pairs: list[tuple[str, str]]
    by: str = ""
    note: str = ""


_read_decided = msgspec.json.Decoder(_Decided).decode


def read_identifier(type_: str, value: str, rules: IdentityRules) -> Form | None:
    """The normal form of an identifier; None if it identifies nobody."""
    normal = normalise(type_, value, rules)
    if normal is None or ":" in type_ or type_ in ("", COMBINATION):  # nobody may pass for a combination of others
        return None
    return Form(rules.identifiers.get(type_, rules.others).priority, f"{type_}:{normal}", normal == value)


def strongest_first(forms: Iterable[Form | None]) -> tuple[str, ...]:
    """The keys of those that identify somebody, each once."""
    return tuple(dict.fromkeys(form.key for form in sorted({form for form in forms if form is not None})))


def read_sighting(
    ids: tuple[str, ...], told: Told, time: int, received_at: int, rules: IdentityRules, source: str = "", message_id: str = ""
) -> Sighting:
    """What an event says. Raises InvalidEvent if it is a decision that says nothing.

    Args:
        ids: keys in normal form, the strongest first.
    """
    regroups = told.kind == "decision" and told.event == REGROUP
    decisions = read_decisions(told.event, time, told.properties) if told.kind == "decision" and not regroups else ()
    names = combined(ids, rules) if told.kind not in ("decision", "unbind") else ()
    return Sighting(
        ids, time, received_at, source, message_id, is_express(told.kind, told.event), told.kind == "unbind",
        decisions=decisions, regroups=regroups, combined=names, combination=combination_key(names),
    )  # fmt: skip


def read_decisions(event: str, time: int, properties: bytes) -> tuple[Decision, ...]:
    """What an event of kind ``decision`` decides about each pair of keys. Raises InvalidEvent."""
    try:
        decided = _read_decided(properties)
    except msgspec.MsgspecError as error:
        raise InvalidEvent("malformed", "properties", f"not a decision: {error}") from None
    if event not in get_args(Verdict):
        raise InvalidEvent("malformed", "event", f"a decision is one of {', '.join(get_args(Verdict))}.")
    if not decided.pairs:
        raise InvalidEvent("malformed", "properties", "a decision needs pairs of identifiers.")
    for a, b in decided.pairs:
        if a == b or not (0 < a.find(":") < len(a) - 1 and 0 < b.find(":") < len(b) - 1):
            raise InvalidEvent("malformed", "properties", f"a pair is two identifiers, each type:value, not {a!r} and {b!r}.")
    verdict: Verdict = "apart" if event == "apart" else "together"
    pairs = [sorted(pair) for pair in decided.pairs]
    return tuple(Decision(a, b, verdict, time, decided.by, decided.note) for a, b in pairs)
