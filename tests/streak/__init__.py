"""A capability that the platform has not got: the longest row of days on each of which a person was seen.

It stands here to show what a new one takes: this folder, and a line in `profiles.components.COMPONENTS`.
"""

from tests.streak.component import Streaks

__all__ = ["Streaks"]
