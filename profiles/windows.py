"""Windows of calendar days: when one of them changes by itself."""

from collections.abc import Collection


def next_edge(days: Collection[int], windows: Collection[int], today: int) -> int:
    """The next day on which one of some days comes into a window or falls out of it; 0: none ever will.

    Args:
        days: day numbers; one after today is of a device whose clock was ahead.
        windows: lengths in days, today included.
    """
    edges = [day for day in days if day > today]
    for window in windows:
        inside = [day for day in days if day + window > today]
        if inside:
            edges.append(min(inside) + window)
    return min(edges, default=0)
