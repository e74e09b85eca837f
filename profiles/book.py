"""Rule books, compiled with all that the components let rules ask for."""

from collections.abc import Callable, Mapping
from typing import Any

from profiles import context
from profiles.components import COMPONENTS, Kinds
from rules.definitions.book import CompiledRules, compile_rules
from rules.definitions.model import RuleBook
from rules.language.functions import Function, with_functions


def vocabulary(components: Kinds = COMPONENTS) -> Mapping[str, Callable[..., Any]]:
    """What compiled rules call, by name."""
    return {**context.VOCABULARY, **{name: word for kind in components for name, word in kind.vocabulary.items()}}


def functions(components: Kinds = COMPONENTS) -> Mapping[str, Function]:
    """The functions of values that rules may use, for `rules.language.parse`."""
    return with_functions(function for kind in components for function in kind.functions)


def compile_book(book: RuleBook, number: int = 0, components: Kinds = COMPONENTS) -> CompiledRules:
    """Make a book ready for the kernel. Raises CdpError for what can be read and not be evaluated."""
    return compile_rules(book, vocabulary(components), number)
