"""`Places`: a limit of requests at once, as far as refusals have shown it.

The folder's docstring has its rules, 14 and 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

__all__ = ["Places", "shown"]

# Seconds longer than a refusal, on average, took those beside it: they had the places while it found none.
SERVED = 0.15
LONG = 10.0  # seconds; a place is free sooner than that: who names a longer pause counts requests in a time
FIRST = 0.8  # of the places that were seen are used at first: some may have been taken twice
STEP = 4.0  # seconds until one place more is tried, ...
LOOKING = 30.0  # ... or so many pauses, where the one before was refused
DOUBTS = 2  # refusals in a row that it does not explain: it is no limit of requests at once


class Places:
    """How many requests may be under way at once.

    Args:
        now: The present moment.
        count: So many, by what is known now.
        took: Seconds that one of them took.
    """

    __slots__ = ("_accepted", "_doubts", "_grows_at", "_has_grown", "_took", "count")

    def __init__(self, now: float, count: int, took: float) -> None:
        self.count: int = count
        self._took = took
        self._accepted = 0  # while all places were taken, since `count` was changed
        self._grows_at = now + STEP
        self._has_grown = False  # since the latest refusal
        # Not 0: the refusal that showed it may have had another reason.
        self._doubts = 1

    @property
    def rate(self) -> float:
        """Requests/s that these places can take: by Little's law, places over the seconds of one."""
        return self.count / self._took

    @property
    def is_sure(self) -> bool:
        """Whether the latest refusal was for want of a place, as far as can be told."""
        return not self._doubts

    @property
    def is_denied(self) -> bool:
        """Whether what was refused cannot have been for want of a place."""
        return self._doubts >= DOUBTS

    def explains(self, others: int) -> bool:
        """Whether a refusal beside so many others is for want of a place: one more than before was tried."""
        return self._has_grown and others > 0

    def on_accepted(self, now: float, under_way: int) -> None:
        """One of so many under way was accepted."""
        if under_way < self.count:
            # Whether there are more is only seen where all are taken.
            return
        self._accepted += 1
        if now >= self._grows_at and self._accepted >= self.count:
            self.count += 1
            self._accepted, self._has_grown = 0, True
            self._grows_at = now + STEP

    def on_refused(self, others: int, until: float, pause: float) -> None:
        """One was refused beside so many others, and nobody sends for so many seconds, until then."""
        self._doubts = 0 if self.explains(others) else self._doubts + 1
        self.count = max(1, min(self.count, others))
        self._accepted, self._has_grown = 0, False
        self._grows_at = until + LOOKING * pause


def shown(
    now: float, named: float, refusal_took: float, beside: Sequence[float], accepted: Sequence[float]
) -> Places | None:
    """Return the places that a refusal has shown, or None where it was for another reason.

    Args:
        now: The present moment.
        named: Seconds of the pause that the server named; 0.0 where it named none.
        refusal_took: Seconds until the refusal was heard.
        beside: Seconds that each took which was under way then, and accepted; not empty.
        accepted: When those and all before them were sent, in order.
    """
    took = fmean(beside)
    if took - refusal_took < SERVED or named > LONG:
        return None
    # Nothing takes less than a refusal does: what was sent within that was under way at once.
    at_once = max(len(beside), _most_within(accepted, refusal_took))
    return Places(now, max(1, int(FIRST * at_once)), took)


def _most_within(moments: Sequence[float], seconds: float) -> int:
    """Return how many of these moments lie within so many seconds, at most."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
