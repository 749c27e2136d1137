"""`Drift`: what others take of a limit; `Part`: what is ours of a log that they use as well.

The folder's docstring has their rules, 9 and 10.
"""

from __future__ import annotations

import math

__all__ = ["CATCH_UP", "FEW", "LEFT", "LOOK_AGAIN", "SHORTEST_MEMORY", "Drift", "Part"]

DRIFT_MEMORY = 6  # one in so many of a period is the time after which what others took counts for a third
SHORTEST_MEMORY = 2.0  # seconds, of short windows
MARGIN = 0.5  # standard deviations of what neighbours take in a time that are left to them beside the mean
OURS = 2.0  # requests; fewer that were taken may be our own, answered in another order

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
            self._ours *= math.exp((self.at - now) / LAPSE)
        self.at, self._left = now, left - LEFT
        self._ours += gone
        own = max(1, own)
        part = own / limit
        self.rate = RUSH * own
        if self._left > 0:
            self.rate += GAIN + self._left
            gained = GAIN / own + GAIN_FROM_PLACE * part * self._left
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


class Drift:
    """How fast `Remaining` moves beyond what our own requests take: up where places come free, down for neighbours.

    A request in flight may be in a figure already, or not. It is taken to be in it where that shows fewer
    neighbours, and not to be in it where that shows fewer free places.

    Attributes:
        sent: Requests of ours that went out since the newest figure; whoever sends one counts it here, ...
        accepted: ... and here whoever hears that one was.
    """

    __slots__ = ("_at", "_freed", "_ours", "_remaining", "_seconds", "_taken", "accepted", "sent")

    def __init__(self) -> None:
        self._at = -math.inf  # when the newest figure came
        self._remaining = 0
        self.sent = 0
        self.accepted = 0
        self._ours = 0  # requests of ours that went out since the window began, until the newest figure
        self._taken = 0.0  # what the figure has fallen by beyond those sent, ...
        self._freed = 0.0  # ... what it has risen by beyond those accepted, ...
        self._seconds = 0.0  # ... and in which time; all three fade

    def on_figure(self, now: float, remaining: int, period: float) -> None:
        """A newer figure of the same window came."""
        fade = math.exp((self._at - now) / _memory(period))
        change = remaining - self._remaining
        self._taken = self._taken * fade - change - self.sent
        self._freed = self._freed * fade + change + self.accepted
        self._seconds = self._seconds * fade + now - self._at
        self._at, self._remaining = now, remaining
        self._ours += self.sent
        self.sent = self.accepted = 0

    def on_renewed(self, now: float, remaining: int, period: float, *, in_flight: int, gone: int) -> None:
        """The first figure of a window came, which tells nothing of the one before; so many of it are gone.

        Where a part of the window before counts on, that may be as many as we sent in it.
        """
        self._taken -= in_flight  # a burst of our own that was sent before this figure falls from those after it
        if (others := gone - self._ours - self.sent) > OURS:
            self._taken = max(self._taken, others)
            self._seconds = max(self._seconds, _known_after(period))
        self._at, self._remaining = now, remaining
        self._ours = self.sent = self.accepted = 0

    def freed(self, period: float) -> float:
        """Places that come free a second, 0.0 where none are seen to."""
        return self._freed / self._seconds if self._freed > 0.0 and self._is_known(period) else 0.0

    def sees_neighbours(self, period: float) -> bool:
        """Whether the figure falls by more than our own requests take."""
        return self._taken > OURS and self._is_known(period)

    def taken(self, now: float, period: float) -> float:
        """Requests that neighbours have probably sent since the newest figure: fewer, the less there is to take."""
        if self._taken <= OURS or not self._remaining or not self._is_known(period):
            return 0.0
        rate = self._taken / self._seconds
        expected = self._remaining * -math.expm1(-rate * (now - self._at) / self._remaining)
        # Requests that come by chance deviate by the root of their number.
        return expected + MARGIN * math.sqrt(expected)

    def _is_known(self, period: float) -> bool:
        return self._seconds >= _known_after(period)


def _known_after(period: float) -> float:
    return _memory(period) / 3


def _memory(period: float) -> float:
    return period / DRIFT_MEMORY if period > DRIFT_MEMORY * SHORTEST_MEMORY else SHORTEST_MEMORY
