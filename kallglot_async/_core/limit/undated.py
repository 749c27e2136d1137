"""`Undated`: how far a server's clock is ahead of ours, where its answers tell a reset and no `Date`.

The folder's docstring has its rule, 8.
"""

from __future__ import annotations

import math

import msgspec

from kallglot_async._core.api.answers import RateFigures

__all__ = ["Undated"]

LONGEST = 60.0  # seconds that a window lasts, as documented, until its reset is seen to stand still for longer
LONGEST_AT_ALL = 86_400.0  # seconds
ROUNDING = 1.0  # seconds by which a reset in whole ones may be told too late


class Undated:
    """Bounds of the difference of two clocks: when an answer was made, its window had not renewed, but had begun."""

    __slots__ = ("_least", "_longest", "_most")

    def __init__(self) -> None:
        self._longest = LONGEST
        self._least = -math.inf  # seconds by which the server's clock is ahead of ours, at least, ...
        self._most = math.inf  # ... and at most

    def learn(self, figures: RateFigures, took: float) -> RateFigures:
        """Return the figures with the time to the reset as it probably is.

        Args:
            figures: As they were read.
            took: Seconds from the request to its answer; the figures were made at any moment in between.
        """
        rest = figures.by_our_clock
        if rest is None:
            return figures
        self._most = min(self._most, rest + took)
        self._least = max(self._least, rest - ROUNDING - self._longest)
        if self._least > self._most:  # a reset that stood still for longer; or one of the clocks was set
            self._longest = min(self._longest + self._least - self._most, LONGEST_AT_ALL)
            self._most = rest + took
            self._least = rest - ROUNDING - self._longest
        return msgspec.structs.replace(figures, resets_in=self.resets_in(figures))

    def resets_in(self, figures: RateFigures) -> float:
        """Return the seconds until the reset, by what was learned of the clocks so far: 0.0 where that is over."""
        if figures.by_our_clock is None:
            return figures.resets_in
        return max(0.0, figures.by_our_clock - min(max(0.0, self._least), self._most))
