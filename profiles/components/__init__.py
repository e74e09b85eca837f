"""All capabilities of a profile. A new one is a folder beside these, and a line in COMPONENTS."""

from typing import Any

from profiles.component import Component
from profiles.components.activity import Activities
from profiles.components.attributes import AttributeComponent
from profiles.components.identifiers import Identifiers
from profiles.components.metrics import MetricComponent
from profiles.components.orders import OrderComponent
from profiles.components.tags import TagComponent
from profiles.components.triggers import TriggerComponent

Kinds = tuple[type[Component[Any, Any]], ...]

COMPONENTS: Kinds = (
    Activities,
    Identifiers,
    AttributeComponent,
    OrderComponent,
    MetricComponent,
    TagComponent,
    TriggerComponent,
)
"""In the order in which they take an event in and are evaluated: a trigger sees the tags as the event leaves them."""
