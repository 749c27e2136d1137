"""`Drift`: how a figure moves beyond what our own requests take.

The folder's docstring has its rule, 9.
"""

from __future__ import annotations

import math

__all__ = ["Drift"]

MEMORY = 6  # one in so many of a period is the time after which what was seen counts for a third
SHORTEST_MEMORY = 2.0  # seconds
MARGIN = 0.5  # standard deviations of what neighbours take in a time that are left to them beside the mean
NOISE = 2.0  # requests; fewer that were taken may be our own, answered in another order


class Drift:
    """How fast `Remaining` moves beyond what our own requests take: up where places come free, down for neighbours.

    A request in flight may be in a figure already, or not. It is taken to be in it where that shows fewer
    neighbours, and not to be in it where that shows fewer free places.
    """

    __slots__ = ("_accepted", "_at", "_freed", "_ours", "_remaining", "_seconds", "_sent", "_taken")

    def __init__(self) -> None:
        self._at = -math.inf  # when the newest figure came
        self._remaining = 0
        self._sent = 0  # requests of ours that went out since, ...
        self._accepted = 0  # ... and those of which that was heard
        self._ours = 0  # requests of ours that went out since the window began, as far as that was heard of
        self._taken = 0.0  # what the figure has fallen by beyond those sent, ...
        self._freed = 0.0  # ... what it has risen by beyond those accepted, ...
        self._seconds = 0.0  # ... and in which time; all three fade

    def on_sent(self, number: int = 1) -> None:
        """A request of ours goes out; -1: it did not after all."""
        self._sent += number
        self._ours += number

    def on_accepted(self) -> None:
        """A request of ours was answered and not refused."""
        self._accepted += 1

    def on_figure(self, now: float, remaining: int, period: float) -> None:
        """A newer figure of the same window came."""
        fade = math.exp((self._at - now) / _memory(period))
        change = remaining - self._remaining
        self._taken = self._taken * fade - change - self._sent
        self._freed = self._freed * fade + change + self._accepted
        self._seconds = self._seconds * fade + now - self._at
        self._begin(now, remaining)

    def on_renewed(self, now: float, remaining: int, period: float, *, in_flight: int = 0, gone: int = 0) -> None:
        """The first figure of a window came, which tells nothing of the one before; so many of it are gone.

        Where a part of the window before counts on, that may be as many as we sent in it.
        """
        self._taken -= in_flight  # a burst of our own that was sent before this figure falls from those after it
        if (others := gone - self._ours) > NOISE:
            self._taken = max(self._taken, others)
            self._seconds = max(self._seconds, _known_after(period))
        self._ours = 0
        self._begin(now, remaining)

    def freed(self, period: float) -> float:
        """Places that come free a second, 0.0 where none are seen to."""
        return self._freed / self._seconds if self._freed > 0.0 and self._is_known(period) else 0.0

    def sees_neighbours(self, period: float) -> bool:
        """Whether the figure falls by more than our own requests take."""
        return self._taken > NOISE and self._is_known(period)

    def taken(self, now: float, period: float) -> float:
        """Requests that neighbours have probably sent since the newest figure: fewer, the less there is to take."""
        if self._taken <= NOISE or not self._remaining or not self._is_known(period):
            return 0.0
        rate = self._taken / self._seconds
        expected = self._remaining * -math.expm1(-rate * (now - self._at) / self._remaining)
        return expected + MARGIN * math.sqrt(expected)

    def _begin(self, now: float, remaining: int) -> None:
        self._at, self._remaining = now, remaining
        self._sent = self._accepted = 0

    def _is_known(self, period: float) -> bool:
        return self._seconds >= _known_after(period)


def _known_after(period: float) -> float:
    return _memory(period) / 3


def _memory(period: float) -> float:
    return period / MEMORY if period > MEMORY * SHORTEST_MEMORY else SHORTEST_MEMORY
