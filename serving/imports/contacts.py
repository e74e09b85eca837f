"""Whom a server's order or member names: what cannot be read of that is left out and said, and costs nothing else."""

from typing import Any

from pydantic import ValidationError

from rules.identity import normalise
from rules.identity.model import IdentityRules
from serving.imports import convert
from serving.imports.models import MAX_IDS, Customer

Warnings = list[dict[str, str]]
MASK = "*"

_NOTHING: tuple[Any, ...] = (None, "", [], {})  # PHP writes an empty object as a list
_ANY = (
    ("user_id", "user_id"), ("member_id", "user_id"), ("phone", "phone"), ("email", "email"),
    ("wechat_unionid", "wechat_unionid"), ("wechat_openid", "wechat_openid"), ("anonymous_id", "anonymous_id"),
)  # fmt: skip
_NAMED = ("phone", "email", "wechat_unionid", "wechat_openid")


def readable_contact(given: Any, at: str) -> tuple[Any, Warnings]:
    """What can be read of a contact that stands at a field, and what cannot. What is no object is left for the model to refuse.

    Each value is held against the model by itself, so that the model says what can be read.
    """
    if given in _NOTHING:
        return {}, []
    if not isinstance(given, dict):
        return given, []
    found, warnings = {}, []
    for name, value in given.items():
        field = f"{at}.{name}" if at else str(name)
        if name == "ids" and isinstance(value, list):
            found[name], wrong = _ids(value, field)
            warnings += wrong
        elif problem := _problem({name: value}):
            warnings.append(_warning(field, problem))
        else:
            found[name] = value
    return found, warnings


def unidentifying(of: Any, at: str) -> Warnings:
    """Contacts of a customer or a member that cannot be what they are said to be. Masked ones are usual, and not said."""
    prefix = f"{at}." if at else ""
    named = [(f"{prefix}{type_}", type_, value) for type_ in _NAMED if (value := getattr(of, type_))]
    listed = [(f"{prefix}ids.{index}.value", one.type, one.value) for index, one in enumerate(of.ids)]
    return [
        _warning(field, f"it is no {type_} that could be anybody's")
        for field, type_, value in (*named, *listed)
        if MASK not in value and not convert.identifies(type_, value)
    ]


def nobodys(of: Any, at: str, rules: IdentityRules) -> Warnings:
    """Contacts that can be read and identify nobody by the rules in force, such as the number that a till sends for everybody."""
    prefix = f"{at}." if at else ""
    named = [(f"{prefix}{name}", type_, value) for name, type_ in _ANY if (value := getattr(of, name, None))]
    listed = [(f"{prefix}ids.{index}.value", one.type, one.value) for index, one in enumerate(of.ids)]
    return [
        {"field": field, "message": f"{field} identifies nobody: {_why(type_, value, rules)}."}
        for field, type_, value in (*named, *listed)
        if MASK not in value and convert.identifies(type_, value) and normalise(type_, value, rules) is None
    ]


def _why(type_: str, value: str, rules: IdentityRules) -> str:
    return convert.unreadable(type_, value, rules.region) or "the identity rules block it"


def _ids(given: list[Any], at: str) -> tuple[list[Any], Warnings]:
    found: list[Any] = []
    warnings: Warnings = []
    for index, one in enumerate(given):
        problem = f"there are more than {MAX_IDS}" if len(found) == MAX_IDS else _problem({"ids": [one]})
        if problem:
            warnings.append(_warning(f"{at}.{index}", problem))
        else:
            found.append(one)
    return found, warnings


def _problem(contact: dict[Any, Any]) -> str:
    """What is wrong with a contact of one field; "" if nothing is."""
    try:
        read = Customer.model_validate(contact)
    except ValidationError as error:
        return str(error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]).removeprefix(
            "Value error, "
        )
    except RecursionError:
        return "it is nested too deep"
    texts = [*read.model_dump(exclude={"ids"}).values(), *(one.value for one in read.ids)]
    return "it holds a NUL" if any("\0" in text for text in texts if text) else ""


def _warning(field: str, problem: str) -> dict[str, str]:
    return {"field": field, "message": f"{field} is left out: {problem}."}
