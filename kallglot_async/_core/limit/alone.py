"""`Alone`: at which pace a process goes on that cannot ask the others.

The folder's docstring has its rule, 18.
"""

from __future__ import annotations

import math

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.exchange import Reply
from kallglot_async._core.limit.ticket import Urgency

__all__ = ["Alone"]

LEAST_PART = 0.01  # requests; of a part that is spent, so that a pace is still a number


class Alone:
    """At which pace a process goes on that cannot ask the others.

    Args:
        ceiling: Requests/s of a configured ceiling over all processes.
    """

    __slots__ = ("_ceiling", "_ends_at", "_part_interval", "_reply", "rest")

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._reply: Reply | None = None
        self._ends_at = -math.inf  # when the window is over that it was last told of
        self._part_interval = 0.0  # seconds between two polls until then
        self.rest: float = 0.0  # the longest time to a reset that an answer named, in seconds

    @property
    def is_told(self) -> bool:
        """Whether it was told of a limit."""
        return self._reply is not None and self._reply.limit is not None

    def on_reply(self, reply: Reply, now: float) -> None:
        """The others have answered."""
        self._reply = reply
        self._ends_at = now + reply.ends_in
        # What is left of the part is for the time after the slots that were granted with it.
        self._part_interval = max(0.0, reply.ends_in - reply.paced * reply.interval) / max(LEAST_PART, reply.part)

    def on_figures(self, figures: RateFigures) -> None:
        """An answer of this process' own tells of the limit."""
        self.rest = max(self.rest, figures.resets_in)

    def next_at(self, now: float, urgency: Urgency, last: float) -> float:
        """Return when the next may go, where the last was due at `last`: in the next window at the even pace again."""
        at = last + self.interval(now, urgency)
        if now < self._ends_at < at:
            return max(self._ends_at, last + self._even_interval())
        return at

    def interval(self, now: float, urgency: Urgency) -> float:
        """Seconds between two requests: until the window is over, polls have what is left of their part of it.

        People, of whom nobody knows how many there will be, have the even pace.
        """
        reply = self._reply
        if urgency is Urgency.DIRECT or reply is None or not now < self._ends_at < math.inf:
            return self._even_interval()
        return self._part_interval

    def _even_interval(self) -> float:
        """Seconds between two requests of one of so many processes, that together use a window evenly."""
        reply = self._reply
        if reply is None:
            return 1.0 / self._ceiling
        # The first window may have been nearly over, and seems short.
        rate = reply.even * reply.period / max(reply.period, self.rest) if reply.period else reply.even
        return reply.processes / min(self._ceiling, rate)
