"""What rules count and sum over events."""

from profiles.components.metrics.component import MetricComponent

__all__ = ["MetricComponent"]
