"""What is known of a person: traits, as they were set or changed."""

from profiles.components.attributes.component import AttributeComponent

__all__ = ["AttributeComponent"]
