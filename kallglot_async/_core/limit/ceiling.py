"""`Ceiling`: the limit that a user configured."""

from __future__ import annotations

import math
from collections import deque

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ticket import Pace, Supply, Ticket, Urgency
from kallglot_async.models import RateLimit

__all__ = ["Ceiling"]


class Ceiling:
    """A configured limit: never more than `requests` arrive in any `per` seconds, over all groups and keys.

    Direct requests and polls ahead may use it up at once; paced polls keep `per / requests` between them.
    What the server says changes nothing: an answer, a refusal and a loss have all used their place, until `per`
    seconds after they ended. A request has arrived by then, however long its connection took.
    """

    __slots__ = ("_ended", "_flying", "_now", "_pace", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._flying: set[Ticket] = set()
        self._ended: deque[float] = deque()  # when those ended that still have their place
        # The latest moment it was told of: `forget_in_flight`, when a loop is gone, has none to give.
        self._now = -math.inf
        self._pace = Pace()

    def interval(self) -> float:
        """Seconds between two paced polls."""
        return self.limit.per / self.limit.requests

    def available(self, now: float) -> int:
        """Requests that may go at once."""
        self._now = max(self._now, now)
        while self._ended and self._ended[0] + self.limit.per <= now:
            self._ended.popleft()
        return max(0, self.limit.requests - len(self._flying) - len(self._ended))

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go, or, while those that have to end first are under way, when at the earliest."""
        free_at = -math.inf
        if not self.available(now):
            # So many of those that ended have to leave, and one more, before one may go; what is under way leaves last
            # of all.
            surplus = len(self._flying) + len(self._ended) - self.limit.requests
            free_at = (self._ended[surplus] if surplus < len(self._ended) else now) + self.limit.per
        if urgency is not Urgency.PACED:
            return free_at
        return max(free_at, self._pace.theoretical + self.interval())

    def supply(self, now: float) -> Supply:
        """Return what it lets through."""
        return Supply(rate=1.0 / self.interval(), remaining=float(self.available(now)), resets_in=self.limit.per)

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now."""
        self._now = max(self._now, now)
        self._flying.add(ticket)
        if urgency is Urgency.PACED:
            ticket.ceiling_pace = self._pace.on_sent(now, self.interval())

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: its place is free again."""
        self._flying.discard(ticket)
        if ticket.ceiling_pace is not None:
            self._pace.on_unsent(ticket.ceiling_pace)

    def on_lost(self, ticket: Ticket, now: float) -> None:
        """A request ended without an answer: it may have arrived until now."""
        self._end(ticket, now)

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered: it has arrived by now."""
        self._end(ticket, now)

    def on_refused(self, ticket: Ticket, now: float, figures: RateFigures | None, until: float) -> None:
        """A request was refused: it has arrived by now."""
        self._end(ticket, now)

    def forget_in_flight(self) -> None:
        """What was sent stays counted, whoever sent it; no end of it will be told, so it is over."""
        self._ended.extend(self._now for _ in self._flying)
        self._flying.clear()

    def _end(self, ticket: Ticket, now: float) -> None:
        # Not where another gate, whose loop is gone, has ended all that was under way: several share one ceiling.
        if ticket in self._flying:
            self._flying.remove(ticket)
            self._now = max(self._now, now)
            self._ended.append(self._now)
