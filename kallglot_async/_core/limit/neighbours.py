"""What part of a log we take while others use it as well.

The folder's docstring has its rule, 10.
"""

from __future__ import annotations

import math

__all__ = ["LEFT", "SEEN", "part_of_log"]

SEEN = 5  # one in so many of a limit is a good part of it
LEFT = 2  # places of a log that polls leave, so that what comes between two of our figures finds room
YIELDED = 4  # one in so many of our places that leave a log is not taken again at once
GAIN = 16.0  # requests a period for each place that is left beyond those, ...
MOST_GAINED = 8.0  # ... but no more than so many times the square root of the places that are ours ...
LEAST_GAINED = 3.0  # ... and so many a period at least, or who has none would never get any


def part_of_log(own: int, left: int) -> float:
    """Requests to send in a period, where so many places are ours and so many are left.

    Who has more gives up more, and all who share the limit gain nearly alike: so they meet at equal parts.
    """
    gained = min(GAIN * (left - LEFT), MOST_GAINED * math.sqrt(own))
    return own - own / YIELDED + max(LEAST_GAINED, gained)
