"""What a person ordered, gave back and cancelled."""

from profiles.components.orders.component import OrderComponent

__all__ = ["OrderComponent"]
