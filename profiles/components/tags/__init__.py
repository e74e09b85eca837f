"""What rules say of a person at a moment."""

from profiles.components.tags.component import TagComponent

__all__ = ["TagComponent"]
