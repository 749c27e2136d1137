"""`Part`: what is ours of a log that others use as well.

The folder's docstring has its rule, 10.
"""

from __future__ import annotations

import math

__all__ = ["CATCH_UP", "FEW", "LEFT", "LOOK_AGAIN", "Part"]

LEFT = 2  # places of a log that are left, so that what others send at the same time finds room
GAIN = 2.0  # places a period that everybody gains while more are left, ...
GAIN_FROM_PLACE = 0.5  # ... and for each one more, so many times the part of the limit that is ours
YIELDED = 2.0  # so many times that part of our places is not taken again, while no more are left
GOOD_FOR = 0.3  # of the time in which all of them together send as many as are left, a figure shows them
RUSH = 1.7  # times as fast as evenly, places that left together are taken again at most
CATCH_UP = 0.5  # of an interval of that pace, by which the next may make up for one that went late
LAPSE = 6.0  # seconds after which of the places that left, and were not taken again, a third is ours still
FEW = 5  # places; who has no more looks for others, ...
LOOK_AGAIN = 10.0  # ... so many seconds after its newest figure, where that shows some left, or it has none


class Part:
    """Which places are ours to take: those of ours that leave, as it is known when, so that nobody races for them.

    All see the same figures. All gain nearly alike while places are left, and who has more yields more while none are:
    so their parts come nearer, however many they are.
    """

    __slots__ = ("_gained", "_left", "_ours", "at", "rate")

    def __init__(self) -> None:
        self.rate = 1.0  # requests a period, at most
        self.at = -math.inf  # when the newest figure came
        self._left = 0  # places that it shows beyond those that are to be left
        self._ours = 0.0  # places of ours that had left then, and may be taken again
        self._gained = 0.0  # places that may be taken of those that are left

    def begin(self) -> None:
        """Nobody else uses it so far."""
        self._ours = self._gained = 0.0

    def on_figure(self, now: float, own: int, limit: int, *, left: int, gone: int) -> None:
        """A figure shows so many places left, while so many are ours; so many of ours are gone since the last one."""
        if self._ours > 0.0:
            # Somebody else may have them by now; what is owed stays owed.
            self._ours *= math.exp((self.at - now) / LAPSE)
        self.at, self._left = now, left - LEFT
        self._ours += gone
        own = max(1, own)
        part = own / limit
        self.rate = RUSH * own
        if self._left > 0:
            self.rate += GAIN + self._left
            # A figure comes with each request of ours: in a period all gain GAIN alike, who has few places as well.
            gained = GAIN / own + GAIN_FROM_PLACE * part * self._left
            # None is saved up: everybody would come for theirs at once.
            self._gained = min(self._gained + gained, max(1.0, gained))
        else:
            self._ours -= YIELDED * part

    def on_sent(self, returned: int) -> None:
        """A request of ours goes out, when so many more have left since the newest figure."""
        if self._gained >= 1.0 and self._ours + returned < 1.0:
            self._gained -= 1.0
        else:
            self._ours -= 1.0

    def on_unsent(self) -> None:
        """It did not after all."""
        self._ours += 1.0

    def can_gain(self, now: float, interval: float) -> bool:
        """Whether one of the places that are left is ours, while somebody sends at that interval."""
        return self._gained >= 1.0 and now - self.at < GOOD_FOR * self._left * interval

    def needed(self) -> int:
        """How many more of ours have to leave before the next one is taken again."""
        return math.ceil(1.0 - self._ours)
