"""When a person was seen, and how often."""

from profiles.components.activity.component import Activities

__all__ = ["Activities"]
