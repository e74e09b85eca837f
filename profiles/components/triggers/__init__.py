"""What rules have fired: an occasion that may happen once happens once."""

from profiles.components.triggers.component import TriggerComponent

__all__ = ["TriggerComponent"]
