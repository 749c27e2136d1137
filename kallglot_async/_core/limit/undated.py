"""`Undated`: when a window resets by the answers of a server that sends no `Date`.

The folder's docstring has its rule, 8.
"""

from __future__ import annotations

import math

import msgspec

from kallglot_async._core.api.answers import DOCUMENTED_PERIOD, ROUNDING, RateFigures

__all__ = ["Undated"]

LONGEST = 86_400.0  # seconds that a window may last


class Undated:
    """How far the clock of such a server is ahead of ours.

    Each answer bounds it: when that was made, its window had not renewed, but had begun.
    """

    __slots__ = ("_least_ahead", "_longest", "_most_ahead")

    def __init__(self) -> None:
        # So far at least and at most, where no window lasts longer than so many seconds.
        self._least_ahead, self._most_ahead = -math.inf, math.inf
        self._longest = DOCUMENTED_PERIOD

    def dated(self, figures: RateFigures, took: float) -> RateFigures:
        """Return figures that no `Date` came with, with the time to the reset as it probably is.

        They were made at any moment of the `took` seconds from the request to its answer.
        """
        rest = figures.by_our_clock
        if rest is None:
            return figures
        self._most_ahead = min(self._most_ahead, rest + took)
        self._least_ahead = max(self._least_ahead, rest - ROUNDING - self._longest)
        # Both cannot be: a reset stood still for longer than a window was taken to last, or one of the clocks was set.
        if self._least_ahead > self._most_ahead:
            self._longest = min(self._longest + self._least_ahead - self._most_ahead, LONGEST)
            self._most_ahead = rest + took
            self._least_ahead = rest - ROUNDING - self._longest
        return msgspec.structs.replace(figures, resets_in=self.rest(figures))

    def rest(self, figures: RateFigures) -> float:
        """Return the seconds until the reset, by what was learned of the clocks so far: 0.0 where that is over."""
        if figures.by_our_clock is None:
            return figures.resets_in
        return max(0.0, figures.by_our_clock - min(max(0.0, self._least_ahead), self._most_ahead))
