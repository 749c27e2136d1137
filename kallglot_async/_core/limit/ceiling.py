"""`Ceiling`: the limit that a user configured."""

from __future__ import annotations

import math
from collections import deque

from kallglot_async._core.api.headers import RateFigures
from kallglot_async._core.limit.supply import Supply
from kallglot_async._core.limit.ticket import Pace, Ticket, Urgency
from kallglot_async.models import RateLimit

__all__ = ["Ceiling"]


class Ceiling:
    """A configured limit: never more than `requests` in any `per` seconds, over all groups and keys.

    Direct requests and polls ahead may use it up at once; paced polls keep `per / requests` between them.
    What the server says changes nothing: an answer, a refusal and a loss have all used their place.
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

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go."""
        spent = len(self._sent) >= self.limit.requests
        # What is older may still be in the list: the one that has to leave is counted from the newest.
        free_at = self._sent[-self.limit.requests] + self.limit.per if spent else -math.inf
        if urgency is not Urgency.PACED:
            return free_at
        return max(free_at, self._pace.theoretical + self.interval())

    def supply(self, now: float) -> Supply:
        """Return what it lets through."""
        return Supply(rate=1.0 / self.interval(), remaining=float(self.available(now)), resets_in=self.limit.per)

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now."""
        self.available(now)  # forgets what is older than a period
        self._sent.append(now)
        if urgency is Urgency.PACED:
            ticket.ceiling_pace = self._pace.on_sent(now, self.interval())

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: its place is free again."""
        if ticket.sent_at in self._sent:
            self._sent.remove(ticket.sent_at)
        if ticket.ceiling_pace is not None:
            self._pace.on_unsent(ticket.ceiling_pace)

    def on_lost(self, ticket: Ticket) -> None:
        """A request ended without an answer: it was sent, and that is what counts."""

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered: it was counted when it was sent."""

    def on_refused(self, ticket: Ticket, now: float, figures: RateFigures | None, until: float) -> None:
        """A request was refused: it was counted when it was sent."""

    def forget_in_flight(self) -> None:
        """What was sent stays counted, whoever sent it."""
