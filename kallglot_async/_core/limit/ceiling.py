"""`Ceiling`: the limit that a user configured."""

from __future__ import annotations

import math
from collections import deque

from kallglot_async._core.limit.ticket import Pace, Urgency
from kallglot_async.models import RateLimit

__all__ = ["Ceiling"]


class Ceiling:
    """A configured limit: never more than `requests` in any `per` seconds, over all groups and keys.

    Direct requests may use it up at once; paced polls keep `per / requests` between them.
    """

    __slots__ = ("_pace", "_sent", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._sent: deque[float] = deque()
        self._pace = Pace()

    def interval(self) -> float:
        """Seconds between two paced polls."""
        return self.limit.per / self.limit.requests

    def available(self, now: float) -> int:
        """Requests that may go at once."""
        while self._sent and self._sent[0] <= now - self.limit.per:
            self._sent.popleft()
        return max(0, self.limit.requests - len(self._sent))

    def next_at(self, urgency: Urgency) -> float:
        """Return when a request may go."""
        spent = len(self._sent) >= self.limit.requests
        free_at = self._sent[-self.limit.requests] + self.limit.per if spent else -math.inf
        if urgency is not Urgency.PACED:
            return free_at
        return max(free_at, self._pace.theoretical + self.interval())

    def on_sent(self, now: float, urgency: Urgency) -> None:
        """A request goes out now."""
        self.available(now)  # forgets what is older than a period
        self._sent.append(now)
        if urgency is Urgency.PACED:
            self._pace.on_sent(now, self.interval())

    def on_unsent(self, sent_at: float, urgency: Urgency) -> None:
        """A request that was granted at `sent_at` was not sent after all."""
        if sent_at in self._sent:
            self._sent.remove(sent_at)
        if urgency is Urgency.PACED and math.isfinite(self._pace.theoretical):
            self._pace.theoretical -= self.interval()
