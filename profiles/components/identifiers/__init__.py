"""By what a person is known."""

from profiles.components.identifiers.component import Identifiers

__all__ = ["Identifiers"]
